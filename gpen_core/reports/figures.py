"""`FaceReport` and `Report`: what was done to each face, in figures and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

DIGITS = 3
"""Significant digits of figures in JSON."""


@dataclass(frozen=True, eq=False)
class FaceReport:
    """What was done to one face.

    Lengths are in pixels of the photograph, levels are of 255. A figure is None if it could not be
    measured, or if nothing was given to measure it with.

    Attributes:
        number: of the face in its image, from 1, in the order of the faces given.
        image: which image of the batch, from 0.
        box: x0, y0, x1, y1.
        score: the detector's confidence.
        eye_distance: the distance between the eyes.
        pasted: the mean weight of the restored face in its box, 0 … 1. 0: nothing changed.
        finest_before: sharpness, as the length of the finest waves above the noise.
        finest_after: the same in the result.
        noise_before: standard deviation of the noise.
        noise_after: the same in the result.
        made_up: the share of the result's detail that the photograph does not hold, 0 … 1.
        changed: root mean square of the change where the photograph does hold the face.
        landmarks_moved: mean distance by which eyes, nose and mouth corners moved, as a part of the
            eye distance.
        identity_distance: cosine distance of the descriptors before and after, 0 … 2.
        pictures: "before", "after" and "where", each [3, h, w] RGB in [0, 1] on the CPU.
    """

    number: int
    image: int
    box: tuple[float, float, float, float]
    score: float
    eye_distance: float
    pasted: float
    finest_before: float | None = None
    finest_after: float | None = None
    noise_before: float | None = None
    noise_after: float | None = None
    made_up: float | None = None
    changed: float | None = None
    landmarks_moved: float | None = None
    identity_distance: float | None = None
    pictures: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the box."""
        x0, y0, x1, y1 = self.box
        return x1 - x0, y1 - y0

    def to_json(self) -> dict[str, Any]:
        """Return all figures, in values that JSON has."""
        figures = {
            name: value
            for name, value in vars(self).items()
            if name not in ("pictures", "number", "image", "box")
        }
        return {
            "number": self.number,
            "image": self.image,
            "box": [round(side, 1) for side in self.box],
            **{name: _round(value) for name, value in figures.items()},
        }


@dataclass(frozen=True, eq=False)
class Report:
    """The result of `report`.

    Attributes:
        faces: one `FaceReport` for each face, in the order given.
        image_size: (B, H, W) of the photographs.
        result_size: (B, H, W) of the results.
        overview: for each photograph, [3, h, w] with its faces numbered.
    """

    faces: tuple[FaceReport, ...]
    image_size: tuple[int, int, int]
    result_size: tuple[int, int, int]
    overview: tuple[torch.Tensor, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return all figures, in values that JSON has."""
        return {
            "photograph": {"width": self.image_size[2], "height": self.image_size[1]},
            "result": {"width": self.result_size[2], "height": self.result_size[1]},
            "faces": [face.to_json() for face in self.faces],
        }


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
