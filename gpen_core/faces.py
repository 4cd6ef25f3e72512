"""The three values that the verbs hand on: `Faces`, `Alignment`, `Crops`.

Each is a frozen set of parallel tensors, validated once when made. Filtering is indexing; no face
at all is ordinary. Geometry (boxes, landmarks, affines, indices) stays on the CPU: it is tiny, and
cutting rectangles from an image on a GPU then needs no synchronisation. Pixels live anywhere.

Convention: points are (x, y) in pixels, a row of W pixels spans 0 … W, so pixel centres lie at
integers + 0.5. An *affine* maps image points to crop points.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from .errors import MismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Index = torch.Tensor | Sequence[int] | Sequence[bool] | slice | int
    _Value = TypeVar("_Value", "Faces", "Alignment")

LANDMARK_NAMES = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")
"""The order of the five landmarks; left and right are the viewer's."""


@dataclass(frozen=True, eq=False)
class Faces:
    """Faces found in a batch of images.

    Attributes:
        boxes: [N, 4] float32, x0 y0 x1 y1 in pixels.
        landmarks: [N, 5, 2] float32, (x, y) in pixels, in the order of `LANDMARK_NAMES`.
        scores: [N] float32, the detector's confidence in [0, 1].
        image_index: [N] int64, which image of the batch each face lies in.
        image_size: (B, H, W) of the batch searched.
    """

    boxes: torch.Tensor
    landmarks: torch.Tensor
    scores: torch.Tensor
    image_index: torch.Tensor
    image_size: tuple[int, int, int]

    def __post_init__(self) -> None:
        _settle(self, "boxes", torch.float32, (4,))
        _settle(self, "landmarks", torch.float32, (5, 2))
        _settle(self, "scores", torch.float32, ())
        _settle_index(self)

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Faces]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, index: Index) -> Faces:
        return _select(self, index)

    @classmethod
    def empty(cls, image_size: tuple[int, int, int]) -> Faces:
        """No face in a batch of `image_size` (B, H, W)."""
        return cls(
            boxes=torch.zeros(0, 4, dtype=torch.float32, device="cpu"),
            landmarks=torch.zeros(0, 5, 2, dtype=torch.float32, device="cpu"),
            scores=torch.zeros(0, dtype=torch.float32, device="cpu"),
            image_index=torch.zeros(0, dtype=torch.int64, device="cpu"),
            image_size=image_size,
        )

    @property
    def widths(self) -> torch.Tensor:
        """[N] box widths in pixels."""
        return self.boxes[:, 2] - self.boxes[:, 0]

    @property
    def heights(self) -> torch.Tensor:
        """[N] box heights in pixels."""
        return self.boxes[:, 3] - self.boxes[:, 1]


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where crops were cut.

    Attributes:
        affine: [N, 2, 3] float64, maps image points to crop points (see the module's convention).
        crop_size: side S in pixels at which the crops were cut.
        image_index: [N] int64, which image of the batch each crop was cut from.
        image_size: (B, H, W) of that batch.
    """

    affine: torch.Tensor
    crop_size: int
    image_index: torch.Tensor
    image_size: tuple[int, int, int]

    def __post_init__(self) -> None:
        _settle(self, "affine", torch.float64, (2, 3))
        _settle_index(self)
        if not isinstance(self.crop_size, int) or self.crop_size < 1:
            raise MismatchError(
                f"Alignment.crop_size must be a whole number from 1, found {self.crop_size!r}."
            )
        if (torch.linalg.det(self.affine[:, :, :2]) == 0).any():
            raise MismatchError("Alignment.affine holds a map that has no inverse.")

    def __len__(self) -> int:
        return len(self.affine)

    def __iter__(self) -> Iterator[Alignment]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, index: Index) -> Alignment:
        return _select(self, index)

    def at_size(self, size: int) -> Alignment:
        """The same places, for crops of `size` pixels."""
        # Pixel centres at integers + 0.5 make a change of size a plain scaling.
        return replace(self, affine=self.affine * (size / self.crop_size), crop_size=size)

    @property
    def inverse_affine(self) -> torch.Tensor:
        """[N, 2, 3] float64, maps crop points to image points."""
        square = torch.linalg.inv(self.affine[:, :, :2])
        return torch.cat([square, -square @ self.affine[:, :, 2:]], dim=2)


@dataclass(frozen=True, eq=False)
class Crops:
    """Aligned face crops and where they belong.

    Attributes:
        pixels: [N, 3, S, S] RGB float in [0, 1], on any device. S may differ from
            `alignment.crop_size` when the pixels came back larger or smaller than they were cut.
        alignment: the `Alignment` of the same N crops.
    """

    pixels: torch.Tensor
    alignment: Alignment

    def __post_init__(self) -> None:
        if not isinstance(self.pixels, torch.Tensor):
            kind = type(self.pixels).__name__
            raise MismatchError(f"Crops.pixels must be a tensor [N, 3, S, S], found {kind}.")
        shape = tuple(self.pixels.shape)
        if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] < 1:
            raise MismatchError(f"Crops.pixels must be [N, 3, S, S], found {list(shape)}.")
        if not self.pixels.is_floating_point():
            raise MismatchError(
                f"Crops.pixels must be floating point in [0, 1], found {self.pixels.dtype}."
            )
        if shape[0] != len(self.alignment):
            raise MismatchError(
                f"{shape[0]} crops do not fit {len(self.alignment)} alignments: keep one crop per "
                "face, in the order they were cut, or select faces and crops together."
            )

    def __len__(self) -> int:
        return len(self.alignment)

    def __iter__(self) -> Iterator[Crops]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, index: Index) -> Crops:
        rows = _rows(index, len(self))
        return Crops(self.pixels[rows.to(self.pixels.device)], self.alignment[rows])

    @property
    def size(self) -> int:
        """Side S of the pixels as they are now."""
        return self.pixels.shape[-1]


def _settle(value: Any, name: str, dtype: torch.dtype, tail: tuple[int, ...]) -> None:
    """Copy one field to the CPU in its dtype and check its shape and that it is finite."""
    tensor = _copied(value, name).to(dtype)
    if tensor.ndim != len(tail) + 1 or tuple(tensor.shape[1:]) != tail:
        wanted = ", ".join(["N", *map(str, tail)])
        raise MismatchError(
            f"{type(value).__name__}.{name} must be [{wanted}], found {list(tensor.shape)}."
        )
    if not torch.isfinite(tensor).all():
        raise MismatchError(f"{type(value).__name__}.{name} holds NaN or infinite values.")
    object.__setattr__(value, name, tensor)


def _copied(value: Any, name: str) -> torch.Tensor:
    """A copy of a field on the CPU, so that what it was made of may change."""
    given = getattr(value, name)
    try:
        return torch.as_tensor(given, device="cpu").detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise MismatchError(
            f"{type(value).__name__}.{name} must be a tensor, found {given!r:.100}."
        ) from error


def _settle_index(value: Any) -> None:
    """Check image_index against image_size, and that every per-face field has N rows."""
    kind = type(value).__name__
    given = _copied(value, "image_index")
    index = given.to(torch.int64)
    if index.ndim != 1 or not torch.equal(index.to(given.dtype), given):
        raise MismatchError(f"{kind}.image_index must be [N] whole numbers, found {given}.")
    object.__setattr__(value, "image_index", index)
    try:
        size = tuple(int(n) for n in value.image_size)
    except (TypeError, ValueError):
        size = ()
    if len(size) != 3 or min(size) < 0:
        raise MismatchError(f"{kind}.image_size must be (B, H, W), found {value.image_size!r}.")
    object.__setattr__(value, "image_size", size)
    rows = {
        f.name: len(getattr(value, f.name))
        for f in fields(value)
        if isinstance(getattr(value, f.name), torch.Tensor)
    }
    if len(set(rows.values())) > 1:
        raise MismatchError(f"{kind} needs one row per face in every field, found {rows}.")
    if len(index) and not (0 <= int(index.min()) and int(index.max()) < size[0]):
        raise MismatchError(
            f"{kind}.image_index must lie in 0 … {size[0] - 1} (a batch of {size[0]}), "
            f"found {int(index.min())} … {int(index.max())}."
        )


def _rows(index: Index, count: int) -> torch.Tensor:
    """Turn a mask, list, slice or single index into [M] int64 row numbers."""
    if isinstance(index, slice):
        index = list(range(count))[index]
    if isinstance(index, (list, tuple)) and not index:
        return torch.zeros(0, dtype=torch.int64, device="cpu")
    try:
        rows = torch.atleast_1d(torch.as_tensor(index, device="cpu"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise MismatchError(
            f"Faces are chosen by numbers, a slice or a mask, found {index!r:.100}."
        ) from error
    if rows.dtype == torch.bool:
        if rows.shape != (count,):
            raise MismatchError(f"A mask over {count} faces has shape {list(rows.shape)}.")
        return rows.nonzero()[:, 0]
    if rows.is_floating_point() or rows.ndim != 1:
        raise MismatchError(
            f"Faces are chosen by [M] whole numbers or a mask, found {rows.dtype} of shape "
            f"{list(rows.shape)}."
        )
    absent = rows[(rows < -count) | (rows >= count)]
    if len(absent):
        raise MismatchError(f"Face {int(absent[0])} was asked for; there are {count}.")
    return torch.arange(count, device="cpu")[rows.to(torch.int64)]


def _select(value: _Value, index: Index) -> _Value:
    rows = _rows(index, len(value))
    picked = {
        f.name: getattr(value, f.name)[rows]
        for f in fields(value)
        if isinstance(getattr(value, f.name), torch.Tensor)
    }
    return replace(value, **picked)
