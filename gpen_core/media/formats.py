"""The image formats that we write, and what a file of each can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import features

from ..errors import ImageError
from ..names import WRITABLE


@dataclass(frozen=True)
class Format:
    """An image format.

    Attributes:
        name: Pillow's name for it.
        suffixes: its file name endings in lower case, the usual one first.
        has_alpha: a file can hold transparency.
        has_sixteen_bits: a file can hold 16 bits per sample.
        has_profile: a file can hold EXIF and a colour profile.
        longest_side: the most pixels that the format allows along one side.
        options: the options that we pass to Pillow's writer.
        lossless_options: those for a picture that was stored without loss in a format like this.
    """

    name: str
    suffixes: tuple[str, ...]
    has_alpha: bool = True
    has_sixteen_bits: bool = False
    has_profile: bool = True
    longest_side: int = 2**31 - 1
    options: tuple[tuple[str, object], ...] = ()
    lossless_options: tuple[tuple[str, object], ...] = ()

    def check(self, path: Path, size: tuple[int, int], *, profile: bool) -> None:
        """Refuse a picture that this format cannot hold.

        Args:
            path: the file to be written, for the message.
            size: (width, height) of the picture.
            profile: the picture has a colour profile.

        Raises:
            ImageError: the picture is too large, or its colour profile would be lost.
        """
        if max(size) > self.longest_side:
            raise ImageError(
                f"{path} is not written: {self.name} holds at most {self.longest_side} px a side, "
                f"this picture has {size[0]} × {size[1]}. Name a .png or .tif file."
            )
        if profile and not self.has_profile:
            raise ImageError(
                f"{path} is not written: {self.name} holds no colour profile, and without its "
                "profile the picture would change its colours. Name a .png, .jpg, .webp or .tif "
                "file."
            )


FORMATS = (
    Format(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        has_alpha=False,
        longest_side=65500,
        options=(("quality", 95), ("subsampling", "4:4:4")),
        lossless_options=(("quality", 95), ("subsampling", "4:4:4")),
    ),
    Format("PNG", (".png",), has_sixteen_bits=True),
    Format(
        "WEBP",
        (".webp",),
        longest_side=16383,
        # "exact" keeps the colours of pixels that are fully transparent.
        options=(("quality", 95), ("exact", True)),
        lossless_options=(("lossless", True), ("exact", True)),
    ),
    Format("TIFF", (".tif", ".tiff"), has_sixteen_bits=True),
    Format("BMP", (".bmp",), has_alpha=False, has_profile=False),
    Format(
        "AVIF",
        (".avif",),
        longest_side=65536,
        options=(("quality", 90),),
        lossless_options=(("quality", 100), ("subsampling", "4:4:4")),  # as near as Pillow gets
    ),
)
_BY_SUFFIX = {suffix: format_ for format_ in FORMATS for suffix in format_.suffixes}


def is_same_format(one: Path, other: Path) -> bool:
    """Tell whether two file names have suffixes of the same format."""
    first, second = (path.suffix.lower() for path in (one, other))
    return _BY_SUFFIX.get(first, first) == _BY_SUFFIX.get(second, second)


def find_format(path: Path) -> Format:
    """Return the format that the suffix names.

    Raises:
        ImageError: we can write no such format.
    """
    format_ = _BY_SUFFIX.get(path.suffix.lower())
    if format_ is None or (format_.name == "AVIF" and not features.check("avif")):
        raise ImageError(
            f"{path} is not written: its suffix {path.suffix!r} is none of {', '.join(WRITABLE)} "
            "(.avif needs a Pillow that was built with AVIF)."
        )
    return format_
