"""Find the faces of images that lie on their side or stand on their head.

A detector finds faces that are tilted by up to about 45°. In a photograph that was turned by a
quarter it misses most faces and takes other things for faces, some with scores above 0.99. Counting
faces does not tell the right turn. The landmarks do: those of a false face are rarely arranged like
a face (the *likeness*), or they are tilted. In none of 22 photographs at two sizes, with three
detectors, had a full search of a wrong turn more evidence by `list_evidence` than the right one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ..faces import Faces
from ..templates import TEMPLATES, fit_similarity
from .merging import SAME_FACE_IOU, compare, filter_faces, join
from .scales import TILE_PIXELS, shrink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .protocol import Detector
    from .searching import Search

QUARTERS = (0, 1, 2, 3)
"""How often an image may have to be turned by 90°, counterclockwise."""
SURE_SCORES = {
    "retinaface_resnet50": 0.99, "retinaface_mobile0.25": 0.99, "mtcnn": 0.985, "yunet": 0.905,
}  # fmt: skip
"""Scores that the upright faces of most photographs reach, and no false face of a photograph that
was turned. (The highest were 0.982, 0.977 and 0.894; ResNet-50 was not measured.)"""
SURE_TILT, SURE_LIKENESS = 30.0, 0.9
"""Largest tilt in degrees and least likeness, as medians, of a search that is sure."""
CLEARLY = 1.05
"""How many times as much evidence another turn needs as the upright one."""
CERTAIN_TILT = 50.0
"""Largest tilt in degrees of a face that counts though its image has another turn."""


def find_in_best_turn(search: Search, image: torch.Tensor) -> Faces:
    """Find the faces of each image in its right turn: upright, unless that search is not sure.

    Args:
        search: the options of `detect`.
        image: [B, 3, H, W], not empty.
    """
    tally = search.tally
    tally.expect(search.count_forwards(image))
    tally.expect(_count_reduced(search, image))
    faces = search.find(image)
    parts = [faces[faces.image_index == n] for n in range(len(image))]
    unsure = [n for n, part in enumerate(parts) if not _is_sure(search.detector, part)]
    if not unsure:
        tally.skip_rest()
        return faces
    upright = [float(list_evidence(parts[n]).sum()) for n in unsure]
    turns = choose_turns(search, image, unsure, upright)
    for quarter in QUARTERS[1:]:
        rows = [n for n, turn in zip(unsure, turns, strict=True) if turn == quarter]
        for chunk in split_rows(rows, image):
            turned = torch.rot90(image[chunk], quarter, (2, 3))
            tally.expect(search.count_forwards(turned))
            found = search.find(turned)
            for place, n in enumerate(chunk):
                part = found[found.image_index == place]
                if list_evidence(part).sum() > CLEARLY * list_evidence(parts[n]).sum():
                    part = turn_back(part, quarter, image)
                    parts[n] = replace(part, image_index=torch.full_like(part.image_index, n))
    tally.skip_rest()
    return join(parts, faces.image_size)


def find_in_every_turn(search: Search, image: torch.Tensor) -> Faces:
    """Find each face of [B, 3, H, W] in its own turn: heads of people who lie down, too.

    All faces of an image's right turn count, and those of another turn that are certain. A face
    that is found in several turns is taken from the one with the most evidence.
    """
    search.tally.expect(len(QUARTERS) * search.count_forwards(image))
    whole = replace(search, max_faces=None)
    found = []
    for quarter in QUARTERS:
        faces = whole.find(torch.rot90(image, quarter, (2, 3)))
        certain = select_certain(search.detector, faces)
        found.append((turn_back(faces, quarter, image), certain, list_evidence(faces)))
    parts = [_merge_turns(found, number) for number in range(len(image))]
    return filter_faces(join(parts, found[0][0].image_size), max_faces=search.max_faces)


def _merge_turns(found: Sequence[tuple[Faces, torch.Tensor, torch.Tensor]], number: int) -> Faces:
    """Merge the faces of all turns of one image.

    Args:
        found: for each turn its faces, which of them are certain, and their evidence.
        number: the image.
    """
    turns = [
        (faces[rows], certain[rows], evidence[rows])
        for faces, certain, evidence in found
        for rows in [faces.image_index == number]
    ]
    right = max(QUARTERS, key=lambda quarter: float(turns[quarter][2].sum()))
    counts = [certain | (quarter == right) for quarter, (_, certain, _) in enumerate(turns)]
    faces = join(
        [turn[0][rows] for turn, rows in zip(turns, counts, strict=True)], turns[0][0].image_size
    )
    evidence = torch.cat([turn[2][rows] for turn, rows in zip(turns, counts, strict=True)])
    overlap, inside = compare(faces.boxes)
    same = (overlap > SAME_FACE_IOU) | inside
    kept: list[int] = []
    for row in evidence.argsort(descending=True, stable=True).tolist():
        if not same[row, kept].any():
            kept.append(row)
    return faces[kept]


def choose_turns(
    search: Search, image: torch.Tensor, rows: Sequence[int], upright: Sequence[float]
) -> list[int]:
    """Choose the right turns of some images of a batch, by a search at a reduced scale.

    Args:
        search: the options of `detect`.
        image: [B, 3, H, W].
        rows: the numbers of the images.
        upright: the evidence of the full upright search of each. Evidence that only the reduced
            one has for the upright turn does not count.
    """
    small = replace(search, max_faces=None)
    evidence = []
    for chunk in split_rows(rows, image):
        pixels = shrink_for_turns(search, image[chunk])
        sums = torch.zeros(len(QUARTERS), len(chunk), dtype=torch.float64, device="cpu")
        for quarter in QUARTERS[:2]:
            turned = torch.rot90(pixels, quarter, (2, 3))
            # Opposite turns have the same size, so they are searched together.
            faces = small.find(torch.cat([turned, turned.flip(2, 3)]))
            row = quarter + 2 * (faces.image_index >= len(chunk))
            column = faces.image_index % len(chunk)
            sums.index_put_((row, column), list_evidence(faces).double(), accumulate=True)
        evidence += sums.T.tolist()
    return [
        _choose_turn([min(sums[0], most), *sums[1:]])
        for sums, most in zip(evidence, upright, strict=True)
    ]


def _count_reduced(search: Search, image: torch.Tensor) -> int:
    """Count the forward passes of `choose_turns` for all images."""
    small = shrink_for_turns(search, image[:1])
    chunks = split_rows(range(len(image)), image)
    sizes = [small.expand(2 * len(chunk), *small.shape[1:]) for chunk in chunks]
    return 2 * sum(map(search.count_forwards, sizes))


def _choose_turn(evidence: Sequence[float]) -> int:
    """Choose the quarter with the most evidence, upright unless another has clearly more."""
    best = max(QUARTERS, key=evidence.__getitem__)
    return best if evidence[best] > CLEARLY * evidence[0] else 0


def shrink_for_turns(search: Search, image: torch.Tensor) -> torch.Tensor:
    """Shrink [B, 3, H, W] so that the search of four turns takes as long as one of the image."""
    height, width = image.shape[2:]
    most = search.count_pixels(height, width) / len(QUARTERS)
    scale = 0.5
    while scale > 0.1 and search.count_pixels(height * scale, width * scale) > most:
        scale *= 0.95
    return shrink(image, max(1, int(height * scale)), max(1, int(width * scale)))


def split_rows(rows: Sequence[int], image: torch.Tensor) -> list[Sequence[int]]:
    """Split the numbers of some images into parts that are copied together."""
    length = max(1, TILE_PIXELS // image[0, 0].numel())
    return [rows[start : start + length] for start in range(0, len(rows), length)]


def turn_back(faces: Faces, quarter: int, image: torch.Tensor) -> Faces:
    """Turn faces of `torch.rot90(image, quarter, (2, 3))` into faces of `image`."""
    B, _, H, W = image.shape
    corners = _turn_points(faces.boxes.view(-1, 2, 2), quarter, H, W)
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
    landmarks = _turn_points(faces.landmarks, quarter, H, W)
    return Faces(boxes, landmarks, faces.scores, faces.image_index, (B, H, W))


def _turn_points(points: torch.Tensor, quarter: int, height: int, width: int) -> torch.Tensor:
    x, y = points.unbind(dim=-1)
    turned = {0: (x, y), 1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    return torch.stack(turned[quarter], dim=-1)


def list_evidence(faces: Faces) -> torch.Tensor:
    """Return for each face [N] how much it speaks for the turn it was found in.

    That is its score, times the cosine of its tilt, times the fourth power of its likeness.
    """
    tilt, likeness = measure_pose(faces)
    return faces.scores * torch.cos(tilt * (math.pi / 180)).clamp(min=0) * likeness**4


def measure_pose(faces: Faces) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each face's tilt [N] in degrees, 0 for an upright one, and its likeness [N] to one."""
    target = torch.tensor(TEMPLATES["gpen"], dtype=torch.float64, device="cpu")
    affine, likeness = fit_similarity(faces.landmarks.double(), target)
    tilt = torch.atan2(affine[:, 1, 0], affine[:, 0, 0]) * (180 / math.pi)
    return tilt, likeness


def _is_sure(detector: Detector, faces: Faces) -> bool:
    """Return whether an upright search found the faces of an upright image."""
    if not len(faces):
        return False
    tilt, likeness = measure_pose(faces)
    return (
        float(faces.scores.median()) >= get_sure_score(detector)
        and float(tilt.abs().median()) <= SURE_TILT
        and float(likeness.median()) >= SURE_LIKENESS
    )


def select_certain(detector: Detector, faces: Faces) -> torch.Tensor:
    """Tell which faces [N] count even if they were found in another turn than most."""
    tilt, likeness = measure_pose(faces)
    certain = (faces.scores >= get_sure_score(detector)) & (likeness >= SURE_LIKENESS)
    return certain & (tilt.abs() <= CERTAIN_TILT)


def get_sure_score(detector: Detector) -> float:
    """Return the score that no false face of a turned photograph reached."""
    return SURE_SCORES.get(detector.name, max(SURE_SCORES.values()))
