"""Strengths of pasted faces: one for all or one for each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gpen_core import Alignment, Crops, MismatchError, paste
from gpen_core.pasting.options import parse_strengths


def place_two(first: float, second: float, images: int = 1) -> Alignment:
    """Place crops of 64 px on two squares of these sides around the centre of 512 px images."""
    affine = torch.zeros(2, 2, 3, dtype=torch.float64)
    for row, side in enumerate((first, second)):
        affine[row, 0, 0] = affine[row, 1, 1] = 64 / side
        affine[row, :, 2] = 32 - 64 / side * 256.3
    return Alignment(affine, 64, torch.zeros(2, dtype=torch.int64), (images, 512, 512))


@pytest.fixture
def photograph() -> torch.Tensor:
    return torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))


def test_each_face_has_its_own_strength_in_the_order_of_the_crops(photograph):
    images = photograph.repeat(2, 1, 1, 1)
    place = place_two(60, 90, images=2)
    place = replace(place, image_index=torch.tensor([1, 0]))
    crops = Crops(torch.rand(2, 3, 64, 64), place)
    whole = paste(images, crops)
    mixed = paste(images, crops, strengths=[0, 0.5])
    assert torch.equal(mixed.image[1], images[1])
    assert torch.allclose(mixed.image[0], images[0].lerp(whole.image[0], 0.5), atol=1e-6)
    assert torch.equal(mixed.mask, whole.mask)


def test_a_face_of_strength_0_keeps_its_pixels_beside_one_that_changes(photograph):
    place = place_two(60, 200)
    crops = Crops(torch.rand(2, 3, 64, 64), place)
    small = paste(photograph, crops[[0]]).mask[:, 0] > 0
    kept = paste(photograph, crops, strengths=[0.7, 0])
    changed = (kept.image != photograph).any(dim=1)
    assert changed.any()
    assert not changed[~small].any()


@pytest.mark.parametrize("strengths", [[1.0], [1, 1, 1], [1, 1.5], [float("nan"), 1]])
def test_strengths_of_another_number_or_beyond_1_are_refused(photograph, strengths):
    place = place_two(60, 90)
    with pytest.raises(MismatchError, match="strengths"):
        paste(photograph, Crops(torch.rand(2, 3, 64, 64), place), strengths=strengths)


def test_strengths_are_parsed_from_text():
    assert parse_strengths("") is None
    assert parse_strengths("1, 0.5 0") == [1.0, 0.5, 0.0]
    for text in ("1, x", "1.01", "-0.1", "nan", "9" * 5000):
        with pytest.raises(MismatchError, match="is not a strength"):
            parse_strengths(text)
