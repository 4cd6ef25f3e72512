"""Segmentation to face: the palette, the range [0, 1] on both sides, and other colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import TINY, golden_model
from runners import FunctionRunner

from gpen_core import CheckpointError, GPENConfig, MismatchError, restore_image
from gpen_core.faces import Alignment, Crops
from gpen_core.restore import restore
from gpen_core.tasks.segmentation import PALETTE, match_palette, segment_to_face

# From the published label colours, in the order of CelebAMask-HQ.
COLOURS = [
    "000000", "CC0000", "4C9900", "CCCC00", "3333FF", "CC00CC", "00FFFF", "33FFFF", "663300",
    "FF0000", "66CC00", "FFFF00", "000099", "0000CC", "FF3399", "00CCCC", "003300", "FF9933",
    "00CC00",
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return golden_model(GPENConfig(64, 64, (32,) * 5, **TINY))


def make_map(size: int) -> np.ndarray:
    """A map of all labels in blocks, uint8 [size, size, 3]."""
    labels = np.add.outer(np.arange(size) * 5 // size * 4, np.arange(size) * 4 // size) % 19
    return np.array([list(bytes.fromhex(colour)) for colour in COLOURS], np.uint8)[labels]


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).movedim(-1, 0)[None].float() / 255


def test_the_palette_is_the_published_one():
    assert [f"{code:06X}" for code in PALETTE.values()] == COLOURS
    assert list(PALETTE)[:3] == ["background", "skin", "nose"]


@pytest.mark.parametrize("size", [64, 100, 32])
def test_input_and_output_lie_in_0_to_1_and_labels_are_not_mixed(model, size):
    seen = []

    def run(faces, *, noise_seed):
        seen.append(faces)
        return model(faces, noise_seed=noise_seed)

    pixels = make_map(size)
    face = segment_to_face(FunctionRunner(model, run), to_tensor(pixels))
    centres = ((np.arange(64) + 0.5) * size / 64).astype(int)
    given = pixels[centres][:, centres].astype(np.float32).transpose(2, 0, 1)[None] / 255
    assert np.abs(seen[0].numpy() - given).max() < 1e-6
    with torch.inference_mode():
        expected = np.clip(model(torch.from_numpy(given)).numpy(), 0, 1)
    assert np.abs(face.numpy() - expected).max() < 1e-5


def test_other_colours_are_refused_with_their_number(model):
    pixels = make_map(64)
    pixels[0, :7] = (1, 2, 3)
    with pytest.raises(MismatchError, match=r"1 colours .*010203 \(7 pixels\).*CC0000 skin.*PNG"):
        segment_to_face(model, to_tensor(pixels))


def test_the_nearest_colours_are_taken_on_demand_and_it_is_said(model):
    pixels = make_map(64)
    noisy = np.clip(pixels.astype(int) + np.random.default_rng(0).integers(-9, 10, (64, 64, 3)), 0,
                    255)  # fmt: skip
    other = int((noisy != pixels).any(axis=2).sum())
    clean, replaced = match_palette(to_tensor(noisy), nearest=True)
    assert torch.equal(clean, to_tensor(pixels))
    assert replaced == other
    messages: list[str] = []
    found = segment_to_face(model, to_tensor(noisy), nearest=True, on_replaced=messages.append)
    assert torch.equal(found, segment_to_face(model, to_tensor(pixels)))
    assert f"{other} of 4096 pixels" in messages[0]
    with pytest.warns(UserWarning, match=f"{other} of 4096"):
        segment_to_face(model, to_tensor(noisy), nearest=True)


def test_maps_that_are_not_square_and_models_of_another_task_are_refused(model, tiny_gpen):
    with pytest.raises(MismatchError, match="square, found 8×4"):
        segment_to_face(model, torch.zeros(1, 3, 4, 8))
    wrong = FunctionRunner(tiny_gpen, tiny_gpen)
    wrong.task = "restore"
    with pytest.raises(CheckpointError, match=r"segmentation maps .*Seg2face-512.*gpen restore"):
        segment_to_face(wrong, torch.zeros(1, 3, 8, 8))


def test_restoring_refuses_a_model_of_another_task(tiny_gpen):
    wrong = FunctionRunner(tiny_gpen, tiny_gpen)
    wrong.task = "segment-to-face"
    alignment = Alignment(torch.eye(2, 3)[None], 32, torch.tensor([0]), (1, 32, 32))
    message = r"restores faces .*BFR-512.*paints faces .*gpen segment-to-face.*node Faces from"
    with pytest.raises(CheckpointError, match=message):
        restore(wrong, Crops(torch.rand(1, 3, 32, 32), alignment))
    with pytest.raises(CheckpointError, match=message):
        restore_image(wrong, object(), torch.rand(1, 3, 32, 32))
