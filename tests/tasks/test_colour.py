"""Colourising: the photograph keeps its luma, the network gives the chroma."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import TINY, golden_model
from runners import FunctionRunner

from gpen_core import CheckpointError, GPENConfig, MismatchError
from gpen_core.align import cut, find_alignment
from gpen_core.faces import Faces
from gpen_core.tasks.colour import colorize, colorize_detected, spread_chroma

POINTS = torch.tensor([[40.0, 36], [60, 36], [50, 47], [42, 58], [58, 58]])
FACES = Faces(
    torch.tensor([[30.0, 24, 70, 70]]), POINTS[None], torch.ones(1),
    torch.zeros(1, dtype=torch.int64), (1, 96, 120),
)  # fmt: skip
LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def model():
    return golden_model(GPENConfig(64, 64, (32,) * 5, **TINY))


@pytest.fixture
def sepia() -> torch.Tensor:
    grey = torch.rand(1, 1, 96, 120, generator=torch.Generator().manual_seed(3)) * 0.8 + 0.1
    return grey ** torch.tensor([0.8, 1.0, 1.3])[:, None, None]


def to_numpy(image: torch.Tensor) -> np.ndarray:
    """[1, C, H, W] to [H, W, C] in float64."""
    return image[0].double().movedim(0, -1).numpy()


def luma(image: torch.Tensor) -> np.ndarray:
    return to_numpy(image) @ LUMA


def test_the_luma_of_the_photograph_stays_and_pixels_outside_are_bit_exact(model, sepia):
    result = colorize_detected(model, sepia, FACES)
    inside = to_numpy(result.mask)[..., 0] > 0
    assert 0.1 < inside.mean() < 0.9
    assert np.abs(luma(result.image) - luma(sepia)).max() < 1e-6
    assert torch.equal(result.image[:, :, ~inside], sepia[:, :, ~inside])
    changed = np.abs(to_numpy(result.image) - to_numpy(sepia)).max(axis=-1)
    assert changed[inside].mean() > 0.05


def test_the_network_gets_the_luma_and_gives_the_chroma(model, sepia):
    """The same, computed by numpy from what the network was given and gave at full weight."""
    seen = []

    def run(faces, *, noise_seed):
        seen.append(faces)
        return model(faces, noise_seed=noise_seed)

    result = colorize_detected(FunctionRunner(model, run), sepia, FACES, feather=0.15)
    grey = torch.from_numpy(luma(sepia)).float()[None, None].expand(-1, 3, -1, -1)
    crops = cut(grey, find_alignment(FACES, size=64))
    assert torch.allclose(seen[0], crops.pixels * 2 - 1, atol=1e-5)
    # Golden weights: paint the network's crop where its weight is 1, then take its chroma.
    painted = (model(seen[0]).clamp(-1, 1) / 2 + 0.5)[0].double().movedim(0, -1).numpy()
    affine = find_alignment(FACES, size=64).affine[0].numpy()
    whole = to_numpy(result.mask)[..., 0] == 1
    rows, columns = np.nonzero(whole)
    x, y = affine @ np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))]) - 0.5
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    # Pixels that fall on a pixel of the crop need no interpolation to be compared.
    near = (np.abs(x - x.round()) < 0.03) & (np.abs(y - y.round()) < 0.03)
    assert near.sum() >= 3
    x0, y0 = x.round().astype(int)[near], y.round().astype(int)[near]
    chroma = painted[y0, x0] - (painted[y0, x0] @ LUMA)[:, None]
    kept = luma(sepia)[rows[near], columns[near], None]
    room = np.where(chroma > 0, 1 - kept, kept) / np.maximum(np.abs(chroma), 1e-12)
    expected = kept + np.minimum(room.min(axis=1, keepdims=True), 1) * chroma
    found = to_numpy(result.image)[rows[near], columns[near]]
    assert np.abs(found - expected).max() < 0.08
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_a_network_that_gives_its_input_back_makes_the_face_grey(model, sepia):
    same = FunctionRunner(model, lambda faces, *, noise_seed: faces)
    result = colorize_detected(same, sepia, FACES)
    whole = to_numpy(result.mask)[..., 0] == 1
    pixels = to_numpy(result.image)[whole]
    assert np.abs(pixels - luma(sepia)[whole][:, None]).max() < 1e-6


def test_strength_mixes_the_chroma_and_0_changes_no_bit(model, sepia):
    full, half, none = (
        colorize_detected(model, sepia, FACES, strength=strength) for strength in (1, 0.5, 0)
    )
    assert none.image is sepia
    assert np.abs(luma(half.image) - luma(sepia)).max() < 1e-6
    inside = (full.mask == 1).expand_as(sepia)
    # Away from the limits of the gamut the chroma is half-way.
    middle = (full.image > 0.02) & (full.image < 0.98)
    calm = inside & middle.all(dim=1, keepdim=True)
    assert torch.allclose(half.image[calm], ((full.image + sepia) / 2)[calm], atol=1e-5)


def test_a_given_mask_takes_the_place_of_the_feathered_square(model, sepia):
    spread = torch.zeros(1, 1, 96, 120)
    spread[..., 10:90, 10:110] = 1
    result = colorize_detected(model, sepia, FACES, spread=spread)
    assert torch.equal(result.mask, spread)
    assert np.abs(luma(result.image) - luma(sepia)).max() < 1e-6
    outside = (spread == 0).expand_as(sepia)
    assert torch.equal(result.image[outside], sepia[outside])
    # No step of chroma at the crop's border, which runs through the mask.
    chroma = to_numpy(result.image) - luma(result.image)[..., None]
    at_mask = np.abs(chroma[9, 20:100] - chroma[11, 20:100]).mean()
    assert at_mask > 0.005  # its own border shows, because the mask is hard there


def test_spreading_keeps_what_is_known_and_fills_the_rest_smoothly():
    weight = torch.zeros(1, 1, 37, 50)
    weight[..., 10:20, 10:20] = 1
    known = torch.tensor([0.2, -0.1, 0.05])[None, :, None, None]
    filled = spread_chroma(known * weight, weight)
    assert torch.allclose(filled, known.expand(1, 3, 37, 50), atol=1e-6)


def test_an_image_without_a_face_is_returned_itself(model, sepia):
    none = Faces.empty((1, 96, 120))
    assert colorize_detected(model, sepia, none).image is sepia
    spread = torch.ones(1, 1, 96, 120)
    assert colorize_detected(model, sepia, none, spread=spread).image is sepia


def test_models_of_another_task_and_masks_of_another_size_are_refused(model, sepia, tiny_gpen):
    wrong = FunctionRunner(tiny_gpen, tiny_gpen)
    wrong.task = "restore"
    with pytest.raises(CheckpointError, match=r"colourises .*Colorization-1024.* restores faces"):
        colorize(wrong, object(), sepia)
    with pytest.raises(MismatchError, match=r"120×96.*found 1 of 5×4"):
        colorize(model, object(), sepia, spread=torch.ones(1, 1, 4, 5))
