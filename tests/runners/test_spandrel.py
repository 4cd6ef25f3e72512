"""Loading face restorers other than GPEN from files, and files that are none."""

from __future__ import annotations

import builtins
import importlib.util

import pytest
import torch
from other_restorers import write_restoreformer
from safetensors.torch import save_file

from gpen_core.arch import GPEN, GPENConfig
from gpen_core.errors import CheckpointError, DeviceError, GPENError, MismatchError
from gpen_core.runners.face_restorer import FaceRestorer, FaceRestorerConfig
from gpen_core.runners.spandrel import load_face_restorer

EXTRA = importlib.util.find_spec("spandrel_extra_arches") is not None
FULL_SIZES = {"GFPGAN": 86.4e6, "RestoreFormer": 72.7e6}

pytest.importorskip("spandrel", reason='pip install "gpen-restore[upscale]"')


@pytest.fixture(scope="module")
def restoreformer(tmp_path_factory):
    path = tmp_path_factory.mktemp("restorers") / "RestoreFormer-小.pth"
    return path, write_restoreformer(path)


def write_gpen(path):
    torch.manual_seed(0)
    gpen = GPEN(GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2))
    save_file(gpen.state_dict(), path)
    return path


def test_a_restoreformer_computes_as_its_own_network_does(restoreformer):
    path, network = restoreformer
    model = load_face_restorer(path, device="cpu")
    assert (model.name, model.config) == ("RestoreFormer", FaceRestorerConfig())
    assert (model.dtype, model.device.type, model.sharpen) == (torch.float32, "cpu", 0)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    model.config = FaceRestorerConfig(64, 64)  # small faces take less time
    faces = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(model(faces), network(faces)[0])


@pytest.mark.parametrize("kind", ["safetensors", "fp16", "module.", "state_dict"])
def test_containers_and_dtypes_of_the_file_do_not_matter(tmp_path, restoreformer, kind):
    tensors = restoreformer[1].state_dict()
    path = tmp_path / "any.pth"
    if kind == "safetensors":
        path = tmp_path / "any.safetensors"
        save_file(tensors, path)
    elif kind == "fp16":
        torch.save({name: tensor.half() for name, tensor in tensors.items()}, path)
    elif kind == "module.":
        torch.save({"params_ema": {f"module.{n}": t for n, t in tensors.items()}}, path)
    else:
        torch.save({"state_dict": tensors, "epoch": 3}, path)
    model = load_face_restorer(path, device="cpu")
    for name, weight in model.network.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.allclose(weight, tensors[name], atol=1e-3)


def test_loading_leaves_the_global_generator_as_it_was(restoreformer):
    before = torch.get_rng_state()
    load_face_restorer(restoreformer[0], device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_gpen_goes_to_our_own_loader(tmp_path):
    model = load_face_restorer(write_gpen(tmp_path / "gpen.safetensors"), device="cpu")
    assert isinstance(model, GPEN)
    assert isinstance(load_face_restorer(device="cpu"), GPEN)
    with pytest.raises(MismatchError, match="GPEN has no fidelity"):
        load_face_restorer(tmp_path / "gpen.safetensors", device="cpu", fidelity=0.5)


def test_a_damaged_gpen_is_refused_by_our_own_loader(tmp_path):
    path = write_gpen(tmp_path / "gpen.safetensors")
    tensors = GPEN(GPENConfig(32, 32, (8, 8, 8, 8), style_dim=16, mapping_layers=2)).state_dict()
    del tensors["generator.style.1.weight"]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"Not a GPEN checkpoint.*style.1.weight. is missing"):
        load_face_restorer(path, device="cpu")


def test_an_upscaler_is_refused_in_words(tmp_path):
    from spandrel.architectures.Compact import Compact

    torch.save(Compact(num_feat=8, num_conv=2).state_dict(), tmp_path / "up.pth")
    with pytest.raises(CheckpointError, match=r"for SR.*face restorer.*--upscaler"):
        load_face_restorer(tmp_path / "up.pth", device="cpu")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"a.weight": torch.zeros(3)}, r"no network that spandrel knows \(1 tensors, the first"),
        ({"ClassHead.0.w": torch.zeros(1), "LandmarkHead.0.w": torch.zeros(1)}, "a RetinaFace"),
        ({"a.weight": torch.zeros(3), "b": 5}, "`b` is of type int; expected only tensors"),
        ([torch.zeros(3)], "found a list"),
        ({}, "found nothing"),
    ],
)
def test_other_files_are_named_for_what_they_hold(tmp_path, contents, message):
    torch.save(contents, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=message):
        load_face_restorer(tmp_path / "other.pth", device="cpu")


def test_missing_files_and_pickles_with_code_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        load_face_restorer(tmp_path / "absent.pth", device="cpu")
    torch.save({"params": print}, tmp_path / "code.pth")
    with pytest.raises(CheckpointError, match="print"):
        load_face_restorer(tmp_path / "code.pth", device="cpu")


def test_tensors_that_do_not_fit_are_refused_before_their_numbers_are_read(tmp_path, restoreformer):
    tensors = dict(restoreformer[1].state_dict())
    tensors["decoder.conv_in.weight"] = torch.zeros(5, 5)
    torch.save(tensors, tmp_path / "damaged.pth")
    with pytest.raises(CheckpointError, match=r"looks like a RestoreFormer.*decoder.conv_in"):
        load_face_restorer(tmp_path / "damaged.pth", device="cpu")
    # 40 KB that ask for a network of petabytes.
    tensors = dict(restoreformer[1].state_dict())
    tensors["encoder.conv_in.weight"] = torch.zeros(1).expand(1 << 24, 3, 3, 3)
    torch.save(tensors, tmp_path / "huge.pth")
    with pytest.raises(CheckpointError):
        load_face_restorer(tmp_path / "huge.pth", device="cpu")


def test_dtypes_devices_and_fidelity_are_checked(restoreformer):
    path = restoreformer[0]
    with pytest.raises(DeviceError, match="fp16 is refused on a CPU"):
        load_face_restorer(path, device="cpu", dtype="fp16")
    assert load_face_restorer(path, device="cpu", dtype="bf16").dtype == torch.bfloat16
    with pytest.raises(MismatchError, match=r"RestoreFormer has no fidelity.*lower `strength`"):
        load_face_restorer(path, device="cpu", fidelity=0.5)
    with pytest.raises(MismatchError, match="must lie in 0 … 1, found 2"):
        load_face_restorer(path, device="cpu", fidelity=2)


def test_without_spandrel_the_error_says_how_to_get_it(monkeypatch, restoreformer, tmp_path):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "spandrel":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    gpen = write_gpen(tmp_path / "gpen.safetensors")
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(GPENError, match=r"holds no GPEN.*pip install \"gpen-restore\[upscale\]\""):
        load_face_restorer(restoreformer[0], device="cpu")
    assert isinstance(load_face_restorer(gpen, device="cpu"), GPEN)


@pytest.mark.skipif(EXTRA, reason="only where spandrel_extra_arches is not installed")
def test_without_the_extra_package_a_codeformer_says_why_and_how_to_get_it(tmp_path):
    tensors = {"position_emb": torch.zeros(256, 512), "quantize.embedding.weight": torch.zeros(4)}
    torch.save({"params_ema": tensors}, tmp_path / "codeformer.pth")
    with pytest.raises(GPENError, match=r"non-commercial.*pip install spandrel_extra_arches"):
        load_face_restorer(tmp_path / "codeformer.pth", device="cpu")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
def test_a_codeformer_takes_its_fidelity(tmp_path):
    extra = pytest.importorskip(
        "spandrel_extra_arches.architectures.CodeFormer", reason="pip install spandrel_extra_arches"
    )
    torch.manual_seed(0)
    network = extra.CodeFormer(dim_embd=64, n_layers=1).eval()
    torch.nn.init.normal_(network.position_emb)
    torch.save({"params_ema": network.state_dict()}, tmp_path / "codeformer.pth")
    faces = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for fidelity in (None, 1.0):
        model = load_face_restorer(tmp_path / "codeformer.pth", device="cpu", fidelity=fidelity)
        with torch.inference_mode():
            expected = network(faces, 0.5 if fidelity is None else fidelity)[0]
            assert torch.equal(model(faces), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GFPGAN", "RestoreFormer"])
def test_a_network_of_full_size_restores_a_face(tmp_path, name):
    architectures = pytest.importorskip(f"spandrel.architectures.{name}")
    torch.manual_seed(0)
    network = getattr(architectures, name)().eval()
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(
        FULL_SIZES[name], rel=0.01
    )
    torch.save({"params_ema": network.state_dict()}, tmp_path / "full.pth")
    model = load_face_restorer(tmp_path / "full.pth", device="cpu")
    assert isinstance(model, FaceRestorer)
    faces = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        restored = model(faces, noise_seed=3)
        expected = network(faces)[0]  # seeded networks have noise of strength 0
    assert restored.shape == (1, 3, 512, 512)
    assert torch.allclose(restored, expected, atol=1e-5)
    assert restored.std() > 0.01
