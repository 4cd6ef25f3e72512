"""Graphs that are not those of a GPEN are refused in words; nothing is ever read wrongly."""

import random
import re

import numpy as np
import onnx
import pytest
import torch
from hostile_files import COMMON_KINDS, alter_bytes, draw_place
from networks import build_gpen, random_crops, relative_error
from onnx import TensorProto, helper, numpy_helper

from gpen_core.arch.reference import ReferenceGPEN
from gpen_core.checkpoints.loading import read_checkpoint
from gpen_core.checkpoints.onnx import UnreadableGraph, read_onnx, read_onnx_graph
from gpen_core.errors import CheckpointError

NAME = "older 9"


@pytest.fixture
def proto(exports):
    return onnx.load(str(exports.path(NAME)))


def refusal(proto, folder) -> str:
    path = folder / "altered.onnx"
    path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    with pytest.raises(UnreadableGraph) as error:
        read_onnx(path)
    assert str(path) in str(error.value)
    return str(error.value)


def nodes_of(proto, op):
    return [node for node in proto.graph.node if node.op_type == op]


def tensors_of(proto, *shape):
    return [t for t in proto.graph.initializer if tuple(t.dims) == shape]


def replace(tensor, change):
    values = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def set_attribute(node, name, value):
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def foreign_operator(proto):
    nodes_of(proto, "Conv")[3].domain = "com.microsoft"
    return "com.microsoft.Conv"


def unknown_operator(proto):
    nodes_of(proto, "LeakyRelu")[2].op_type = "Relu"
    return r"\(Relu\), expected an operator that GPENs have"


def other_slope(proto):
    set_attribute(nodes_of(proto, "LeakyRelu")[4], "alpha", 0.1)
    return r"\(LeakyRelu\), expected a leaky ReLU of the slope 0.2"


def other_blur(proto):
    for tensor in tensors_of(proto, 1, 1, 4, 4):
        replace(tensor, lambda values: values * np.float32([1, 1, 1, 1.01]))
    return "expected a blur by the taps 1, 3, 3, 1"


def other_stride(proto):
    strided = [
        node
        for node in nodes_of(proto, "Conv")
        for a in node.attribute
        if a.name == "strides" and list(a.ints) == [2, 2]
    ]
    set_attribute(strided[0], "strides", [1, 1])
    return "expected"


def missing_weight(proto):
    del proto.graph.initializer[0]
    return "expected that its input `.*` is computed before it"


def cycle(proto):
    first, last = nodes_of(proto, "Conv")[0], nodes_of(proto, "Conv")[-1]
    first.input[0] = last.output[0]
    return "expected that its input `.*` is computed before it"


def negative_shape(proto):
    proto.graph.initializer[0].dims[0] = -4
    return "has the shape"


def huge_tensor(proto):
    proto.graph.initializer[0].dims[0] = 1 << 40
    return "expected|must have|has the shape"


def text_weight(proto):
    proto.graph.initializer[0].data_type = TensorProto.STRING
    return "is of the type string"


def large_batch(proto):
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    return r"expected an input \[1, 3, S, S\]"


def two_inputs(proto):
    proto.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    return "expected one input"


def no_output(proto):
    del proto.graph.output[:]
    return "it has no output"


def no_graph(proto):
    proto.ClearField("graph")
    return "it has 0 graphs"


def intermediate_output(proto):
    proto.graph.output[0].name = nodes_of(proto, "LeakyRelu")[-1].output[0]
    return "expected RGB as its output"


ALTERATIONS = [
    foreign_operator, unknown_operator, other_slope, other_blur, other_stride, missing_weight,
    cycle, negative_shape, huge_tensor, text_weight, large_batch, two_inputs, no_output, no_graph,
    intermediate_output,
]  # fmt: skip


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda f: f.__name__)
def test_an_altered_graph_is_refused_in_words(alter, proto, tmp_path):
    expected = alter(proto)
    assert re.search(expected, refusal(proto, tmp_path))


@pytest.mark.parametrize("location", ["../out.bin", "/etc/passwd", "link.bin", "C:\\out.bin", ""])
def test_weights_outside_of_the_folder_are_refused(location, proto, tmp_path):
    (tmp_path / "out.bin").write_bytes(bytes(100_000))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "out.bin")
    for tensor in proto.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
    assert "not in the folder of the file" in refusal(proto, folder)


def test_a_missing_weight_file_is_named(proto, tmp_path):
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    assert "lacks the file `weights.bin`" in refusal(proto, tmp_path)


def make_constants(*nodes):
    """Return a file whose constants want to grow."""
    face = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 64, 64])
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [3], [1 << 20, 1 << 10, 1 << 10])
    one = helper.make_tensor("one", TensorProto.FLOAT, [1, 1, 1], [1.0])
    limit = helper.make_tensor("limit", TensorProto.INT64, [], [1 << 50])
    zero = helper.make_tensor("zero", TensorProto.INT64, [], [0])
    step = helper.make_tensor("step", TensorProto.INT64, [], [1])
    last = helper.make_node("Mul", ["x", nodes[-1].output[0]], ["y"])
    graph = helper.make_graph([*nodes, last], "g", [face], [out], [sizes, one, limit, zero, step])
    return helper.make_model(graph, ir_version=8)


GROWING = {
    "fill": [helper.make_node("ConstantOfShape", ["sizes"], ["a"])],
    "count": [helper.make_node("Range", ["zero", "limit", "step"], ["a"])],
    "expand and use": [
        helper.make_node("Expand", ["one", "sizes"], ["e"]),
        helper.make_node("Sqrt", ["e"], ["a"]),
    ],
    "expand and reshape": [
        helper.make_node("Expand", ["one", "sizes"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Mul", ["f", "f"], ["a"]),
    ],
    "append": [
        helper.make_node("Expand", ["one", "sizes"], ["e"]),
        helper.make_node("Concat", ["e"] * 64, ["a"], axis=0),
    ],
}


@pytest.mark.parametrize("nodes", GROWING.values(), ids=GROWING)
def test_constants_that_grow_are_refused(nodes, tmp_path):
    refusal(make_constants(*nodes), tmp_path)


def test_deep_nesting_is_not_followed(tmp_path):
    inner = b""
    for _ in range(5_000):  # a graph in an attribute in a node in a graph …
        for number in (1, 5, 6):
            inner = bytes([number << 3 | 2]) + varint(len(inner)) + inner
    refusal(b"\x08\x08" + b"\x3a" + varint(len(inner)) + inner, tmp_path)


def varint(number):
    octets = b""
    while number > 127:
        octets, number = octets + bytes([number & 127 | 128]), number >> 7
    return octets + bytes([number])


@pytest.mark.parametrize("part", [0.0001, 0.1, 0.5, 0.9999])
def test_a_truncated_file_is_refused(part, exports, tmp_path):
    data = exports.path(NAME).read_bytes()
    assert "damaged ONNX file" in refusal(data[: int(len(data) * part)], tmp_path)


def check_altered_bytes(data, count, seed, path):
    dice = random.Random(seed)
    for _ in range(count):
        altered = bytearray(data)
        for _ in range(dice.choice([1, 1, 3])):
            place = draw_place(altered, dice)
            alter_bytes(altered, place, dice.randrange(COMMON_KINDS), dice, "<")
        path.write_bytes(altered)
        try:
            read_onnx_graph(path)
            read_checkpoint(path)
        except CheckpointError:
            pass


def test_altered_bytes_raise_checkpoint_errors_only(exports, tmp_path):
    data = exports.path(NAME).read_bytes()
    check_altered_bytes(data, 15, 1, tmp_path / "a.onnx")


@pytest.mark.slow
def test_many_altered_bytes_raise_checkpoint_errors_only(exports, tmp_path):
    data = exports.path(NAME).read_bytes()
    check_altered_bytes(data, 400, 2, tmp_path / "a.onnx")


def alter_meaning(proto, dice):
    """Change what a graph computes: a number, an attribute, or which values a node takes."""
    kind = dice.randrange(4)
    nodes = proto.graph.node
    if kind == 0:
        chosen = dice.choice([t for t in proto.graph.initializer if t.data_type == 1])
        factor = np.float32(dice.choice([0.5, 1.001, -1, 0]))
        replace(chosen, lambda values: values * factor)
    elif kind == 1:
        constants = [n for n in nodes if n.op_type == "Constant"]
        chosen = dice.choice(constants).attribute[0].t
        values = numpy_helper.to_array(chosen)
        changed = values + np.array(dice.choice([1, -1]), values.dtype)
        chosen.CopyFrom(numpy_helper.from_array(changed, chosen.name))
    elif kind == 2:
        node = dice.choice([n for n in nodes if n.input])
        earlier = [o for n in nodes for o in n.output if n is not node]
        node.input[dice.randrange(len(node.input))] = dice.choice(earlier)
    else:
        node = dice.choice([n for n in nodes if any(a.ints for a in n.attribute)])
        attribute = dice.choice([a for a in node.attribute if a.ints])
        place = dice.randrange(len(attribute.ints))
        attribute.ints[place] += dice.choice([1, -1])


def check_altered_meaning(path, count, seed, folder) -> int:
    """Compare the readings of altered graphs with ONNX Runtime; return how many were read."""
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(3)
    x, read = random_crops(1, 32), 0
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    for number in range(count):
        proto = onnx.load(str(path))
        alter_meaning(proto, random.Random(seed + number))
        (folder / "a.onnx").write_bytes(proto.SerializeToString())
        try:
            found = ReferenceGPEN(build_gpen(read_onnx(folder / "a.onnx").tensors))(x)
        except CheckpointError:
            continue
        try:
            session = onnxruntime.InferenceSession(str(folder / "a.onnx"), options)
            (wanted,) = session.run(None, {"input": x.numpy()})
        except Exception:  # noqa: BLE001 - ONNX Runtime raises errors of many kinds for graphs that do not fit
            continue
        assert relative_error(found, torch.from_numpy(wanted)) < 1e-4, f"seed {seed + number}"
        read += 1
    return read


def test_an_altered_graph_is_never_read_wrongly(exports, tmp_path):
    assert check_altered_meaning(exports.path(NAME), 15, 100, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [NAME, "reference 17"])
def test_many_altered_graphs_are_never_read_wrongly(name, exports, tmp_path):
    assert check_altered_meaning(exports.path(name), 300, 1_000, tmp_path) > 10


def test_a_text_that_claims_to_be_long_is_refused(tmp_path):
    data = b"\x08\x08\x12" + varint(1 << 40) + b"pytorch"
    assert "does not fit" in refusal(data, tmp_path)
