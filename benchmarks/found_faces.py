"""Measures which faces are found: turned photographs, tiny faces, steadiness of landmarks.

    python benchmarks/fidelity.py turns|tiny|landmarks [PHOTOGRAPH…]

The results are in NOTES.md, section Found faces. Photographs are those of `../shared/photos` unless
others are named. A detector is measured if its weights are in the catalogue's folders or in
`../shared/weights`. Photographs are shrunk until their longer side has 700 px.
"""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from detectors import FILES, MIRRORED, SHARED

import gpen_core as gpen
from gpen_core.detectors import DETECTORS
from gpen_core.detectors.turns import turn_back
from gpen_core.warp import resample, resize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpen_core.detectors import Detector

    Table = list[list[str]]

SIDE = 700
FACELESS = (
    "brick", "camera", "cell", "chelsea", "clock", "coffee", "coins", "colorwheel", "grass",
    "gravel", "horse", "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina",
    "rocket", "text",
)  # fmt: skip
"""Pictures of scikit-image without a face. The man in `camera` stands with his back to us."""
TINY = (10, 12, 14, 16, 20, 24)
VIEWS = (
    # scale, degrees, shift in px, mirrored
    (1.0, 0, (0.0, 0.0), False),
    (0.83, 0, (3.3, 1.6), False),
    (1.2, 0, (7.4, 5.2), False),
    (1.0, 6, (0.0, 0.0), False),
    (1.0, -6, (0.0, 0.0), False),
    (1.09, 0, (11.0, 6.7), True),
    (0.93, 4, (2.0, 3.0), True),
)


def load_detectors() -> dict[str, Detector]:
    """Load every detector whose weights are here."""
    detectors = {}
    for name in DETECTORS:
        try:
            detectors[name] = gpen.load_detector(name, device="cpu", weights=FILES.get(name))
        except gpen.DetectorError as error:
            print(f"{name} is not measured: {error}")
    return detectors


def read_photographs(paths: list[Path], side: int = SIDE) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield names and pixels [1, 3, H, W] of photographs, the longer side at most `side` px."""
    folder = (SHARED / "photos").iterdir()
    for path in paths or sorted(file for file in folder if file.suffix != ".tsv"):
        yield path.name, shrink(gpen.read_image(path), side)


def shrink(image: torch.Tensor, side: int) -> torch.Tensor:
    """Shrink an image until its longer side has `side` px."""
    scale = side / max(image.shape[2:])
    if scale >= 1:
        return image
    return resize(image, *(round(length * scale) for length in image.shape[2:])).clamp(0, 1)


def read_faceless() -> Iterator[tuple[str, torch.Tensor]]:
    """Yield names and pixels of scikit-image's pictures without a face."""
    import numpy as np
    import skimage.data

    for name in FACELESS:
        try:
            picture = getattr(skimage.data, name)()
        except (AttributeError, OSError, ModuleNotFoundError):  # not in this installation
            continue
        scale = 255 if picture.dtype == np.uint8 else 1
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, 2)
        pixels = torch.from_numpy(np.float32(picture))
        yield name, shrink(pixels[..., :3].permute(2, 0, 1)[None] / scale, SIDE)


def measure_turns(paths: list[Path]) -> list[Table]:
    """Return two tables: photographs that were turned, and pictures without a face."""
    turned = [["detector", "upright kept", "same when turned", "faces", "never", "auto"]]
    faceless = [["detector", "pictures", "faces, never", "in four turns, auto", "time × never"]]
    for name, detector in load_detectors().items():
        turned.append([name, *_measure_turned(detector, paths)])
        faceless.append([name, *_measure_faceless(detector)])
    return [turned, faceless]


def _measure_turned(detector: Detector, paths: list[Path]) -> list[str]:
    """Count the turned photographs that give bit for bit the faces of the upright one, turned."""
    photographs = kept = same = 0
    faces = {"upright": 0, "never": 0, "auto": 0}
    for name, image in read_photographs(paths):
        photographs += 1
        upright = gpen.detect(detector, image, turns="never")
        found = gpen.detect(detector, image)
        kept += _is_equal(found, upright)
        for quarter in (1, 2, 3):
            turned = torch.rot90(image, -quarter, (2, 3)).contiguous()
            found = gpen.detect(detector, turned)
            equal = _is_equal(found, turn_back(upright, quarter, turned))
            same += equal
            faces["upright"] += len(upright)
            faces["auto"] += len(found)
            faces["never"] += len(gpen.detect(detector, turned, turns="never"))
            if not equal:
                print(f"{detector.name}, {name}, {90 * quarter}°: {len(upright)} → {len(found)}")
    counts = (str(faces[key]) for key in ("upright", "never", "auto"))
    return [f"{kept} of {photographs}", f"{same} of {3 * photographs}", *counts]


def _is_equal(found: gpen.Faces, expected: gpen.Faces) -> bool:
    return torch.equal(found.landmarks, expected.landmarks) and torch.equal(
        found.boxes, expected.boxes
    )


def _measure_faceless(detector: Detector) -> list[str]:
    pictures = upright = turned = 0
    ratios = []
    for _, image in read_faceless():
        pictures += 1
        upright += len(gpen.detect(detector, image, turns="never"))
        for quarter in range(4):
            turned += len(gpen.detect(detector, torch.rot90(image, quarter, (2, 3)).contiguous()))
        ratios.append(_time(detector, image, "auto") / _time(detector, image, "never"))
    ratio = f"{statistics.median(ratios):.2f} (most {max(ratios):.2f})"
    return [str(pictures), str(upright), str(turned), ratio]


def _time(detector: Detector, image: torch.Tensor, turns: str) -> float:
    """Return the least seconds of three searches."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        gpen.detect(detector, image, turns=turns)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure_tiny(paths: list[Path]) -> list[Table]:
    """Return a table: faces found of photographs with one face, shrunk to a given face width."""
    table = [["detector", "min_face", *(f"{side} px" for side in TINY)]]
    portraits = [image for _, image in read_photographs(paths)]
    reference = gpen.load_detector("mtcnn", device="cpu")
    alone = [(image, gpen.detect(reference, image)) for image in portraits]
    alone = [(image, faces) for image, faces in alone if len(faces) == 1]
    for name, detector in load_detectors().items():
        for wanted in (0, 12):
            row = [name, str(wanted)]
            for side in TINY:
                found = sum(_finds_tiny(detector, *pair, side, wanted) for pair in alone)
                row.append(f"{found} of {len(alone)}")
            table.append(row)
    return [table]


def _finds_tiny(
    detector: Detector, image: torch.Tensor, faces: gpen.Faces, side: int, wanted: float
) -> bool:
    """Shrink an image until its face is `side` px wide, and look for the face in a grey frame."""
    scale = side / float(faces.widths[0])
    size = [max(1, round(length * scale)) for length in image.shape[2:]]
    small = F.pad(resize(image, *size).clamp(0, 1), [100, 150, 120, 90], value=0.5)
    centre = faces.landmarks[0].mean(dim=0) * scale + torch.tensor([100.0, 120.0])
    found = gpen.detect(detector, small, turns="never", min_face=wanted)
    return bool(((found.landmarks.mean(dim=1) - centre).norm(dim=1) < side / 2).any())


def measure_landmarks(paths: list[Path]) -> list[Table]:
    """Return two tables: how far landmarks move, and where detectors place them."""
    moved = [["detector", "faces", "as detected", "refined", "ratio", "ms per face"]]
    images = [image for _, image in read_photographs(paths)]
    for name, detector in load_detectors().items():
        plain, _ = measure_movement(detector, images, refine=False)
        refined, milliseconds = measure_movement(detector, images, refine=True)
        before, after = (100 * statistics.median(part) for part in (plain, refined))
        moved.append(
            [name, str(len(refined)), f"{before:.2f} %", f"{after:.2f} %",
             f"{after / before:.2f}", f"{milliseconds:.0f}"]
        )  # fmt: skip
    return [moved]


def measure_movement(
    detector: Detector, images: list[torch.Tensor], *, refine: bool
) -> tuple[list[float], float]:
    """Measure how far the landmarks of each face move between `VIEWS` of an image.

    Returns:
        For each face that is found in every view, the rms distance of its landmarks from their
        mean, in eye distances; and the milliseconds that refining took per face.
    """
    moves, seconds, count = [], 0.0, 0
    for image in images:
        views = []
        for number in range(len(VIEWS)):
            pixels, to_image, mirrored = make_view(image, number)
            faces = gpen.detect(detector, pixels, turns="never")
            if refine:
                start = time.perf_counter()
                faces = gpen.refine_landmarks(detector, pixels, faces)
                seconds += time.perf_counter() - start
                count += len(faces)
            landmarks = faces.landmarks.double()
            if mirrored:
                landmarks = landmarks[:, MIRRORED]
                landmarks = torch.stack(
                    [pixels.shape[3] - landmarks[..., 0], landmarks[..., 1]], dim=2
                )
            views.append(landmarks @ to_image[:, :2].T + to_image[:, 2])
        moves += [
            float((points - points.mean(dim=0)).norm(dim=2).square().mean().sqrt())
            / float((points[0, 0] - points[0, 1]).norm())
            for points in _match(views)
        ]
    return moves, 1e3 * seconds / max(1, count)


def make_view(image: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor, bool]:
    """Return a view of an image, the map [2, 3] from its points, and whether it is mirrored."""
    scale, degrees, shift, mirrored = VIEWS[number]
    height, width = (round(length * scale) for length in image.shape[2:])
    angle = math.radians(degrees)
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    linear = torch.tensor(turn, dtype=torch.float64) / scale
    middle = torch.tensor([image.shape[3] / 2, image.shape[2] / 2], dtype=torch.float64)
    moved = torch.tensor([width / 2 + shift[0], height / 2 + shift[1]], dtype=torch.float64)
    to_image = torch.cat([linear, (middle - linear @ moved)[:, None]], dim=1)
    pixels = resample(image, to_image, height, width).clamp(0, 1)
    return pixels.flip(3) if mirrored else pixels, to_image, mirrored


def _match(views: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield [V, 5, 2] for each face of the first view that is found in every other view."""
    for face in views[0]:
        eyes = (face[0] - face[1]).norm()
        points = [face]
        for others in views[1:]:
            distances = (others - face).norm(dim=2).mean(dim=1)
            if len(others) and distances.min() < eyes / 2:
                points.append(others[distances.argmin()])
        if len(points) == len(views):
            yield torch.stack(points)
