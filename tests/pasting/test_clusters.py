"""Clusters of crops that touch each other."""

from __future__ import annotations

import torch

from gpen_core.faces import Alignment
from gpen_core.pasting.clusters import find_clusters


def squares(*corners: tuple[float, float], images: list[int] | None = None) -> Alignment:
    """Crops of 64 × 64 px whose top left corners lie there."""
    affine = torch.eye(2, 3, dtype=torch.float64).repeat(len(corners), 1, 1)
    affine[:, :, 2] = -torch.tensor(corners, dtype=torch.float64)
    index = torch.tensor(images or [0] * len(corners))
    return Alignment(affine, 64, index, (2, 1000, 1000))


def groups(alignment: Alignment) -> list[set[int]]:
    numbers = find_clusters(alignment, torch.empty(2, 3, 1000, 1000, device="meta"))
    return [
        {row for row, other in enumerate(numbers) if other == number}
        for number in dict.fromkeys(numbers)
    ]


def test_crops_apart_are_clusters_of_their_own():
    assert groups(squares((0, 0), (200, 0), (0, 200))) == [{0}, {1}, {2}]


def test_a_crop_between_two_others_joins_their_clusters():
    assert groups(squares((0, 0), (110, 0), (500, 500), (55, 0))) == [{0, 1, 3}, {2}]


def test_crops_that_nearly_touch_share_the_pixels_between_them():
    assert groups(squares((0, 0), (70, 0))) == [{0, 1}]


def test_crops_of_two_images_never_touch():
    assert groups(squares((0, 0), (0, 0), images=[0, 1])) == [{0}, {1}]
