"""Find the generator's layers in a graph, from the output down to the constant input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .axes import Spacing
from .bases import Content, Filtered, Leaky, Styled, is_same
from .segments import (
    Activated,
    Main,
    blur_gain,
    expect,
    list_activated,
    only_part,
    read_main,
    refuse_base,
    spread_gain,
    uniform,
    unwrap_skip,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LEVELS = 12


class Layer:
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


def input_gain(part: Activated) -> torch.Tensor:
    """Return the gain [C] of activated channels."""
    return spread_gain(part.gain, part.inner.channels)


def list_rgb(content: Content) -> list[tuple[Styled, torch.Tensor, torch.Tensor]]:
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


def list_layers(rgbs: Sequence[tuple[Styled, torch.Tensor, torch.Tensor]]) -> list[Layer]:
    """Return the layers of the generator: conv1, then two for each level."""
    layers: list[Layer] = []
    for level, (styled, *_) in reversed(list(enumerate(rgbs))):
        if layers:
            expect(is_same(layers[-1].x, styled.x), styled, "RGB of the result that goes up")
        second = Layer(styled.x)
        layers.append(second)
        if level:
            expect(not second.main.styled.upsamples, second.leaky, "two layers for each level")
            first = Layer(second.x)
            expect(first.main.styled.upsamples, first.leaky, "a layer that doubles the size")
            expect(first.feature is second.feature, first.leaky, "the same noise for both layers")
            layers.append(first)
    layers.reverse()
    expect(not layers[0].main.styled.upsamples, layers[0].leaky, "a first layer of 4 × 4 pixels")
    appends = {layer.appends for layer in layers}
    expect(len(appends) == 1, layers[0].leaky, "noise that all layers append, or all add")
    return layers
