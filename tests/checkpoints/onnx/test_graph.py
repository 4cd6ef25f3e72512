"""The reader of protobuf lists what the package onnx lists."""

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from gpen_core.checkpoints.onnx import TensorEntry, is_onnx, read_onnx_graph
from gpen_core.checkpoints.onnx.protobuf import unpack_varints


def compare_tensor(entry, wanted):
    assert entry.shape == tuple(wanted.dims)
    values = entry.read()
    if wanted.data_type == TensorProto.BFLOAT16:
        values = values.float()
    torch.testing.assert_close(values, torch.from_numpy(numpy_helper.to_array(wanted).copy()))


def compare_attribute(found, wanted):
    value = helper.get_attribute_value(wanted)
    if isinstance(found, TensorEntry):
        compare_tensor(found, value)
    elif isinstance(value, bytes):
        assert found == value.decode()
    elif wanted.type == onnx.AttributeProto.INTS:
        assert found == list(value)
    else:
        assert found == value


@pytest.mark.parametrize(
    "name",
    ["older 9", "reference 17", pytest.param("reference dynamo", marks=pytest.mark.slow)],
)
def test_it_lists_what_the_package_onnx_lists(exports, name):
    path = exports.path(name)
    proto, graph = onnx.load(str(path)), read_onnx_graph(path)
    assert graph.ir_version == proto.ir_version
    assert graph.opset == next(o.version for o in proto.opset_import if not o.domain)
    assert graph.producer.startswith("pytorch")
    assert [n.op for n in graph.nodes] == [n.op_type for n in proto.graph.node]
    for node, wanted in zip(graph.nodes, proto.graph.node, strict=True):
        assert (node.inputs, node.outputs) == (tuple(wanted.input), tuple(wanted.output))
        assert list(node.attributes) == [a.name for a in wanted.attribute]
        for attribute in wanted.attribute:
            compare_attribute(node.attributes[attribute.name], attribute)
    assert list(graph.initialisers) == [t.name for t in proto.graph.initializer]
    for tensor in proto.graph.initializer:
        compare_tensor(graph.initialisers[tensor.name], tensor)
    assert [v.name for v in graph.inputs] == ["input"]
    assert graph.inputs[0].shape == (1, 3, 32, 32)
    assert graph.inputs[0].dtype == "fp32"
    assert [v.name for v in graph.outputs] == ["output"]
    assert graph.operators["ConvTranspose"] >= 1
    assert graph.weight_bytes > 10_000


NUMBERS = {
    TensorProto.FLOAT: [1.5, -2, 3e-9], TensorProto.DOUBLE: [0.1, 2, 3],
    TensorProto.BOOL: [1, 0, 1], TensorProto.INT64: [1, -(1 << 62), 300],
    TensorProto.INT32: [1, -5, 1 << 30],
    TensorProto.FLOAT16: [1.5, -2, 0.1], TensorProto.INT8: [1, -5, 127],
    TensorProto.UINT8: [1, 5, 255],
}  # fmt: skip


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("kind", NUMBERS)
def test_tensors_of_all_dtypes_are_read(kind, raw, tmp_path):
    values = numpy_helper.to_array(helper.make_tensor("x", kind, [3], NUMBERS[kind]))
    tensor = helper.make_tensor("x", kind, [3, 1], values.tobytes() if raw else NUMBERS[kind], raw)
    graph = helper.make_graph([], "g", [], [], [tensor])
    onnx.save(helper.make_model(graph, ir_version=8), str(tmp_path / "a.onnx"))
    compare_tensor(read_onnx_graph(tmp_path / "a.onnx").initialisers["x"], tensor)


def test_numbers_of_every_length_are_unpacked():
    numbers = [0, 1, 127, 128, 16_384, (1 << 63) - 1, -1, -(1 << 63)]
    packed = b""
    for number in numbers:
        left = number & 0xFFFFFFFFFFFFFFFF
        while left > 127:
            packed, left = packed + bytes([left & 127 | 128]), left >> 7
        packed += bytes([left])
    assert unpack_varints(packed).tolist() == numbers
    assert unpack_varints(b"").tolist() == []


def test_weights_in_a_file_beside_it_are_read(exports, tmp_path):
    proto = onnx.load(str(exports.path("older 9")))
    wanted = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    name = proto.graph.initializer[0].name
    onnx.save(proto, str(tmp_path / "a.onnx"), save_as_external_data=True, size_threshold=0)
    entry = read_onnx_graph(tmp_path / "a.onnx").initialisers[name]
    assert entry.external is not None
    torch.testing.assert_close(entry.read(), torch.from_numpy(wanted))


def test_a_safetensors_file_that_begins_alike_is_no_onnx_file():
    assert is_onnx(b"\x08\x08\x12\x07pytorch")
    assert not is_onnx(b"\x08\x08\0\0\0\0\0\0{")
    assert not is_onnx(b"")
