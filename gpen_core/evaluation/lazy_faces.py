"""Reads aligned faces from files; sets too large for memory are decoded on demand."""

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

MAX_STRETCH = 1.1  # an image further from square holds no aligned face; resizing would distort it
THREADS = min(8, os.cpu_count() or 1)

_log = logging.getLogger(__name__)


def read_face(path: Path, size: int) -> torch.Tensor:
    """Return an aligned face as [3, size, size] uint8 RGB, resized with antialiasing.

    Raises:
        ImageError: the image cannot be read, is not square, or is smaller than half of `size`.
    """
    pixels = read_image(path, strict=True)
    height, width = pixels.shape[2:]
    if min(height, width) < size // 2:
        raise ImageError(f"{path} is {width} × {height}; at least {size // 2} px are needed.")
    if max(height, width) > MAX_STRETCH * min(height, width):
        raise ImageError(
            f"{path} is {width} × {height}; aligned faces are square. Cut them out of photographs "
            "with `gpen_core.detect` and `gpen_core.align`."
        )
    return (resize(pixels, size, size)[0].clamp(0, 1) * 255).round().byte()


def read_faces(files: Sequence[Path], size: int) -> Iterator[torch.Tensor | ImageError]:
    """Read many faces in threads and yield them in order; an unusable file yields its error."""

    def read(path: Path) -> torch.Tensor | ImageError:
        try:
            return read_face(path, size)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(read, files)


class LazyFaces:
    """Stands in for a tensor [N, 3, size, size] uint8: has its length and shape, can be indexed.

    The first faces asked for are cached until they fill the budget. The log names every unusable
    file once. The next file in the list takes its place, so that the face at an index depends on
    the files alone.

    Args:
        files: images of aligned faces.
        size: side to which they are resized (antialiased).
        budget: bytes of decoded faces to cache.
    """

    def __init__(self, files: Sequence[Path], size: int, *, budget: int) -> None:
        self.files = tuple(files)
        self.shape = torch.Size((len(self.files), 3, size, size))
        self._max_cached = budget // (3 * size * size)
        self._cache: dict[int, torch.Tensor] = {}
        self._unusable: dict[int, ImageError] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="faces")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: torch.Tensor | slice) -> torch.Tensor:
        """Return the faces at `index`, [K, 3, size, size] uint8 RGB.

        Raises:
            ImageError: no file of the set is usable.
        """
        numbers = torch.arange(len(self))[index].tolist()
        return torch.stack(list(self._pool.map(self._read, numbers)))

    def _read(self, number: int) -> torch.Tensor:
        for i in (*range(number, len(self)), *range(number)):
            if i in self._cache:
                return self._cache[i]
            if i in self._unusable:
                continue
            try:
                face = read_face(self.files[i], self.shape[-1])
            except ImageError as error:
                # When two threads read the same file, only the first one's error is logged.
                if self._unusable.setdefault(i, error) is error:
                    _log.warning("left out %s", error)
                continue
            if len(self._cache) < self._max_cached:
                self._cache[i] = face
            return face
        raise ImageError(
            f"None of the {len(self)} images can be used. "
            + "; ".join(str(error) for error in list(self._unusable.values())[:5])
        )
