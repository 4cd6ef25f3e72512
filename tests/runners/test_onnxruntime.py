from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from networks import random_crops, random_network, relative_error
from onnx import TensorProto, helper

from gpen_core.arch import GPEN
from gpen_core.arch.onnx_graph import write_graph
from gpen_core.errors import CheckpointError, DeviceError, MismatchError
from gpen_core.restore import restore_pixels
from gpen_core.runners import onnxruntime, sessions
from gpen_core.runners.onnxruntime import OnnxRunner

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> GPEN:
    torch.manual_seed(3)
    return random_network(16, 16)


def write(
    network: GPEN, path: Path, *, batch: int | None = None, outputs: list[object] | None = None
) -> Path:
    """Write an ONNX file whose batch is fixed, and whose output has another stated shape."""
    proto = write_graph(network)
    if batch is not None:
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = batch
    if outputs is not None:
        del proto.graph.output[:]
        proto.graph.output.append(
            helper.make_tensor_value_info("output", TensorProto.FLOAT, outputs)
        )
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("batch", [None, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_batches_are_split_and_filled_up_to_the_one_of_the_graph(
    batch: int | None, count: int, network: GPEN, tmp_path: Path
) -> None:
    run = OnnxRunner(write(network, tmp_path / "model.onnx", batch=batch), CPU)
    x = random_crops(count, 16)
    found = run(x, noise_seed=7)
    assert found.shape == (count, 3, 16, 16)
    assert count == 0 or relative_error(found, network(x)) < 1e-5


def test_it_restores_as_the_network_does(network: GPEN, tmp_path: Path) -> None:
    run = OnnxRunner(write(network, tmp_path / "model.onnx"), CPU, sharpen=1.5)
    network.sharpen = 1.5
    pixels = torch.rand(3, 3, 40, 40)
    found = restore_pixels(run, pixels, strength=0.8)
    assert relative_error(found, restore_pixels(network, pixels, strength=0.8)) < 1e-5
    network.sharpen = 0.0


def test_an_output_whose_size_the_file_leaves_open_is_measured(
    network: GPEN, tmp_path: Path
) -> None:
    path = write(network, tmp_path / "model.onnx", outputs=["N", 3, "H", "W"])
    assert OnnxRunner(path, CPU).config.out_size == 16


def test_an_output_that_is_not_square_is_refused(tmp_path: Path) -> None:
    shapes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 16, width])
        for name, width in (("input", 16), ("output", 32))
    ]
    node = helper.make_node("Concat", ["input", "input"], ["output"], axis=3)
    graph = helper.make_graph([node], "twice", shapes[:1], shapes[1:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), tmp_path / "wide.onnx")
    with pytest.raises(CheckpointError, match="output is 32 × 16 px, not square"):
        OnnxRunner(tmp_path / "wide.onnx", CPU)


def test_faces_of_another_size_are_refused(network: GPEN, tmp_path: Path) -> None:
    run = OnnxRunner(write(network, tmp_path / "model.onnx"), CPU)
    with pytest.raises(MismatchError, match=r"takes \[N, 3, 16, 16\], found \[1, 3, 32, 32\]"):
        run(random_crops(1, 32))


def test_a_file_that_onnx_runtime_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x08broken")
    with pytest.raises(CheckpointError, match=r"broken\.onnx`: ONNX Runtime .* cannot open it"):
        OnnxRunner(tmp_path / "broken.onnx", CPU)


def test_without_onnxruntime_it_says_how_to_install_it(
    network: GPEN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="-m pip install onnxruntime"):
        OnnxRunner(tmp_path / "model.onnx", CPU)


@pytest.mark.parametrize(
    ("device", "hip", "available", "chosen"),
    [
        ("cpu", None, [], []),
        ("cpu", None, ["CUDAExecutionProvider"], []),
        ("cpu", None, ["OpenVINOExecutionProvider"], ["OpenVINOExecutionProvider"]),
        (
            "cuda:1", None, ["TensorrtExecutionProvider", "CUDAExecutionProvider"],
            [("CUDAExecutionProvider", {"device_id": 1, "use_tf32": 0})],
        ),
        ("cuda", None, [], []),
        (
            "cuda", "6.2", ["ROCMExecutionProvider", "MIGraphXExecutionProvider"],
            [("MIGraphXExecutionProvider", {"device_id": 0}),
             ("ROCMExecutionProvider", {"device_id": 0})],
        ),
        ("mps", None, ["CoreMLExecutionProvider"], ["CoreMLExecutionProvider"]),
    ],
)  # fmt: skip
def test_the_execution_provider_follows_the_device(device, hip, available, chosen, monkeypatch):
    import onnxruntime as package

    monkeypatch.setattr(package, "get_available_providers", lambda: [*available, sessions.CPU])
    monkeypatch.setattr(torch.version, "hip", hip)
    assert sessions.choose_providers(torch.device(device)) == [*chosen, sessions.CPU]


def test_memory_that_runs_out_halves_the_batch_and_other_errors_are_said(
    network: GPEN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = OnnxRunner(write(network, tmp_path / "model.onnx"), CPU)
    sizes = []

    class Session:
        def __init__(self, session):
            self.session = session

        def get_inputs(self):
            return self.session.get_inputs()

        def get_outputs(self):
            return self.session.get_outputs()

        def run(self, names, inputs):
            sizes.append(len(inputs["input"]))
            if sizes[-1] > 1:
                raise RuntimeError("Failed to allocate memory for requested buffer")
            return self.session.run(names, inputs)

    monkeypatch.setattr(run, "_session", Session(run._session))
    pixels = torch.rand(4, 3, 16, 16)
    assert restore_pixels(run, pixels, batch_size=4).shape == (4, 3, 16, 16)
    assert sizes == [4, 2, 1, 1, 1, 1]

    def fail(session, faces):
        raise DeviceError("ONNX Runtime failed: odd")

    monkeypatch.setattr(onnxruntime, "run_session", fail)
    with pytest.raises(DeviceError, match="failed: odd"):
        restore_pixels(run, pixels)
