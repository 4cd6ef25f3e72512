"""The kinds of image file that can be written, and what each can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import features

from ..errors import ImageError
from ..names import WRITABLE


@dataclass(frozen=True)
class Format:
    """A kind of image file.

    Attributes:
        name: Pillow's name of it.
        suffixes: file name endings, lower case, the usual one first.
        alpha: it holds transparency.
        deep: it holds 16 bits per sample.
        profile: it holds EXIF and a colour profile.
        longest_side: in pixels, as the format allows.
        options: what Pillow's writer is told.
    """

    name: str
    suffixes: tuple[str, ...]
    alpha: bool = True
    deep: bool = False
    profile: bool = True
    longest_side: int = 2**31 - 1
    options: tuple[tuple[str, object], ...] = ()

    def check(self, path: Path, size: tuple[int, int], *, profile: bool) -> None:
        """Refuse a picture of `size` (width, height) that this kind cannot hold.

        Raises:
            ImageError: it is too large, or it has a colour profile that would be lost.
        """
        if max(size) > self.longest_side:
            raise ImageError(
                f"{path} is not written: {self.name} holds at most {self.longest_side} px a side, "
                f"this picture has {size[0]} × {size[1]}. Name a .png or .tif file."
            )
        if profile and not self.profile:
            raise ImageError(
                f"{path} is not written: {self.name} holds no colour profile, and without its own "
                "the picture's colours would change. Name a .png, .jpg, .webp or .tif file."
            )


FORMATS = (
    Format(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        alpha=False,
        longest_side=65500,
        options=(("quality", 95), ("subsampling", "4:4:4")),
    ),
    Format("PNG", (".png",), deep=True),
    Format(
        "WEBP",
        (".webp",),
        longest_side=16383,
        options=(("quality", 95), ("exact", True)),  # keep the colour under full transparency
    ),
    Format("TIFF", (".tif", ".tiff"), deep=True),
    Format("BMP", (".bmp",), alpha=False, profile=False),
    Format("AVIF", (".avif",), longest_side=65536, options=(("quality", 90),)),
)
_BY_SUFFIX = {suffix: kind for kind in FORMATS for suffix in kind.suffixes}


def same_kind(one: Path, other: Path) -> bool:
    """Whether the suffixes name the same kind of file."""
    first, second = (path.suffix.lower() for path in (one, other))
    return _BY_SUFFIX.get(first, first) == _BY_SUFFIX.get(second, second)


def format_for(path: Path) -> Format:
    """The kind of file that the suffix names.

    Raises:
        ImageError: no such kind can be written.
    """
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if kind is None or (kind.name == "AVIF" and not features.check("avif")):
        raise ImageError(
            f"{path} is not written: its suffix {path.suffix!r} is none of {', '.join(WRITABLE)} "
            "(.avif needs a Pillow built with it)."
        )
    return kind
