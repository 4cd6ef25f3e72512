"""Faces that are decoded when they are asked for: sets too large to keep in memory."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from ..errors import ImageError
from ..media import read_image
from ..warp import resize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LARGEST_STRETCH = 1.1  # a face that far from square is not aligned; it would be distorted
THREADS = min(8, os.cpu_count() or 1)

_log = logging.getLogger(__name__)


def read_face(path: Path, size: int) -> torch.Tensor:
    """Return an aligned face as [3, size, size] uint8 RGB.

    Raises:
        ImageError: the file is no image that can be read, not square, or under half of `size`.
    """
    pixels = read_image(path)
    height, width = pixels.shape[2:]
    if min(height, width) < size // 2:
        raise ImageError(f"{path} is {width} × {height}; at least {size // 2} px are needed.")
    if max(height, width) > LARGEST_STRETCH * min(height, width):
        raise ImageError(
            f"{path} is {width} × {height}; aligned faces are square. Cut them out of photographs "
            "with `gpen_core.detect` and `gpen_core.align`."
        )
    return (resize(pixels, size, size)[0].clamp(0, 1) * 255).round().byte()


def read_faces(files: Sequence[Path], size: int) -> Iterator[torch.Tensor | ImageError]:
    """Read many faces in order, in threads; a file that cannot be used gives its error."""

    def read(path: Path) -> torch.Tensor | ImageError:
        try:
            return read_face(path, size)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(read, files)


class LazyFaces:
    """Stands for a tensor [N, 3, size, size] uint8: has its length and shape, and can be indexed.

    The first faces asked for are kept until they fill the budget. A file that turns out to be
    unusable is named in the log, once, and the next one in the list takes its place, so that what
    an index gives still follows from the files alone.

    Args:
        files: images of aligned faces.
        size: side to which they are brought (antialiased).
        budget: bytes of decoded faces to keep.
    """

    def __init__(self, files: Sequence[Path], size: int, *, budget: int) -> None:
        self.files = tuple(files)
        self.shape = torch.Size((len(self.files), 3, size, size))
        self._room = budget // (3 * size * size)
        self._kept: dict[int, torch.Tensor] = {}
        self._unusable: dict[int, ImageError] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="faces")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, picked: torch.Tensor | slice) -> torch.Tensor:
        """[K, 3, size, size] uint8 RGB of the faces picked.

        Raises:
            ImageError: no file of the set is usable.
        """
        numbers = torch.arange(len(self))[picked].tolist()
        return torch.stack(list(self._pool.map(self._face, numbers)))

    def _face(self, number: int) -> torch.Tensor:
        for i in (*range(number, len(self)), *range(number)):
            if i in self._kept:
                return self._kept[i]
            if i in self._unusable:
                continue
            try:
                face = read_face(self.files[i], self.shape[-1])
            except ImageError as error:
                # Of two threads at the same file the second finds the first's entry.
                if self._unusable.setdefault(i, error) is error:
                    _log.warning("left out %s", error)
                continue
            if len(self._kept) < self._room:
                self._kept[i] = face
            return face
        raise ImageError(
            f"None of the {len(self)} images can be used. "
            + "; ".join(str(error) for error in list(self._unusable.values())[:5])
        )
