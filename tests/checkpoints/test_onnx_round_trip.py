"""ONNX files from export to picture: our own exports, by the library and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from networks import random_crops, random_network, relative_error

from gpen_core import cli
from gpen_core.arch import GPEN
from gpen_core.checkpoints import catalog
from gpen_core.checkpoints.exporting import export_onnx
from gpen_core.checkpoints.loading import load_gpen
from gpen_core.faces import Faces
from gpen_core.pasting.options import PasteOptions
from gpen_core.pipeline import restore_detected

FACE = torch.tensor(
    [[100.0, 120.0], [160.0, 120.0], [130.0, 155.0], [105.0, 190.0], [155.0, 190.0]]
)


@pytest.fixture(scope="module")
def network() -> GPEN:
    torch.manual_seed(5)
    return random_network(32, 32)


@pytest.fixture(scope="module")
def file(network: GPEN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(network, path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPEN_CACHE", str(tmp_path / "cache"))


def test_an_export_of_the_built_in_model_gives_its_picture_sharpening_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpen_core.checkpoints import exporting

    monkeypatch.setattr(exporting, "BATCHES", (1,))
    export_onnx("builtin", tmp_path / "builtin.onnx")
    built_in = load_gpen("builtin", device="cpu")
    read = load_gpen(tmp_path / "builtin.onnx", device="cpu")
    assert isinstance(read, GPEN)
    assert read.sharpen == built_in.sharpen > 0
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 40, 40), (256, 256), mode="bilinear")
    boxes = torch.tensor([[70.0, 70.0, 190.0, 220.0]])
    index = torch.zeros(1, dtype=torch.int64)
    faces = Faces(boxes, FACE[None], torch.ones(1), index, (1, 256, 256))
    options = PasteOptions(strength=1.0)
    found, wanted = (restore_detected(m, image, faces, options).image for m in (read, built_in))
    assert (wanted - image).abs().max() > 0.1
    assert (found - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("noise", ["concat", "add"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 1e-5), ("fp16", 2e-3)])
def test_exports_are_read_natively(
    noise: str, dtype: str, tolerance: float, tmp_path: Path
) -> None:
    model = random_network(noise=noise)
    export_onnx(model, tmp_path / "model.onnx", dtype=dtype)
    read = load_gpen(tmp_path / "model.onnx", device="cpu", engine="gpen")
    x = random_crops(2)
    assert relative_error(read(x), model(x)) < tolerance
    assert read.config == model.config


def test_a_file_is_verified_in_a_process_of_its_own_once(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["inspect", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "graph       ONNX, opset 17, by gpen" in shown
    assert "values      input `input` fp32 [N, 3, 32, 32]; output `output` fp32" in shown
    assert "engine      gpen" in shown and "verified    no: it was not compared yet" in shown
    monkeypatch.setenv("GPEN_VERIFY", "1")
    assert isinstance(load_gpen(file, device="cpu"), GPEN)
    assert cli.main(["inspect", str(file)]) == 0
    assert "verified    yes, it differs from ONNX Runtime by" in capsys.readouterr().out
    (record,) = (tmp_path / "cache" / "verified").iterdir()
    assert record.stat().st_mode & 0o077 == 0 or record.parent.stat().st_mode & 0o077 == 0


def test_convert_verifies_before_it_writes(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gpen_core.runners import verification

    target = tmp_path / "model.safetensors"
    monkeypatch.setattr(verification, "_compare", lambda path: 0.02)
    assert cli.main(["convert", str(file), str(target), "--verify"]) == 2
    assert "was read wrongly: it differs from ONNX Runtime by 0.02" in capsys.readouterr().err
    assert not target.exists()
    monkeypatch.setattr(verification, "_compare", lambda path: 3e-7)
    assert cli.main(["convert", str(file), str(target), "--verify"]) == 0
    assert "run by ONNX Runtime, it differs by 3e-07" in capsys.readouterr().out
    assert cli.main(["convert", str(target), str(tmp_path / "b.safetensors"), "--verify"]) == 2
    assert "Leave --verify out" in capsys.readouterr().err


def test_inspect_tells_what_an_unreadable_graph_holds(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    proto = onnx.load(file)
    for node in proto.graph.node:
        if node.op_type == "LeakyRelu":
            node.op_type = "Elu"
            break
    onnx.save(proto, tmp_path / "odd.onnx")
    assert cli.main(["inspect", str(tmp_path / "odd.onnx")]) == 0
    shown = capsys.readouterr().out
    assert "engine      none, except by --engine onnxruntime" in shown
    assert "reason      cannot be read as a GPEN" in shown and "Elu" in shown
    digest = next(line.split()[1] for line in shown.splitlines() if line.startswith("sha256"))
    known = catalog.Entry("known", "odd.onnx", "gpen", "", "", "", sha256=digest)
    monkeypatch.setattr(catalog, "entries", lambda: (known,))
    assert cli.main(["inspect", str(tmp_path / "odd.onnx")]) == 0
    assert "engine      onnxruntime" in capsys.readouterr().out


def test_restore_takes_an_onnx_file_with_either_engine(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gpen_core.media import read_image, write_image

    write_image(tmp_path / "face.png", torch.rand(1, 3, 32, 32))
    words = ["restore", str(tmp_path / "face.png"), "--aligned", "--device", "cpu"]
    pictures = []
    for engine in ("gpen", "onnxruntime"):
        out = tmp_path / f"{engine}.png"
        assert cli.main([*words, "--model", str(file), "--engine", engine, "-o", str(out)]) == 0
        pictures.append(read_image(out))
    assert (
        "is run by ONNX Runtime (CPUExecutionProvider), which is slower" in capsys.readouterr().err
    )
    assert (pictures[0] - pictures[1]).abs().max() <= 1 / 255
