from __future__ import annotations

import argparse
import hashlib
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import build_gpen
from packaging.version import Version
from safetensors.torch import load_file, save_file

from gpen_core.arch import GPEN, GPENConfig
from gpen_core.checkpoints import loading
from gpen_core.checkpoints.converting import convert_checkpoint
from gpen_core.checkpoints.loading import load_gpen, read_checkpoint
from gpen_core.errors import CheckpointError, DeviceError

Tensors = dict[str, torch.Tensor]

HALF_PRECISION = {"fp16": torch.float16, "bf16": torch.bfloat16}


def save(path: Path, contents: Any, *, legacy: bool = False) -> Path:
    torch.save(contents, path, _use_new_zipfile_serialization=not legacy)
    return path


def gives_the_same_faces(model: GPEN, wanted: GPEN, tolerance: float = 1e-6) -> bool:
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    difference = model(x) - wanted(x)
    return bool(difference.norm() <= tolerance * wanted(x).norm())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_self_trained_file_gives_the_same_network(
    legacy: bool, tensors: Tensors, tiny_gpen: GPEN, tmp_path: Path
) -> None:
    contents = {"g_ema": tensors, "args": argparse.Namespace(size=32), "iter": 7}
    path = save(tmp_path / "model.pth", contents, legacy=legacy)
    read = read_checkpoint(path)
    assert (read.container, read.config) == ("g_ema", tiny_gpen.config)
    assert read.format == ("torch legacy" if legacy else "torch zip")
    assert gives_the_same_faces(load_gpen(path, device="cpu"), tiny_gpen)


def test_safetensors_load_whatever_the_file_is_called(
    tensors: Tensors, tiny_gpen: GPEN, tmp_path: Path
) -> None:
    for name in ("model.safetensors", "model.pth", "модель 顔.safetensors"):
        save_file(tensors, tmp_path / name)
        assert read_checkpoint(tmp_path / name).format == "safetensors"
        assert gives_the_same_faces(load_gpen(str(tmp_path / name), device="cpu"), tiny_gpen)


def test_a_pickle_loads_under_a_unicode_name(
    tensors: Tensors, tiny_gpen: GPEN, tmp_path: Path
) -> None:
    path = save(tmp_path / "модель 顔.safetensors", tensors)
    assert gives_the_same_faces(load_gpen(path, device="cpu"), tiny_gpen)


@pytest.mark.parametrize("stored", HALF_PRECISION)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_half_precision_files_load_as_float32(
    stored: str, suffix: str, tensors: Tensors, tiny_gpen: GPEN, tmp_path: Path
) -> None:
    half = {name: tensor.to(HALF_PRECISION[stored]) for name, tensor in tensors.items()}
    path = tmp_path / f"half{suffix}"
    save_file(half, path) if suffix == ".safetensors" else save(path, half)
    assert read_checkpoint(path).dtype == stored
    model = load_gpen(path, device="cpu", dtype="fp32")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    exact = build_gpen({name: tensor.float() for name, tensor in half.items()})
    assert gives_the_same_faces(model, exact)
    assert gives_the_same_faces(model, tiny_gpen, tolerance=0.1)


def test_a_loaded_model_is_ready_to_restore(tensors: Tensors, tmp_path: Path) -> None:
    path = save(tmp_path / "model.pth", tensors)
    model = load_gpen(path, device="cpu")
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.dtype == torch.float32
    assert load_gpen(path, device="cpu", dtype="bf16").dtype == torch.bfloat16


def test_fp16_is_refused_on_a_cpu_before_the_file_is_read() -> None:
    with pytest.raises(DeviceError, match="fp16 is refused on a CPU"):
        load_gpen("no such file.pth", device="cpu", dtype="fp16")


def test_a_loaded_model_does_not_depend_on_its_file(
    tensors: Tensors, tiny_gpen: GPEN, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    model = load_gpen(path, device="cpu")
    path.write_bytes(b"\0" * path.stat().st_size)
    assert gives_the_same_faces(model, tiny_gpen)


def test_a_network_is_built_from_tensors_in_memory(tensors: Tensors, tiny_gpen: GPEN) -> None:
    for contents in (tensors, {"g_ema": tensors}):
        model = build_gpen(contents)
        assert gives_the_same_faces(model, tiny_gpen)
        assert not model.training


def test_a_network_built_from_trained_parameters_has_no_gradients(tiny_gpen: GPEN) -> None:
    trained = GPEN(tiny_gpen.config)
    model = build_gpen(trained.state_dict(keep_vars=True))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in trained.parameters())


def test_loading_initialises_no_weights(tensors: Tensors, tmp_path: Path) -> None:
    path = save(tmp_path / "model.pth", tensors)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    load_gpen(path, device="cpu")
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.skipif(
    Version(torch.__version__) < Version("2.6"), reason="PyTorch 2.5 imports it for meta tensors"
)
def test_loading_does_not_import_pytorchs_symbolic_algebra(
    tensors: Tensors, tmp_path: Path
) -> None:
    """Some operators import sympy on the meta device, which costs a second at start-up."""
    path = save(tmp_path / "model.pth", tensors)
    code = (
        "import sys; from gpen_core.checkpoints.loading import load_gpen; "
        "load_gpen(sys.argv[1], device='cpu'); print('sympy' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=root, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.returncode) == ("False", 0), done.stderr


@pytest.mark.parametrize(
    "contents", [{"stylegan_decoder.style_mlp.1.weight": torch.zeros(1)}, {"epoch": 3}]
)
def test_an_error_names_the_file(contents: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"`.*other\.pth`: (This is a GFPGAN|Not a GPEN)"):
        read_checkpoint(save(tmp_path / "other.pth", contents))


@pytest.mark.weights
def test_a_real_retinaface_is_named(shared: Path) -> None:
    path = shared / "weights" / "detection_mobilenet0.25_Final.pth"
    with pytest.raises(CheckpointError, match="a RetinaFace face detector"):
        read_checkpoint(path)


def test_the_description_lists_every_fact(tensors: Tensors, tmp_path: Path) -> None:
    path = save(tmp_path / "mine.pth", {"g_ema": tensors})
    read = read_checkpoint(path)
    said = dict(line.split(None, 1) for line in read.describe().splitlines())
    assert said["file"] == f"mine.pth ({path.stat().st_size:,} bytes)"
    assert said["container"] == "torch zip, g_ema"
    assert said["input"] == said["output"] == "32 × 32 px"
    assert said["widths"].startswith("8 8 6 4 (")
    assert said["latent"] == "16 values, 2 mapping layers"
    assert said["noise"].startswith("concat")
    assert said["dtype"] == "fp32"
    learned = sum(t.numel() for n, t in tensors.items() if not n.endswith(".kernel"))
    assert said["parameters"] == f"{learned:,}"
    assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert said["published"].startswith("no")


def test_the_description_recognises_a_published_file(
    tensors: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_checkpoint(save(tmp_path / "renamed.pth", tensors))
    published = "f1002c41add95b0decad69604d80455576f7187dd99ca16bd611bcfd44c10b51"
    monkeypatch.setattr(loading, "sha256", lambda _: published)
    assert "published   GPEN-BFR-512" in read.describe()


def test_the_description_names_every_dtype(tensors: Tensors, tmp_path: Path) -> None:
    tensors["ecd0.0.1.bias"] = tensors["ecd0.0.1.bias"].half()
    path = save(tmp_path / "mixed.pth", tensors)
    assert read_checkpoint(path).dtype == "fp32 (some fp16)"


def test_added_noise_and_a_smaller_input_are_described(tmp_path: Path) -> None:
    config = GPENConfig(8, 16, (4, 4, 4), style_dim=8, mapping_layers=1, noise="add")
    text = read_checkpoint(save(tmp_path / "a.pth", GPEN(config).state_dict())).describe()
    assert "input       8 × 8 px" in text
    assert "output      16 × 16 px" in text
    assert "noise       add" in text


@pytest.mark.parametrize("dtype", [None, "fp32", "fp16", "bf16"])
def test_converting_keeps_every_value_that_the_dtype_can_hold(
    dtype: str | None, tensors: Tensors, tiny_gpen: GPEN, tmp_path: Path
) -> None:
    source = save(tmp_path / "source.pth", {"g_ema": tensors})
    target = tmp_path / "ziel 顔.safetensors"
    assert convert_checkpoint(source, target, dtype=dtype) == target
    stored = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(dtype or "", torch.float32)
    written = load_file(target)
    assert written.keys() == tensors.keys()
    assert all(torch.equal(written[n], t.to(stored)) for n, t in tensors.items())
    assert gives_the_same_faces(load_gpen(target, device="cpu"), tiny_gpen, tolerance=0.1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source.pth", target.name]


def test_converting_a_converted_file_changes_nothing(tensors: Tensors, tmp_path: Path) -> None:
    source = save(tmp_path / "source.pth", tensors)
    first = convert_checkpoint(source, tmp_path / "1.safetensors", dtype="fp16").read_bytes()
    second = convert_checkpoint(tmp_path / "1.safetensors", tmp_path / "2.safetensors")
    assert second.read_bytes() == first


def test_tensors_that_share_memory_can_be_converted(tensors: Tensors, tmp_path: Path) -> None:
    kernel = tensors["generator.convs.0.conv.blur.kernel"]
    tied = {n: kernel if n.endswith("blur.kernel") else t for n, t in tensors.items()}
    convert_checkpoint(save(tmp_path / "tied.pth", tied), tmp_path / "tied.safetensors")
    assert read_checkpoint(tmp_path / "tied.safetensors").parameters > 0


def test_converting_overwrites_only_when_told_to(tensors: Tensors, tmp_path: Path) -> None:
    source = save(tmp_path / "source.pth", tensors)
    target = tmp_path / "target.safetensors"
    target.write_bytes(b"precious")
    with pytest.raises(CheckpointError, match="exists already"):
        convert_checkpoint(source, target)
    assert target.read_bytes() == b"precious"
    convert_checkpoint(source, target, overwrite=True)
    assert read_checkpoint(target).dtype == "fp32"


def test_a_file_can_be_converted_over_itself(tensors: Tensors, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    convert_checkpoint(path, path, dtype="fp16", overwrite=True)
    assert read_checkpoint(path).dtype == "fp16"


def test_a_failed_conversion_leaves_nothing_behind(
    tensors: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "source.pth", tensors)
    (tmp_path / "target.safetensors").write_bytes(b"precious")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        convert_checkpoint(source, tmp_path / "target.safetensors", overwrite=True)
    assert (tmp_path / "target.safetensors").read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 2


def test_converting_refuses_what_fp16_cannot_hold(tensors: Tensors, tmp_path: Path) -> None:
    name = "generator.style.1.weight"
    tensors[name][0, 0] = 1e6
    source = save(tmp_path / "large.pth", tensors)
    with pytest.raises(CheckpointError, match=f"`{name}` holds values too large for fp16"):
        convert_checkpoint(source, tmp_path / "out.safetensors", dtype="fp16")
    convert_checkpoint(source, tmp_path / "out.safetensors", dtype="bf16")


def test_converting_refuses_other_formats_dtypes_and_folders(
    tensors: Tensors, tmp_path: Path
) -> None:
    source = save(tmp_path / "source.pth", tensors)
    with pytest.raises(CheckpointError, match=r"Only \.safetensors files are written"):
        convert_checkpoint(source, tmp_path / "out.pth")
    with pytest.raises(DeviceError, match="Unknown dtype 'int8'; use fp32"):
        convert_checkpoint(source, tmp_path / "out.safetensors", dtype="int8")
    with pytest.raises(CheckpointError, match="cannot be written"):
        convert_checkpoint(source, tmp_path / "none" / "out.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["source.pth"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_a_converted_file_has_ordinary_permissions(tensors: Tensors, tmp_path: Path) -> None:
    source = save(tmp_path / "source.pth", tensors)
    convert_checkpoint(source, tmp_path / "out.safetensors")
    (tmp_path / "ordinary").touch()
    modes = [(tmp_path / n).stat().st_mode for n in ("out.safetensors", "ordinary")]
    assert stat.S_IMODE(modes[0]) == stat.S_IMODE(modes[1])
