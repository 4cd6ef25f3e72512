from __future__ import annotations

import pytest
import torch

import gpen_core as gpen
from gpen_core.errors import MismatchError
from gpen_core.images import check_image, check_range

FACES = gpen.Faces.empty((1, 64, 64))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.rand(3, 8, 8), r"photo must be \[B, 3, H, W\].*found \[3, 8, 8\]"),
        (torch.rand(1, 4, 8, 8), r"found \[1, 4, 8, 8\]"),
        (torch.rand(1, 3, 0, 8), "at least 1"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), r"floating point.*torch\.uint8"),
    ],
)
def test_a_tensor_that_is_no_image_is_refused(image, words):
    with pytest.raises(MismatchError, match=words):
        check_image(image, "photo")


@pytest.mark.parametrize(
    ("low", "high", "mend"),
    [
        (0.0, 255.0, "found 0 … 255. Divide 8-bit values by 255"),
        (-1.0, 1.0, r"found -1 … 1. Map \[-1, 1\] by x / 2 \+ 0.5"),
        (-0.6, 0.9, "found -0.6 … 0.9"),
        (0.1, 2.1, "found 0.1 … 2.1"),
    ],
)
def test_every_verb_names_another_range(tiny_gpen, low, high, mend):
    image = torch.full((1, 3, 64, 64), 0.5)
    image[0, 0, 0, :2] = torch.tensor([low, high])
    crops = gpen.Crops(
        image, gpen.Alignment(torch.eye(2, 3)[None], 64, torch.tensor([0]), (1, 64, 64))
    )
    calls = [
        lambda: gpen.detect(gpen.load_detector("mtcnn", device="cpu"), image),
        lambda: gpen.align(image, FACES, size=32),
        lambda: gpen.restore(tiny_gpen, crops),
        lambda: gpen.paste(image, crops[[]]),
        lambda: gpen.restore_image(tiny_gpen, None, image),
        lambda: gpen.degrade(image, seed=0),
    ]
    for call in calls:
        with pytest.raises(gpen.MismatchError, match=mend):
            call()


@pytest.mark.parametrize(("low", "high"), [(-0.5, 2.0), (0, 1), (-torch.inf, torch.inf)])
def test_overshoot_and_overflow_are_left_to_be_clamped(low, high):
    check_range(torch.tensor([0.5, low, high]), "image")


@pytest.mark.parametrize("count", [1, 4])
def test_every_verb_refuses_an_image_of_another_number_of_channels(tiny_gpen, count):
    image = torch.rand(1, count, 64, 64)
    calls = [
        lambda: gpen.detect(gpen.load_detector("mtcnn", device="cpu"), image),
        lambda: gpen.align(image, FACES, size=32),
        lambda: gpen.restore_image(tiny_gpen, None, image),
        lambda: gpen.degrade(image, seed=0),
    ]
    for call in calls:
        with pytest.raises(gpen.MismatchError, match=rf"found \[1, {count}, 64, 64\]"):
            call()
