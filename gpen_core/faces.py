"""The three values that the verbs pass on: `Faces`, `Alignment`, `Crops`.

Each is a frozen set of parallel tensors that is validated once, when it is made. You filter by
indexing; N = 0 is an ordinary value. Geometry (boxes, landmarks, affines, indices) stays on the
CPU: it is tiny, and cutting rectangles from an image on a GPU then needs no synchronisation. Pixels
may be on any device.

Convention: points are (x, y) in pixels. A row of W pixels spans 0 … W, so pixel centres lie at
integers + 0.5. An *affine* maps image points to crop points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from .errors import MismatchError
from .names import TEMPLATES
from .parallel_tensors import row_numbers, select, set_field, set_image_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .parallel_tensors import Index

LARGEST_CROP_FACTOR = 3
"""The largest `crop_factor`: a face of a third of the template's size in its crop."""

LANDMARK_NAMES = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")
"""The order of the five landmarks, with left and right as the viewer sees them."""


@dataclass(frozen=True, eq=False)
class Faces:
    """Faces found in a batch of images.

    Attributes:
        boxes: [N, 4] float32, x0 y0 x1 y1 in pixels.
        landmarks: [N, 5, 2] float32, (x, y) in pixels, in the order of `LANDMARK_NAMES`.
        scores: [N] float32, the detector's confidence in [0, 1].
        image_index: [N] int64, which image of the batch each face is in.
        image_size: (B, H, W) of the batch that was searched.

    Raises:
        MismatchError: a shape, length or value is impossible.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> points = torch.tensor([[24.0, 28], [40, 28], [32, 36], [26, 44], [38, 44]])
        >>> faces = gpen.Faces(
        ...     boxes=torch.tensor([[16.0, 16, 48, 52], [16, 16, 48, 52]]),
        ...     landmarks=torch.stack([points, points]), scores=torch.tensor([0.9, 0.4]),
        ...     image_index=torch.tensor([0, 1]), image_size=(2, 64, 64))
        >>> len(faces), len(faces[faces.scores > 0.5]), len(gpen.Faces.empty((2, 64, 64)))
        (2, 1, 0)
    """

    boxes: torch.Tensor
    landmarks: torch.Tensor
    scores: torch.Tensor
    image_index: torch.Tensor
    image_size: tuple[int, int, int]

    def __post_init__(self) -> None:
        set_field(self, "boxes", torch.float32, (4,))
        set_field(self, "landmarks", torch.float32, (5, 2))
        set_field(self, "scores", torch.float32, ())
        set_image_index(self)

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Faces]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, index: Index) -> Faces:
        return select(self, index)

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

    def at_size(self, height: int, width: int) -> Faces:
        """Return the same faces in the same images, enlarged or shrunk to that size."""
        images, old_height, old_width = self.image_size
        scale = self.boxes.new_tensor([width / old_width, height / old_height])
        return replace(
            self,
            boxes=self.boxes * scale.repeat(2),
            landmarks=self.landmarks * scale,
            image_size=(images, height, width),
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
    """The places in a batch of images where crops were cut.

    Attributes:
        affine: [N, 2, 3] float64, maps image points to crop points. Points are (x, y); pixel
            centres lie at integers + 0.5.
        crop_size: side S in pixels at which the crops were cut.
        image_index: [N] int64, which image of the batch each crop was cut from.
        image_size: (B, H, W) of that batch.
        template: "gpen" or "ffhq", where faces lie in these crops.
        crop_factor: sides of these crops as a multiple of the template's, from 1: more around
            the face.

    Raises:
        MismatchError: a shape, length or value is impossible.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> halve = torch.tensor([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]])  # 128 px become 64 px
        >>> alignment = gpen.Alignment(
        ...     halve, crop_size=64, image_index=torch.tensor([0]), image_size=(1, 128, 128))
        >>> alignment.inverse_affine[0].tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
        >>> alignment.at_size(256).affine[0, 0, 0].item()
        2.0
    """

    affine: torch.Tensor
    crop_size: int
    image_index: torch.Tensor
    image_size: tuple[int, int, int]
    template: str = TEMPLATES[0]
    crop_factor: float = 1.0

    def __post_init__(self) -> None:
        set_field(self, "affine", torch.float64, (2, 3))
        set_image_index(self)
        if not isinstance(self.crop_size, int) or self.crop_size < 1:
            raise MismatchError(
                f"Alignment.crop_size must be a whole number from 1, found {self.crop_size!r}."
            )
        if (torch.linalg.det(self.affine[:, :, :2]) == 0).any():
            raise MismatchError("Alignment.affine holds a map that has no inverse.")
        if self.template not in TEMPLATES:
            raise MismatchError(
                f"Alignment.template must be {' or '.join(TEMPLATES)}, found {self.template!r}."
            )
        if not 1 <= self.crop_factor <= LARGEST_CROP_FACTOR:
            raise MismatchError(
                f"Alignment.crop_factor must be from 1 to {LARGEST_CROP_FACTOR}, found "
                f"{self.crop_factor!r}."
            )

    def __len__(self) -> int:
        return len(self.affine)

    def __iter__(self) -> Iterator[Alignment]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, index: Index) -> Alignment:
        return select(self, index)

    def at_size(self, size: int) -> Alignment:
        """Return the same places for crops of `size` pixels."""
        # Because pixel centres lie at integers + 0.5, a change of size is a plain scaling.
        return replace(self, affine=self.affine * (size / self.crop_size), crop_size=size)

    def with_crop_factor(self, crop_factor: float) -> Alignment:
        """Return crops of the same size that show more or less around the same middles."""
        checked = replace(self, crop_factor=crop_factor)
        wider = crop_factor / self.crop_factor
        affine = self.affine / wider
        affine[:, :, 2] += self.crop_size * (1 - 1 / wider) / 2
        return replace(checked, affine=affine)

    def of_image_size(self, height: int, width: int) -> Alignment:
        """Return the same crops of the same images, enlarged or shrunk to that size."""
        images, old_height, old_width = self.image_size
        scale = self.affine.new_tensor([old_width / width, old_height / height, 1])
        return replace(self, affine=self.affine * scale, image_size=(images, height, width))

    @property
    def inverse_affine(self) -> torch.Tensor:
        """[N, 2, 3] float64, maps crop points to image points."""
        square = torch.linalg.inv(self.affine[:, :, :2])
        return torch.cat([square, -square @ self.affine[:, :, 2:]], dim=2)


@dataclass(frozen=True, eq=False)
class Crops:
    """Aligned face crops and the places they were cut from.

    Attributes:
        pixels: [N, 3, S, S] RGB float in [0, 1], on any device. S differs from
            `alignment.crop_size` if the crops were enlarged or shrunk after they were cut.
        alignment: the `Alignment` of the same N crops.

    Raises:
        MismatchError: pixels have another shape or dtype, or their number differs.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> alignment = gpen.Alignment(
        ...     torch.eye(2, 3)[None], crop_size=64, image_index=torch.tensor([0]),
        ...     image_size=(1, 64, 64))
        >>> crops = gpen.Crops(torch.rand(1, 3, 128, 128), alignment)
        >>> crops.size, crops.alignment.crop_size
        (128, 64)
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
        rows = row_numbers(index, len(self))
        return Crops(self.pixels[rows.to(self.pixels.device)], self.alignment[rows])

    @property
    def size(self) -> int:
        """Side S of the pixels now."""
        return self.pixels.shape[-1]
