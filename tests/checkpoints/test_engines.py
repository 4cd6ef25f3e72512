"""What runs an ONNX file: our network, or ONNX Runtime."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from networks import random_crops, random_network, relative_error
from onnx import TensorProto, helper
from safetensors.torch import save_file

from gpen_core.arch import GPEN
from gpen_core.arch.onnx_graph import write_graph
from gpen_core.checkpoints import catalog, engines
from gpen_core.checkpoints.engines import SlowGraph, choose_engine
from gpen_core.checkpoints.loading import Checkpoint, load_gpen
from gpen_core.checkpoints.onnx import UnreadableGraph, is_onnx_file
from gpen_core.errors import CheckpointError, MismatchError
from gpen_core.files import sha256
from gpen_core.runners import verification
from gpen_core.runners.onnxruntime import OnnxRunner
from gpen_core.runners.verification import Verification

Read = Callable[[Path], Checkpoint]


@pytest.fixture(scope="module")
def network() -> GPEN:
    torch.manual_seed(4)
    return random_network(16, 16)


@pytest.fixture
def file(network: GPEN, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    proto = write_graph(network, metadata={"gpen.sharpen": "1.5"})
    path.write_bytes(proto.SerializeToString())
    return path


def refuse(path: Path) -> Checkpoint:
    raise UnreadableGraph(f"`{path}` cannot be read as a GPEN: odd node.")


def reads(network: GPEN) -> Read:
    """A reader that always returns this network."""
    tensors = dict(network.state_dict())
    return lambda path: Checkpoint(path, "onnx", "graph", tensors, network.config)


def publish(monkeypatch: pytest.MonkeyPatch, file: Path, kind: str = "gpen") -> None:
    """Let the catalogue know a file by its hash."""
    entry = catalog.Entry("known", file.name, kind, "", "", "", sha256=sha256(file))
    monkeypatch.setattr(engines.catalog, "entries", lambda: (entry,))


@pytest.mark.filterwarnings("ignore:`model.onnx` is run by ONNX Runtime")
def test_onnxruntime_runs_a_file_when_it_is_asked_to(file: Path, network: GPEN) -> None:
    run = load_gpen(file, device="cpu", engine="onnxruntime")
    assert isinstance(run, OnnxRunner)
    assert (run.config.in_size, run.sharpen) == (16, 1.5)
    x = random_crops(2, 16)
    assert relative_error(run(x), network(x)) < 1e-5


def test_the_user_learns_that_it_is_slower_and_why(file: Path) -> None:
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_gpen(file, device="cpu", engine="onnxruntime", on_notice=told.append)
    (message,) = told
    assert "run by ONNX Runtime (CPUExecutionProvider), which is slower" in message
    assert "you chose the engine onnxruntime" in message
    with pytest.warns(UserWarning, match="which is slower"):
        load_gpen(file, device="cpu", engine="onnxruntime")


def test_a_published_file_that_cannot_be_read_is_left_to_onnxruntime(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, file)
    found = choose_engine(file, "auto", refuse)
    assert isinstance(found, SlowGraph)
    assert found.reason == "it cannot be read as a GPEN: odd node"
    with pytest.raises(UnreadableGraph, match="odd node"):
        choose_engine(file, "gpen", refuse)


@pytest.mark.parametrize("kind", [None, "detector"])
def test_another_file_that_cannot_be_read_is_refused(
    kind: str | None, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind:
        publish(monkeypatch, file, kind)
    with pytest.raises(CheckpointError, match=r"odd node.* the engine onnxruntime runs it"):
        choose_engine(file, "auto", refuse)


def test_a_face_swapper_is_named_with_every_engine(tmp_path: Path) -> None:
    path = tmp_path / "inswapper_128.onnx"
    shapes = {"target": [1, 3, 8, 8], "source": [1, 512], "output": [1, 3, 8, 8]}
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    node = helper.make_node("Identity", ["target"], ["output"])
    graph = helper.make_graph([node], "swap", values[:2], values[2:])
    onnx.save(helper.make_model(graph), path)
    for engine in ("auto", "onnxruntime"):
        with pytest.raises(CheckpointError, match="is no GPEN; it looks like a face swapper"):
            choose_engine(path, engine, refuse)


def test_a_file_that_reads_other_files_is_refused(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    proto = onnx.load(file)
    onnx.save(proto, folder / "model.onnx", save_as_external_data=True, size_threshold=0,
              location="weights.bin")  # fmt: skip
    assert isinstance(choose_engine(folder / "model.onnx", "onnxruntime", refuse), SlowGraph)
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    with pytest.raises(CheckpointError, match=r"lacks the file `weights\.bin`"):
        choose_engine(folder / "model.onnx", "onnxruntime", refuse)
    proto = onnx.load(folder / "model.onnx", load_external_data=False)
    proto.graph.initializer[0].external_data[0].value = "../weights.bin"
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(CheckpointError, match="not in the folder of the file"):
        choose_engine(folder / "model.onnx", "onnxruntime", refuse)


def test_a_reading_that_differs_from_onnxruntime_is_not_used(
    file: Path, network: GPEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPEN_VERIFY", "1")
    monkeypatch.setattr(verification, "verify_once", lambda *_: Verification(0.02))
    found = choose_engine(file, "auto", reads(network))
    assert isinstance(found, SlowGraph)
    assert found.reason == "our reading of it differs from ONNX Runtime by 0.02"
    with pytest.raises(CheckpointError, match=r"by 0\.02\. Choose the engine onnxruntime"):
        choose_engine(file, "gpen", reads(network))
    for result in (Verification(1e-6), Verification(reason="onnxruntime is not installed")):
        monkeypatch.setattr(verification, "verify_once", lambda *_, result=result: result)
        assert isinstance(choose_engine(file, "auto", reads(network)), Checkpoint)


def test_nothing_is_compared_where_the_user_does_not_want_it(
    file: Path, network: GPEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "verify_once", lambda *_: pytest.fail("compared"))
    for value in ("0", "off", "no"):
        monkeypatch.setenv("GPEN_VERIFY", value)
        assert isinstance(choose_engine(file, "auto", reads(network)), Checkpoint)
    monkeypatch.delenv("GPEN_VERIFY")
    assert isinstance(choose_engine(file, "auto", reads(network), verify=False), Checkpoint)


def test_only_onnx_files_are_given_to_onnxruntime(network: GPEN, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx.safetensors"
    save_file({name: t.contiguous() for name, t in network.state_dict().items()}, path)
    with pytest.raises(CheckpointError, match="is no ONNX file"):
        choose_engine(path, "onnxruntime", refuse)
    with pytest.raises(MismatchError, match="use auto, gpen, onnxruntime"):
        choose_engine(path, "tensorrt", refuse)


def test_an_onnx_file_is_told_by_its_first_bytes(file: Path, tmp_path: Path) -> None:
    (tmp_path / "renamed.pth").write_bytes(file.read_bytes())
    assert is_onnx_file(tmp_path / "renamed.pth")
    # The header of a safetensors file may have 0x0208 bytes.
    (tmp_path / "odd.onnx").write_bytes(b"\x08\x02\0\0\0\0\0\0{")
    assert not is_onnx_file(tmp_path / "odd.onnx")
    assert not is_onnx_file(tmp_path) and not is_onnx_file(tmp_path / "absent.onnx")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo.onnx")
        assert not is_onnx_file(tmp_path / "fifo.onnx")
