"""Clean faces that are left alone."""

from __future__ import annotations

import pytest
import torch
from runners import FunctionRunner

from gpen_core import cleanliness, pipeline
from gpen_core.align import find_alignment
from gpen_core.arch import GPEN, GPENConfig
from gpen_core.cleanliness import LEFT, RESTORED, SPREAD, choose_limits, weigh_change
from gpen_core.faces import Crops, Faces
from gpen_core.names import TURNS
from gpen_core.restore import restore, restore_pixels, weigh_faces

SIDE = 32
FACE = torch.tensor([[12.0, 14.0], [22.0, 14.0], [17.0, 20.0], [13.0, 26.0], [21.0, 26.0]])


@pytest.fixture(scope="module")
def network() -> GPEN:
    torch.manual_seed(5)
    config = GPENConfig(SIDE, SIDE, (8, 8, 8, 8), style_dim=16, mapping_layers=2)
    return GPEN(config).eval().requires_grad_(False)


def make_painter(network: GPEN, levels: float, *, at_least: float = 0.0) -> FunctionRunner:
    """A network that makes grey faces lighter by `levels` of 255, and coloured by `at_least`."""

    def run(faces: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        grey = (faces.amax(1) - faces.amin(1)).amax(dim=(1, 2))[:, None, None, None] < 1e-3
        return (faces + (grey * (levels - at_least) + at_least) * 2 / 255).clamp(-1, 1)

    return FunctionRunner(network, run)


def make_faces() -> torch.Tensor:
    """Two grey faces and a coloured one, [3, 3, SIDE, SIDE]."""
    noise = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    noise[:2] = noise[:2, :1]
    return 0.3 + 0.1 * noise


def make_two_faces() -> Faces:
    landmarks = FACE + torch.tensor([0.0, 40.0])[:, None, None] * torch.tensor([1.0, 0.0])
    return Faces(
        boxes=torch.cat([landmarks.amin(1) - 4, landmarks.amax(1) + 4], dim=1),
        landmarks=landmarks,
        scores=torch.full((2,), 0.9),
        image_index=torch.zeros(2, dtype=torch.int64),
        image_size=(1, 48, 90),
    )


def test_the_share_grows_evenly_from_none_to_all():
    limits = choose_limits(0.0)
    assert limits == (LEFT, RESTORED)
    share = weigh_change(torch.linspace(0, RESTORED + 2, 241), limits)
    assert (share.diff() >= 0).all() and share.diff().max() < 0.02
    assert share[0] == 0 and share[-1] == 1
    assert weigh_change(torch.tensor([LEFT, RESTORED]), limits).tolist() == [0, 1]
    middle = weigh_change(torch.tensor([(LEFT + RESTORED) / 2]), limits)
    assert middle.item() == pytest.approx(0.5)


def test_a_network_that_changes_clean_faces_is_measured_by_what_it_does_to_one(network):
    painter = make_painter(network, 8.0, at_least=8.0)
    share, change = weigh_faces(painter, make_faces() + 8 / 255, make_faces(), "keep")
    assert change.tolist() == pytest.approx([8] * 3, rel=1e-3)
    assert share.tolist() == [0, 0, 0]  # SPREAD × 8 levels say nothing about a face
    assert cleanliness.find_limits(painter, "keep", pytest.fail)[0] == pytest.approx(
        SPREAD * 8, rel=0.02
    )
    faithful = make_painter(network, 8.0)
    assert (
        0.5 < float(weigh_faces(faithful, make_faces() + 8 / 255, make_faces(), "keep")[0][0]) < 1
    )


@pytest.mark.parametrize(("levels", "share"), [(2, 0), (6.5, 0.5), (12, 1)])
def test_faces_are_restored_by_their_own_share(network, levels, share):
    painter, faces = make_painter(network, levels), make_faces()
    restored = restore_pixels(painter, faces, leave_clean=True)
    changes = 255 * (restored - faces).mean(dim=(1, 2, 3))
    assert changes.tolist() == pytest.approx([share * levels, share * levels, 0], abs=0.05)
    half = restore_pixels(painter, faces, strength=0.5, leave_clean=True)
    assert torch.allclose(half, faces.lerp(restored, 0.5), atol=1e-5)
    assert torch.equal(restore_pixels(painter, faces, strength=0, leave_clean=True), faces)


def test_crops_and_their_alignment_stay_together(network):
    alignment = find_alignment(make_two_faces(), size=SIDE, template="gpen")
    crops = Crops(make_faces()[:2], alignment)
    result = restore(make_painter(network, 2), crops, colour="keep", leave_clean=True)
    assert result.alignment is alignment
    assert torch.equal(result.pixels, crops.pixels)


def test_a_clean_face_of_a_photograph_keeps_its_pixels_bit_for_bit(network, monkeypatch):
    monkeypatch.setattr(pipeline, "detect", lambda *_, **__: make_two_faces())
    noise = torch.rand(1, 1, 48, 90, generator=torch.Generator().manual_seed(1))
    photograph = (0.3 + 0.05 * noise).repeat(1, 3, 1, 1)
    options = {"turns": TURNS[1], "colour": "keep", "detail": 0.0}
    clean = pipeline.restore_image(
        make_painter(network, 2), None, photograph, leave_clean=True, **options
    )
    assert torch.equal(clean.image, photograph)
    restored = pipeline.restore_image(
        make_painter(network, 12), None, photograph, leave_clean=True, **options
    )
    always = pipeline.restore_image(make_painter(network, 12), None, photograph, **options)
    assert torch.equal(restored.image, always.image)
    assert not torch.equal(restored.image, photograph)
