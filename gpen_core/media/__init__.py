"""Read and write image files without losing what a file carries besides its colours.

`read_image` and `write_image` exchange plain tensors with a file. `read_picture` and
`write_picture` exchange a `Picture`, which also keeps transparency, bit depth, EXIF, XMP, IPTC,
texts and the colour profile. `find_losses` names what a file cannot keep.
"""

from __future__ import annotations

from .metadata import Metadata
from .picture import Picture
from .reading import find_size, read_image, read_picture
from .writing import check_writable, find_losses, write_image, write_picture

__all__ = [
    "Metadata",
    "Picture",
    "check_writable",
    "find_losses",
    "find_size",
    "read_image",
    "read_picture",
    "write_image",
    "write_picture",
]
