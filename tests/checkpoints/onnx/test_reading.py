"""Exports of several kinds give the network that was exported."""

import numpy as np
import onnx
import pytest
import torch
from networks import build_gpen, random_crops, relative_error
from older_network import OlderGPEN
from onnx import numpy_helper
from onnx_exports import export_by_torchscript, make_network

import gpen_core as gpen
from gpen_core.arch.reference import ReferenceGPEN
from gpen_core.checkpoints.converting import convert_checkpoint
from gpen_core.checkpoints.loading import read_checkpoint
from gpen_core.checkpoints.metadata import SHARPEN_KEY
from gpen_core.checkpoints.onnx import read_onnx

QUICK = ["reference 17", "reference 11 unfolded", "older 9"]
SLOW = [
    "reference dynamo", "reference 11 64", "reference 12", "reference 12 unfolded 64",
    "reference 17 unfolded", "reference 17 added", "reference 17 simplified",
    "older 9 unfolded 64", "older 9 simplified", "older 10",
    "reference dynamo simplified", "reference dynamo added",
]  # fmt: skip
ALL = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def compare(path, model) -> float:
    """Return how far the network of a file is from `model`."""
    torch.manual_seed(1)
    x = random_crops(1, model.config.in_size)
    found = build_gpen(read_onnx(path).tensors)
    assert found.config == model.config
    return relative_error(ReferenceGPEN(found)(x), ReferenceGPEN(model)(x))


def test_the_older_network_computes_the_same():
    model = make_network()
    x = random_crops(1, 32)
    assert relative_error(OlderGPEN(model)(x), ReferenceGPEN(model)(x)) < 2e-6


@pytest.mark.parametrize("name", ALL)
def test_an_export_gives_the_network_that_was_exported(exports, name):
    assert compare(exports.path(name), exports.network(name)) < 1e-5


def test_the_stored_weights_are_those_of_the_network(exports):
    model = exports.network("older 9")
    found = read_onnx(exports.path("older 9")).tensors
    for name, wanted in model.state_dict().items():
        if not name.endswith(".kernel"):
            torch.testing.assert_close(found[name], wanted, rtol=3e-6, atol=1e-7)


def store_half(source, target):
    """Round all initialisers to float16, and store them so."""
    proto = onnx.load(str(source))
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(proto, str(target))
    return target


def test_rounded_weights_are_read_as_they_are(exports, tmp_path):
    path = store_half(exports.path("older 9"), tmp_path / "half.onnx")
    model = exports.network("older 9")
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    assert compare(path, model) < 2e-3
    assert read_onnx(path).dtype == "fp16"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["older 9", "reference 17", "reference dynamo"])
def test_files_of_the_float16_converter_are_read(exports, name, tmp_path):
    float16 = pytest.importorskip("onnxconverter_common.float16")
    path = tmp_path / "half.onnx"
    proto = float16.convert_float_to_float16(onnx.load(str(exports.path(name))))
    onnx.save(proto, str(path))
    assert compare(path, exports.network(name)) < 2e-3


def test_load_gpen_and_convert_take_an_onnx_file(exports, tmp_path):
    proto = onnx.load(str(exports.path("older 9")))
    onnx.helper.set_model_props(proto, {SHARPEN_KEY: "0.4"})
    path = tmp_path / "mine.onnx"
    onnx.save(proto, str(path))
    model = gpen.load_gpen(path, device="cpu")
    assert model.sharpen == 0.4
    x = random_crops(2, 32)
    assert relative_error(model(x), ReferenceGPEN(exports.network("older 9"))(x)) < 1e-5
    checkpoint = read_checkpoint(path)
    assert "ONNX, graph of" in checkpoint.describe()
    copy = read_checkpoint(convert_checkpoint(path, tmp_path / "copy.safetensors"))
    assert copy.sharpen == 0.4
    assert all(torch.equal(t, copy.state_dict[n]) for n, t in checkpoint.state_dict.items())


@pytest.mark.slow
def test_an_export_of_the_built_in_model_gives_its_picture(tmp_path):
    model = gpen.load_gpen("builtin", device="cpu", dtype="fp32")
    path = tmp_path / "builtin.onnx"
    export_by_torchscript(ReferenceGPEN(model), path, 256, 17, fold=True)
    torch.manual_seed(1)
    x = random_crops(1, 256)
    found = gpen.load_gpen(path, device="cpu", dtype="fp32")
    assert relative_error(found(x), model(x)) < 1e-5
