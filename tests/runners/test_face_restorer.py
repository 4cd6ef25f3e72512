"""Networks other than GPEN as Runners: the values, the noise, the dtypes, the four verbs."""

from __future__ import annotations

import threading

import pytest
import torch
from other_restorers import make_echo

from gpen_core import pipeline
from gpen_core.align import align
from gpen_core.errors import DeviceError, MismatchError
from gpen_core.faces import Faces
from gpen_core.pasting import paste
from gpen_core.pipeline import restore_image
from gpen_core.restore import restore, restore_pixels
from gpen_core.runner import choose_template
from gpen_core.runners.face_restorer import FaceRestorer, FaceRestorerConfig

SIZE = 64
POINTS = torch.tensor([[36.0, 40], [60, 40], [48, 54], [38, 66], [58, 66]])


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(1, 3, 96, 112, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def faces(monkeypatch) -> Faces:
    """The face that every search finds."""
    found = Faces(
        torch.tensor([[30.0, 26, 66, 76]]), POINTS[None], torch.ones(1),
        torch.zeros(1, dtype=torch.int64), (1, 96, 112),
    )  # fmt: skip
    monkeypatch.setattr(pipeline, "detect", lambda *words, **options: found)
    return found


@pytest.fixture(scope="module")
def gfpgan() -> FaceRestorer:
    """GFPGAN's own network at 64 px with few channels and visible noise."""
    pytest.importorskip("spandrel", reason='pip install "gpen-restore[upscale]"')
    from spandrel.architectures.GFPGAN import GFPGAN

    torch.manual_seed(0)
    network = GFPGAN(out_size=SIZE, narrow=1 / 16, num_style_feat=16, num_mlp=2)
    for weight in network.stylegan_decoder.parameters():
        if weight.shape == (1,):  # the amount of noise
            weight.data.fill_(0.5)
    config = FaceRestorerConfig(SIZE, SIZE)
    return FaceRestorer(network, "GFPGAN", config).eval().requires_grad_(False)


@pytest.fixture
def crops() -> torch.Tensor:
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4)) * 2 - 1


def test_a_network_that_returns_its_input_gives_the_crops_back():
    pixels = torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(restore_pixels(make_echo(), pixels), pixels, atol=1e-6)


def test_a_network_that_returns_its_input_gives_the_picture_back(picture, faces):
    result = restore_image(make_echo(), None, picture, detail=1.0)
    assert result.mask.max() == 1
    # Exact but for the two resamplings, whose loss the photograph's own detail makes good.
    assert torch.allclose(result.image, picture, atol=1e-4)


def test_the_steps_take_the_template_of_the_model(picture, faces):
    model = make_echo()
    result = restore_image(model, None, picture)
    crops = align(picture, faces, size=SIZE, template="ffhq")
    assert torch.equal(result.image, paste(picture, restore(model, crops)).image)
    other = restore_image(model, None, picture, template="gpen")
    assert not torch.equal(result.image, other.image)


def test_auto_is_ffhq_for_other_networks_and_gpen_for_gpen():
    from gpen_core.arch import GPENConfig

    assert choose_template("auto", FaceRestorerConfig()) == "ffhq"
    assert choose_template("auto", GPENConfig.published(256)) == "gpen"
    assert choose_template("gpen", FaceRestorerConfig()) == "gpen"


def test_the_seed_decides_the_noise_and_the_global_generator_rests(gfpgan, crops):
    before = torch.get_rng_state()
    with torch.inference_mode():
        first, again, other = (gfpgan(crops, noise_seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.01
    assert torch.equal(torch.get_rng_state(), before)


def test_every_face_of_a_batch_gets_the_noise_that_it_gets_alone(gfpgan, crops):
    with torch.inference_mode():
        together = gfpgan(crops, noise_seed=5)
        alone = torch.cat([gfpgan(crop[None], noise_seed=5) for crop in crops])
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_noise_has_the_strength_that_the_network_draws_itself(gfpgan, crops):
    """Over many seeds, ours spreads the result as far as noise of the global generator does."""
    with torch.inference_mode():
        ours = torch.stack([gfpgan(crops[:1], noise_seed=seed) for seed in range(8)])
        hooks = gfpgan.network.stylegan_decoder._forward_pre_hooks
        kept = dict(hooks)
        hooks.clear()
        try:
            torch.manual_seed(0)
            theirs = torch.stack([gfpgan(crops[:1]) for _ in range(8)])
        finally:
            hooks.update(kept)
    assert float(ours.std(dim=0).mean()) == pytest.approx(float(theirs.std(dim=0).mean()), rel=0.1)


def test_threads_with_other_seeds_do_not_disturb_each_other(gfpgan, crops):
    with torch.inference_mode():
        wanted = [gfpgan(crops, noise_seed=seed) for seed in range(4)]
    got = [torch.zeros(0)] * 4

    def run(seed: int) -> None:
        with torch.inference_mode():
            got[seed] = gfpgan(crops, noise_seed=seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(got, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_fidelity_is_the_weight_of_codeformers_forward(crops):
    model = make_echo(fidelity=0.3)
    model(crops)
    make_echo_without = make_echo()
    make_echo_without(crops)
    assert model.network.fidelities == [0.3]
    assert make_echo_without.network.fidelities == [0.5]


def test_bf16_runs_and_fp16_is_refused(gfpgan, crops):
    echo = make_echo()
    with pytest.raises(DeviceError, match="Echo does not work in fp16"):
        echo.set_dtype(torch.float16)
    assert echo.dtype == torch.float32
    restored = echo.set_dtype(torch.bfloat16)(crops)
    assert echo.dtype == torch.bfloat16
    assert restored.dtype == torch.float32
    assert torch.allclose(restored, crops, atol=0.01)


def test_faces_of_another_shape_are_refused_and_none_are_none():
    echo = make_echo()
    with pytest.raises(MismatchError, match=r"Echo takes \[N, 3, 64, 64\], found \[1, 3, 32, 32\]"):
        echo(torch.zeros(1, 3, 32, 32))
    assert echo(torch.zeros(0, 3, SIZE, SIZE)).shape == (0, 3, SIZE, SIZE)


def test_memory_is_estimated_by_face_and_dtype():
    config = FaceRestorerConfig()
    assert config.forward_memory(1, torch.float32) == pytest.approx(0.83e9, rel=0.02)
    assert config.forward_memory(3, torch.bfloat16) == 1.5 * config.forward_memory(1, torch.float32)
