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
from .protobuf import UnreadableGraph
from .segments import (
    SQRT2,
    Activated,
    Main,
    activated_by,
    blur_gain,
    expect,
    list_activated,
    only_part,
    only_term,
    read_affine,
    read_main,
    refuse_base,
    spread_gain,
    uniform,
    unwrap_skip,
)
from .values import (
    Constant,
    Content,
    Convolved,
    Filtered,
    Input,
    Leaky,
    Map,
    Normed,
    Part,
    Styled,
    Value,
    is_same,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LEVELS = 12
MAX_MAPPING = 64


class _Layer:
    """A modulated convolution with noise and activation, before its weights are named."""

    def __init__(self, content: Content) -> None:
        self.activated = list_activated(content)
        leaky = self.activated[0].leaky
        expect(len(self.activated) <= 2, leaky, "one convolution and one noise")
        self.leaky = leaky
        self.main: Main = read_main(self.activated[0].inner)
        self.appends = len(self.activated) == 2
        noise = self.activated[1].inner.terms if self.appends else self.main.noise
        expect(len(noise) == 1, leaky, "one noise that is appended or added")
        feature, self.noise_gain = noise[0]
        if not isinstance(feature, Leaky):
            raise refuse_base(feature, "a feature of the encoder as the noise")
        expect(not self.main.noise or not self.appends, leaky, "noise that is appended or added")
        self.feature: Leaky = feature
        self.scale = 1.0  # k: how many times as large as ours its activation is

    @property
    def x(self) -> Content:
        return self.main.styled.x


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
    rgbs = _list_rgb(output.content)
    layers = _list_layers(rgbs)
    features = [layer.feature for layer in (layers[0], *layers[1::2])]
    _store_layers(names, layers, features)
    for level, (styled, gain, bias) in enumerate(rgbs):
        where = f"generator.to_rgbs.{level - 1}" if level else "generator.to_rgb1"
        layer = layers[2 * level]
        gains = torch.cat([_input_gain(a) for a in layer.activated]) * layer.scale / SQRT2
        scaled = styled.weight.double() * spread_gain(gain, 3)[:, None, None, None]
        names.store_modulation(f"{where}.conv", replace(styled, weight=scaled), gains)
        names.store(f"{where}.bias", spread_gain(bias, 3).reshape(1, 3, 1, 1))
    _store_encoder(names, features[::-1])
    _store_mapping(names, features[0])
    return names.tensors


def _input_gain(part: Activated) -> torch.Tensor:
    return spread_gain(part.gain, part.inner.channels)


def _list_rgb(content: Content) -> list[tuple[Styled, torch.Tensor, torch.Tensor]]:
    """Return the layers that compute RGB, from 4 pixels up, with their gains and biases."""
    found = []
    current: Content | None = content
    while current is not None:
        part = only_part(current, "RGB that one layer computes")
        convolutions = [(b, g) for b, g in part.terms if isinstance(b, Styled)]
        blurs = [(b, g) for b, g in part.terms if isinstance(b, Filtered)]
        first = part.terms[0][0]
        known = len(convolutions) + len(blurs) == len(part.terms)
        alone = len(convolutions) == 1 and len(blurs) <= 1 and len(found) <= MAX_LEVELS
        expect(known and alone, first, "RGB of one convolution and of the level below")
        styled, gain = convolutions[0]
        is_rgb = styled.weight.shape[2] == 1 and not styled.demodulations
        expect(is_rgb and not styled.upsamples, styled, "a 1 × 1 convolution without demodulation")
        expect(styled.spacing == Spacing(0, 1, 0), styled, "no padding")
        found.append((styled, gain, part.bias))
        current = None
        for blur, factor in blurs:
            total = blur_gain(blur, Spacing(2, 2, 2), 4) * uniform(factor, blur, "one gain")
            expect(abs(total - 1) < 1e-4, blur, "a blur whose taps add up to 4")
            current = unwrap_skip(blur.x)
    return found[::-1]


def _list_layers(rgbs: Sequence[tuple[Styled, torch.Tensor, torch.Tensor]]) -> list[_Layer]:
    """Return the layers of the generator: conv1, then two for each level."""
    layers: list[_Layer] = []
    for level, (styled, *_) in reversed(list(enumerate(rgbs))):
        if layers:
            expect(is_same(layers[-1].x, styled.x), styled, "RGB of the result that goes up")
        second = _Layer(styled.x)
        layers.append(second)
        if level:
            expect(not second.main.styled.upsamples, second.leaky, "two layers for each level")
            first = _Layer(second.x)
            expect(first.main.styled.upsamples, first.leaky, "a layer that doubles the size")
            expect(first.feature is second.feature, first.leaky, "the same noise for both layers")
            layers.append(first)
    layers.reverse()
    expect(not layers[0].main.styled.upsamples, layers[0].leaky, "a first layer of 4 × 4 pixels")
    appends = {layer.appends for layer in layers}
    expect(len(appends) == 1, layers[0].leaky, "noise that all layers append, or all add")
    return layers


def _store_layers(names: _Names, layers: Sequence[_Layer], features: Sequence[Leaky]) -> None:
    below: _Layer | None = None
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
            gains = torch.cat([_input_gain(a) for a in below.activated])
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


def _store_noise(names: _Names, where: str, layer: _Layer) -> None:
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
