from __future__ import annotations

import onnx
import pytest
import torch
from networks import by_modules, random_crops, random_network, relative_error
from onnx.reference import ReferenceEvaluator

from gpen_core.arch.onnx_graph import write_graph
from gpen_core.errors import MismatchError


@pytest.mark.parametrize("noise", ["concat", "add"])
def test_the_graph_is_valid_and_computes_the_network_by_onnx_s_own_definition(noise):
    model = random_network(16, 16, noise=noise)
    proto = write_graph(model, metadata={"gpen.sharpen": "1.5"})
    onnx.checker.check_model(proto, full_check=True)
    x = random_crops(2, 16)
    (found,) = ReferenceEvaluator(proto).run(None, {"input": x.numpy()})
    assert relative_error(torch.from_numpy(found), by_modules(model, x).detach()) < 1e-5
    assert {entry.key: entry.value for entry in proto.metadata_props} == {"gpen.sharpen": "1.5"}


def test_only_the_batch_of_its_one_input_and_one_output_is_free():
    graph = write_graph(random_network(16, 16)).graph
    for values, name in ((graph.input, "input"), (graph.output, "output")):
        (value,) = values
        kind = value.type.tensor_type
        sides = [dimension.dim_param or dimension.dim_value for dimension in kind.shape.dim]
        assert (value.name, kind.elem_type) == (name, onnx.TensorProto.FLOAT)
        assert sides == ["N", 3, 16, 16]


def test_float16_halves_the_convolutions_and_spares_the_mapping():
    proto = write_graph(random_network(16, 16), torch.float16)
    onnx.checker.check_model(proto, full_check=True)
    kinds = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    assert kinds["convs.1.weight"] == kinds["ecd0.weight"] == onnx.TensorProto.FLOAT16
    assert kinds["style.1.weight"] == kinds["conv1.modulation.weight"] == onnx.TensorProto.FLOAT


def test_a_network_that_draws_noise_is_refused():
    with pytest.raises(MismatchError, match=r"16 → 32 px .* random noise"):
        write_graph(random_network(16, 32))
