"""Inpainting: holes are white for the network, and nothing outside them changes."""

from __future__ import annotations

import pytest
import torch
from golden import TINY, golden_model
from runners import FunctionRunner

from gpen_core import CheckpointError, GPENConfig, MismatchError
from gpen_core.align import cut, find_alignment
from gpen_core.faces import Faces
from gpen_core.tasks.holes import inpaint, inpaint_detected

POINTS = torch.tensor([[40.0, 36], [60, 36], [50, 47], [42, 58], [58, 58]])
FACES = Faces(
    torch.tensor([[30.0, 24, 70, 70]]), POINTS[None], torch.ones(1),
    torch.zeros(1, dtype=torch.int64), (1, 96, 120),
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return golden_model(GPENConfig(64, 64, (32,) * 5, **TINY))


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 3, 96, 120, generator=torch.Generator().manual_seed(4)) * 0.9


@pytest.fixture
def mask() -> torch.Tensor:
    mask = torch.zeros(1, 1, 96, 120)
    mask[..., 40:52, 42:56] = 1
    mask[..., 60:62, 30:70] = 0.7
    mask[..., 70:72, 30:70] = 0.3  # no hole
    mask[..., 0:4, 0:4] = 1  # far from the face
    return mask


def test_pixels_outside_the_holes_are_bit_exact_and_holes_in_the_face_are_new(model, image, mask):
    result = inpaint_detected(model, image, FACES, mask)
    hole = (mask >= 0.5).expand_as(image)
    assert torch.equal(result.image[~hole], image[~hole])
    assert (result.image[..., 40:52, 42:56] != image[..., 40:52, 42:56]).float().mean() > 0.99
    assert torch.equal(result.image[..., :4, :4], image[..., :4, :4])
    assert result.mask[..., 40:52, 42:56].min() == 1
    assert result.mask[mask < 0.5].max() == 0


def test_the_network_sees_white_holes_and_nothing_of_what_was_there(model, image, mask):
    seen = []

    def run(faces, *, noise_seed):
        seen.append(faces)
        return model(faces, noise_seed=noise_seed)

    runner = FunctionRunner(model, run)
    inpaint_detected(runner, image, FACES, mask)
    spoilt = torch.where(mask >= 0.5, torch.rand_like(image), image)
    inpaint_detected(runner, spoilt, FACES, mask)
    assert torch.equal(*seen)
    alignment = find_alignment(FACES, size=64)
    planes = (mask >= 0.5).float().expand(-1, 3, -1, -1)
    covered = cut(planes, alignment).pixels
    untouched = cut(image, alignment).pixels * 2 - 1
    assert (seen[0][covered > 0.5] == 1).all()
    far = torch.nn.functional.max_pool2d(covered, 9, 1, 4) == 0  # beyond the filter's reach
    assert far.float().mean() > 0.2
    assert torch.allclose(seen[0][far], untouched[far], atol=1e-5)


def test_the_filling_is_the_networks_face(model, image, mask):
    painted = FunctionRunner(model, lambda faces, *, noise_seed: torch.full_like(faces, -0.5))
    result = inpaint_detected(painted, image, FACES, mask)
    assert torch.allclose(result.image[..., 40:52, 42:56], torch.tensor(0.25), atol=1e-6)


def test_no_hole_changes_nothing(model, image):
    result = inpaint_detected(model, image, FACES, torch.zeros(1, 1, 96, 120))
    assert torch.equal(result.image, image)
    assert result.mask.max() == 0


def test_a_wrong_model_or_mask_is_refused(model, image, tiny_gpen):
    wrong = FunctionRunner(tiny_gpen, tiny_gpen)
    wrong.task = "colorize"
    with pytest.raises(CheckpointError, match=r"fills holes .*Inpainting-1024.*gpen colorize"):
        inpaint(wrong, object(), image, torch.ones(1, 1, 96, 120))
    with pytest.raises(MismatchError, match=r"120×96.*found 1 of 64×64"):
        inpaint(model, object(), image, torch.ones(1, 1, 64, 64))
