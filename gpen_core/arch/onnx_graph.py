"""Writes the network as an ONNX graph, operator by operator, without an exporter.

The batch stays free. So the style scales activations, not weights: a convolution's `group` is an
attribute of the graph and could not follow the batch. All factors that depend on weights alone are
multiplied into the weights.

Equation numbers are those of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from .. import __version__
from ..errors import MismatchError
from .ops import DEMODULATION_EPS, SLOPE, SQRT2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .layers import EqualizedLinear, ModulatedConv, StyledConv, ToRGB
    from .network import Network

OPSET = 17
"""The version of ONNX's operators. ONNX Runtime 1.12, TensorRT 8.5, OpenVINO 2023 and DirectML 1.10
read it; later versions change no operator that the network needs."""
IR_VERSION = 8
"""The version of the file format that belongs to this opset."""
PIXEL_NORM_EPS = 1e-8
INPUT, OUTPUT = "input", "output"

FLOAT, HALF = torch.float32, torch.float16
_CODES = {FLOAT: TensorProto.FLOAT, HALF: TensorProto.FLOAT16}


def write_graph(
    model: Network, dtype: torch.dtype = FLOAT, *, metadata: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """Return the network as an ONNX model with a free batch.

    Its input `input` and output `output` are [N, 3, S, S] RGB float32, like those of `GPEN`.

    Args:
        model: a network whose input is as large as its output.
        dtype: float32 or float16, the dtype of convolutions and of their weights. The mapping, the
            styles and the sums of RGB stay in float32.
        metadata: texts that the file carries.

    Raises:
        MismatchError: the network draws noise, because its output is larger than its input.
    """
    config = model.config
    if config.in_size != config.out_size:
        raise MismatchError(
            f"A network of {config.in_size} → {config.out_size} px cannot be exported to ONNX: it "
            "draws new random noise in every pass. Export one whose input and output are equally "
            "large."
        )
    graph = _Graph(dtype)
    features = _encode(graph, model)
    latent = _map(graph, model, features[0])
    graph.name_output(_generate(graph, model, latent, features))
    proto = helper.make_model(
        graph.make(config.in_size),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="gpen",
        producer_version=__version__,
    )
    helper.set_model_props(proto, dict(metadata or {}))
    return proto


class _Graph:
    """Nodes and constants of an ONNX graph; methods return the name of their result."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._scope = ""

    def enter(self, scope: str) -> None:
        """Let the names that follow begin with the name of a layer."""
        self._scope = scope

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node that applies an operator; return the name of its result."""
        name = f"{self._scope}/{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def store(self, name: str, value: torch.Tensor, dtype: torch.dtype | None = None) -> str:
        """Store a constant in `dtype`, or in that of the convolutions; return its name."""
        values = value.detach().cpu().to(dtype or self.dtype).contiguous().numpy()
        self._constants[name] = numpy_helper.from_array(values, name)
        return name

    def number(self, value: float, dtype: torch.dtype | None = None) -> str:
        """Store a single number."""
        kind = str(dtype or self.dtype).removeprefix("torch.")
        return self.store(f"{kind} {value:.9g}", torch.tensor(value), dtype)

    def integers(self, *values: int) -> str:
        """Store a list of integers, such as axes."""
        name = f"integers {values}"
        self._constants[name] = numpy_helper.from_array(np.array(values, np.int64), name)
        return name

    def cast(self, x: str, to: torch.dtype) -> str:
        """Convert between float32 and the dtype of the convolutions, if that is another one."""
        return x if self.dtype == FLOAT else self.apply("Cast", x, to=_CODES[to])

    def per_channel(self, x: str) -> str:
        """Give a matrix [N, C] the shape [N, C, 1, 1] and the dtype of the convolutions."""
        return self.apply("Unsqueeze", self.cast(x, self.dtype), self.integers(2, 3))

    def name_output(self, x: str) -> None:
        """Make `x` the output of the graph."""
        self._nodes.append(helper.make_node("Identity", [x], [OUTPUT], OUTPUT))

    def make(self, size: int) -> onnx.GraphProto:
        """Return the graph of a network for faces of `size` px."""
        shape = ["N", 3, size, size]
        inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)]
        outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)]
        constants = list(self._constants.values())
        return helper.make_graph(self._nodes, "GPEN", inputs, outputs, constants)


def _encode(graph: _Graph, model: Network) -> list[str]:
    """Add the encoder; return its features, coarsest first."""
    x = graph.cast(INPUT, graph.dtype)
    features = []
    for level in range(model.encoder_levels):
        stage, name = model.encoder_stage(level), f"ecd{level}"
        graph.enter(name)
        if stage.blur is not None:
            x = _blur(graph, x, stage.conv.weight.shape[1], stage.blur.kernel, 2)
        weight = graph.store(f"{name}.weight", stage.conv.weight.float() * stage.conv.scale)
        x = graph.apply("Conv", x, weight, strides=[stage.conv.stride] * 2)
        x = _activate(graph, x, f"{name}.bias", stage.activation.bias)
        features.insert(0, x)
    return features


def _map(graph: _Graph, model: Network, feature: str) -> str:
    """Add the mapping, which computes the latent [N, D] from the coarsest feature."""
    graph.enter("final_linear")
    x = graph.apply("Flatten", graph.cast(feature, FLOAT), axis=1)
    x = _linear(graph, x, "final_linear", cast("EqualizedLinear", model.final_linear[0]))
    graph.enter("style")
    square = graph.apply("Mul", x, x)
    mean = graph.apply("ReduceMean", square, axes=[1], keepdims=1)
    x = graph.apply("Mul", x, _invert_root(graph, mean, PIXEL_NORM_EPS))
    for index in range(1, len(model.generator.style)):
        layer = cast("EqualizedLinear", model.generator.style[index])
        x = _linear(graph, x, f"style.{index}", layer)
    return x


def _generate(graph: _Graph, model: Network, latent: str, features: list[str]) -> str:
    """Add the generator; return its RGB."""
    generator = model.generator
    x = graph.store("start", generator.input.input)
    x = _styled_conv(graph, x, latent, features[0], "conv1", generator.conv1)
    rgb = _add_rgb(graph, x, latent, None, "to_rgb1", generator.to_rgb1)
    for level in range(1, len(features)):
        first, second, to_rgb = generator.level(level)
        index = 2 * level - 2
        x = _styled_conv(graph, x, latent, features[level], f"convs.{index}", first)
        x = _styled_conv(graph, x, latent, features[level], f"convs.{index + 1}", second)
        rgb = _add_rgb(graph, x, latent, rgb, f"to_rgbs.{level - 1}", to_rgb)
    return rgb


def _styled_conv(
    graph: _Graph, x: str, latent: str, feature: str, name: str, layer: StyledConv
) -> str:
    x = _modulated_conv(graph, x, latent, name, layer.conv)
    noise = graph.apply("Mul", feature, graph.store(f"{name}.noise", layer.noise.weight))
    if layer.append_noise:
        x = graph.apply("Concat", x, noise, axis=1)
    else:
        x = graph.apply("Add", x, noise)
    return _activate(graph, x, f"{name}.activate", layer.activate.bias)


def _add_rgb(graph: _Graph, x: str, latent: str, skip: str | None, name: str, layer: ToRGB) -> str:
    rgb = graph.cast(_modulated_conv(graph, x, latent, name, layer.conv), FLOAT)
    rgb = graph.apply("Add", rgb, graph.store(f"{name}.bias", layer.bias, FLOAT))
    if skip is None or layer.upsample is None:
        return rgb
    # A transposed convolution, as in `ops.fir_upsample`.
    kernel = layer.upsample.kernel.flip(0, 1).expand(3, 1, -1, -1)
    kernel = graph.store("blur of RGB", kernel, FLOAT)
    skip = graph.apply("ConvTranspose", skip, kernel, group=3, strides=[2, 2], pads=[1] * 4)
    return graph.apply("Add", rgb, skip)


def _modulated_conv(graph: _Graph, x: str, latent: str, name: str, conv: ModulatedConv) -> str:
    """Scale the inputs by the style, convolve, and scale the outputs (eqs. 1 and 3)."""
    graph.enter(name)
    weight = conv.weight[0].float() * conv.scale  # [O, I, k, k]
    style = _linear(graph, latent, f"{name}.modulation", conv.modulation)
    x = graph.apply("Mul", x, graph.per_channel(style))
    if conv.blur is None:
        pads = [weight.shape[-1] // 2] * 4
        x = graph.apply("Conv", x, graph.store(f"{name}.weight", weight), pads=pads)
    else:
        transposed = graph.store(f"{name}.weight", weight.transpose(0, 1))
        x = graph.apply("ConvTranspose", x, transposed, strides=[2, 2])
    if conv.demodulate:
        squares = graph.store(f"{name}.squares", weight.square().sum(dim=(2, 3)).t(), FLOAT)
        energy = graph.apply("MatMul", graph.apply("Mul", style, style), squares)
        gain = _invert_root(graph, energy, DEMODULATION_EPS)
        x = graph.apply("Mul", x, graph.per_channel(gain))
    if conv.blur is not None:
        x = _blur(graph, x, weight.shape[0], conv.blur.kernel, 1)
    return x


def _blur(graph: _Graph, x: str, channels: int, kernel: torch.Tensor, padding: int) -> str:
    gain = float(kernel.sum())
    weight = graph.store(f"blur {gain:g} × {channels}", kernel.expand(channels, 1, -1, -1))
    return graph.apply("Conv", x, weight, group=channels, pads=[padding] * 4)


def _linear(graph: _Graph, x: str, name: str, layer: EqualizedLinear) -> str:
    weight = graph.store(f"{name}.weight", layer.weight.float() * layer.scale, FLOAT)
    bias = graph.store(f"{name}.bias", layer.bias.float() * layer.lr_mul, FLOAT)
    x = graph.apply("Gemm", x, weight, bias, transB=1)
    if not layer.lrelu:
        return x
    x = graph.apply("LeakyRelu", x, alpha=SLOPE)
    return graph.apply("Mul", x, graph.number(SQRT2, FLOAT))


def _activate(graph: _Graph, x: str, name: str, bias: torch.Tensor) -> str:
    """Add `leaky_relu(x + bias) · √2`."""
    x = graph.apply("Add", x, graph.store(name, bias[:, None, None]))
    x = graph.apply("LeakyRelu", x, alpha=SLOPE)
    return graph.apply("Mul", x, graph.number(SQRT2))


def _invert_root(graph: _Graph, x: str, epsilon: float) -> str:
    x = graph.apply("Add", x, graph.number(epsilon, FLOAT))
    return graph.apply("Reciprocal", graph.apply("Sqrt", x))
