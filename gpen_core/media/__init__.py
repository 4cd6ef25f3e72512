"""Read and write image files without losing what a file carries besides its colours.

`read_image` and `write_image` exchange plain tensors with a file. `read_picture` and
`write_picture` exchange a `Picture`, which also keeps transparency, bit depth, EXIF, XMP and the
colour profile.
"""

from __future__ import annotations

from .metadata import Metadata
from .picture import Picture
from .reading import read_image, read_picture
from .writing import write_image, write_picture

__all__ = [
    "Metadata",
    "Picture",
    "read_image",
    "read_picture",
    "write_image",
    "write_picture",
]
