"""Find the layers of a GPEN in a graph, and give their weights the published names.

A graph holds effective weights: scales such as 1/√fan_in and √2 may be folded into them or not. We
store the weights from which our network computes the same. An activation L of the graph may be k
times as large as ours; k is followed from layer to layer.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ...arch.network import MAPPING_LR_MUL
from .axes import Spacing
from .bases import (
    Constant,
    Content,
    Convolved,
    Filtered,
    Input,
    Leaky,
    Normed,
    Part,
    Styled,
    is_same,
)
from .generator import Layer, input_gain, list_layers, list_rgb
from .protobuf import UnreadableGraph
from .segments import (
    SQRT2,
    activated_by,
    blur_gain,
    expect,
    only_part,
    only_term,
    read_affine,
    refuse_base,
    spread_gain,
    uniform,
)
from .values import Map, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_MAPPING = 64


class _Names:
    """Collects tensors by their published names."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self.latent: Content | None = None

    def store(self, name: str, values: torch.Tensor) -> None:
        self.tensors[name] = values.to(torch.float32).contiguous()

    def store_modulation(self, name: str, styled: Styled, gains: torch.Tensor) -> None:
        """Store a modulated weight, whose input channels are multiplied by `gains`, and its style.

        Args:
            gains: [I].
        """
        weight = styled.weight.double()
        fan_in = math.prod(weight.shape[1:])
        weight = weight * gains[:, None, None] * math.sqrt(fan_in)
        self.store(f"{name}.weight", weight[None])
        affine = read_affine(only_part(styled.style, "a style that one linear layer computes"))
        if self.latent is None:
            self.latent = affine.x
        expect(is_same(self.latent, affine.x), affine.base, "the same latent for all styles")
        gain = activated_by(affine.x, "a mapped latent").gain / SQRT2
        columns = affine.matrix.shape[1]
        matrix = affine.matrix * spread_gain(gain, columns) * math.sqrt(columns)
        self.store(f"{name}.modulation.weight", matrix)
        self.store(f"{name}.modulation.bias", affine.bias)


def name_tensors(output: Value) -> dict[str, torch.Tensor]:
    """Return the tensors of a GPEN by their published names, without the blur kernels.

    Args:
        output: the RGB that the graph computes.

    Raises:
        UnreadableGraph: it is not what a GPEN computes; the message names the node.
    """
    if not isinstance(output, Map) or not output.is_plain or output.shape[:2] != (1, 3):
        raise UnreadableGraph(
            "cannot be read as a GPEN: expected RGB as its output, a sum of layers [1, 3, S, S]."
        )
    names = _Names()
    rgbs = list_rgb(output.content)
    layers = list_layers(rgbs)
    features = [layer.feature for layer in (layers[0], *layers[1::2])]
    _store_layers(names, layers, features)
    for level, (styled, gain, bias) in enumerate(rgbs):
        where = f"generator.to_rgbs.{level - 1}" if level else "generator.to_rgb1"
        layer = layers[2 * level]
        gains = torch.cat([input_gain(a) for a in layer.activated]) * layer.scale / SQRT2
        scaled = styled.weight.double() * spread_gain(gain, 3)[:, None, None, None]
        names.store_modulation(f"{where}.conv", replace(styled, weight=scaled), gains)
        names.store(f"{where}.bias", spread_gain(bias, 3).reshape(1, 3, 1, 1))
    _store_encoder(names, features[::-1])
    _store_mapping(names, features[0])
    return names.tensors


def _store_layers(names: _Names, layers: Sequence[Layer], features: Sequence[Leaky]) -> None:
    below: Layer | None = None
    for i, layer in enumerate(layers):
        where = f"generator.convs.{i - 1}" if i else "generator.conv1"
        styled = layer.main.styled
        expected = Spacing(2, 2, 2) if styled.upsamples else Spacing(1, 1, 1)
        is_layer = styled.weight.shape[2] == 3 and styled.demodulations == 1
        expect(is_layer, styled, "a demodulated 3 × 3 convolution")
        expect(styled.spacing == expected, styled, "the padding of a 3 × 3 convolution")
        if below is None:
            factor = _store_constant(names, styled)
        else:
            gains = torch.cat([input_gain(a) for a in below.activated])
            factor = below.scale * uniform(gains, styled, "one gain for all channels") / SQRT2
        layer.scale = factor * uniform(layer.main.gain, styled, "one gain for all channels")
        names.store_modulation(f"{where}.conv", styled, torch.ones(styled.weight.shape[1]))
        _store_noise(names, where, layer)
        below = layer


def _store_constant(names: _Names, styled: Styled) -> float:
    constant, gain = only_term(styled.x, Constant, "the constant input")
    gains = spread_gain(gain, constant.shape[0])[:, None, None]
    names.store("generator.input.input", (constant.values.double() * gains)[None])
    return 1.0


def _store_noise(names: _Names, where: str, layer: Layer) -> None:
    gain = float(layer.noise_gain.double().mean())
    same = (layer.noise_gain - gain).abs().max() <= 1e-5 * abs(gain)
    expect(bool(same), layer.leaky, "one gain for all channels of the noise")
    names.store(f"{where}.noise.weight", torch.tensor([gain / (SQRT2 * layer.scale)]))
    biases = [spread_gain(a.inner.bias, a.inner.channels) for a in layer.activated]
    names.store(f"{where}.activate.bias", torch.cat(biases) / layer.scale)


def _store_encoder(names: _Names, features: Sequence[Leaky]) -> None:
    """Store the encoder's convolutions, given its features from fine to coarse."""
    for level, feature in enumerate(features):
        part = only_part(feature.x, "a convolution and its bias")
        conv, gain = part.terms[0]
        if len(part.terms) != 1 or not isinstance(conv, Convolved):
            raise refuse_base(conv, "a convolution of the encoder")
        if level:
            gains = _check_downsampling(conv, features[level - 1])
            where = f"ecd{level}.0.1.weight", f"ecd{level}.0.2.bias"
        else:
            gains = _check_first(conv)
            where = "ecd0.0.0.weight", "ecd0.0.1.bias"
        weight = conv.weight.double() * spread_gain(gain, part.channels)[:, None, None, None]
        fan_in = math.prod(weight.shape[1:])
        weight = weight * gains[:, None, None] * math.sqrt(fan_in)
        names.store(where[0], weight)
        names.store(where[1], spread_gain(part.bias, part.channels))


def _check_first(conv: Convolved) -> torch.Tensor:
    face, gain = only_term(conv.x, Input, "the input")
    plain = conv.weight.shape[2] == 1 and conv.stride == 1 and conv.spacing == Spacing(0, 1, 0)
    expect(plain, conv, "a 1 × 1 convolution")
    return spread_gain(gain, face.shape[0])


def _check_downsampling(conv: Convolved, finer: Leaky) -> torch.Tensor:
    expect(conv.weight.shape[2] == 3 and conv.stride == 2, conv, "a 3 × 3 convolution of stride 2")
    expect(conv.spacing == Spacing(0, 1, 0), conv, "a convolution without padding")
    blur, gain = only_term(conv.x, Filtered, "a blur before a convolution of stride 2")
    factor = blur_gain(blur, Spacing(2, 1, 2), 1)
    base, inner = only_term(blur.x, Leaky, "the finer feature")
    expect(base is finer, blur, "the feature that is the noise of the finer level")
    channels = base.shape[0]
    return spread_gain(gain, channels) * spread_gain(inner, channels) * (factor / SQRT2)


def _store_mapping(names: _Names, coarsest: Leaky) -> None:
    """Store the mapping, and the linear layer between the encoder and it."""
    assert names.latent is not None
    found: list[Part] = []
    content = names.latent
    while not isinstance(content[0].terms[0][0], Normed):
        layer = activated_by(content, "a linear layer and a leaky ReLU")
        affine = read_affine(layer.inner)
        found.append(layer.inner)
        content = affine.x
        expect(len(found) <= MAX_MAPPING, layer.leaky, f"at most {MAX_MAPPING} mapping layers")
    norm, gain = only_term(content, Normed, "a normalised latent")
    for number, part in enumerate(reversed(found), start=1):
        affine = read_affine(part)
        columns = affine.matrix.shape[1]
        if number > 1:
            gain = activated_by(affine.x, "a mapped latent").gain / SQRT2
        scale = math.sqrt(columns) / MAPPING_LR_MUL
        where = f"generator.style.{number}"
        names.store(f"{where}.weight", affine.matrix * spread_gain(gain, columns) * scale)
        names.store(f"{where}.bias", affine.bias / MAPPING_LR_MUL)
    _store_final_linear(names, norm, coarsest)


def _store_final_linear(names: _Names, norm: Normed, coarsest: Leaky) -> None:
    last = activated_by(norm.x, "a linear layer and a leaky ReLU before the norm")
    affine = read_affine(last.inner)
    outer = uniform(last.gain, last.leaky, "one gain for all values") / SQRT2
    base, gain = only_term(affine.x, Leaky, "the encoder's coarsest feature")
    expect(base is coarsest, affine.base, "the encoder's coarsest feature")
    columns = affine.matrix.shape[1]
    pixels = columns // base.shape[0]
    gains = spread_gain(gain, base.shape[0]).repeat_interleave(pixels) / SQRT2
    matrix = affine.matrix * gains * (outer * math.sqrt(columns))
    names.store("final_linear.0.weight", matrix)
    names.store("final_linear.0.bias", affine.bias * outer)
