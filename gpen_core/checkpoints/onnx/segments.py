"""Take apart the layers of a graph: what is convolved, activated, blurred and scaled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch

from ...arch.layers import FIR_TAPS
from ...printable import printable
from .axes import Spacing
from .bases import Base, Content, Filtered, Leaky, Linear, Part, Styled, Summed
from .protobuf import UnreadableGraph

SQRT2 = math.sqrt(2)
CLOSE = 1e-5
"""The largest relative difference of numbers that must be the same."""

B = TypeVar("B", bound=Base)


def expect(holds: bool, base: Base, expected: str) -> None:
    """Raise UnreadableGraph, which names the node of `base`, unless `holds`."""
    if not holds:
        raise refuse_base(base, expected)


def refuse_base(base: Base, expected: str) -> UnreadableGraph:
    """Return the error of a layer that no GPEN has there."""
    return UnreadableGraph(
        f"cannot be read as a GPEN: at the node `{printable(base.node)}`, expected {expected}."
    )


def only_part(content: Content, expected: str) -> Part:
    """Return the part of a value that has one."""
    if len(content) != 1:
        raise refuse_base(content[0].terms[0][0], expected)
    return content[0]


def only_term(content: Content, kind: type[B], expected: str) -> tuple[B, torch.Tensor]:
    """Return the base and the gain of a value that is gain · base, of this kind."""
    part = only_part(content, expected)
    base, gain = part.terms[0]
    if len(part.terms) != 1 or part.bias.any() or not isinstance(base, kind):
        raise refuse_base(base, expected)
    return base, gain


def uniform(gain: torch.Tensor, base: Base, expected: str) -> float:
    """Return a gain that is the same positive number for all channels."""
    value = float(gain.double().mean())
    same = bool((gain.double() - value).abs().max() <= CLOSE * abs(value))
    expect(same and 0 < value < math.inf, base, expected)
    return value


def blur_gain(blur: Filtered, spacing: Spacing, total: float) -> float:
    """Return the number that multiplies the kernel of a blur, beside `total`.

    Raises:
        UnreadableGraph: the kernel has another form, or the padding is another one.
    """
    expect(
        blur.spacing == spacing,
        blur,
        f"a blur with {spacing.before} and {spacing.after} zeros around rows at a distance of "
        f"{spacing.step}, found {blur.spacing.before}, {blur.spacing.after} and "
        f"{blur.spacing.step}",
    )
    taps = torch.tensor(FIR_TAPS, dtype=torch.float64)
    wanted = torch.outer(taps, taps) * (total / float(taps.sum()) ** 2)
    kernel = blur.kernel.double()
    gain = float(kernel.sum()) / total
    close = kernel.shape == wanted.shape and torch.allclose(kernel, gain * wanted, rtol=1e-5)
    expect(close and gain > 0, blur, "a blur by the taps 1, 3, 3, 1")
    return gain


@dataclass(frozen=True)
class Activated:
    """Channels that one activation computes.

    Attributes:
        leaky: the activation.
        gain: the number that multiplies its result.
        inner: the part that it activates.
    """

    leaky: Leaky
    gain: torch.Tensor
    inner: Part


def list_activated(content: Content) -> list[Activated]:
    """Return the activated channels of a layer's result, in order."""
    found: list[Activated] = []
    for part in content:
        leaky, gain = only_term((part,), Leaky, "activated channels: a leaky ReLU")
        if gain.ndim and len(leaky.x) > 1:
            gains = list(gain.split([inner.channels for inner in leaky.x]))
        else:
            gains = [gain] * len(leaky.x)
        found += [Activated(leaky, g, p) for g, p in zip(gains, leaky.x, strict=True)]
    return found


def activated_by(content: Content, expected: str) -> Activated:
    """Return the activation of a layer that appends nothing."""
    found = list_activated(content)
    expect(len(found) == 1, found[0].leaky, expected)
    return found[0]


def spread_gain(gain: torch.Tensor, channels: int) -> torch.Tensor:
    """Return a gain [] or [C] as [C]."""
    return gain.double().expand(channels) if gain.ndim == 0 else gain.double()


@dataclass(frozen=True)
class Affine:
    """matrix [outputs, inputs] @ x + bias [outputs], in float64.

    Attributes:
        base: the linear layer.
        x: its input.
    """

    base: Linear
    x: Content
    matrix: torch.Tensor
    bias: torch.Tensor


def read_affine(part: Part) -> Affine:
    """Take a linear layer and its bias apart."""
    base, gain = part.terms[0]
    if len(part.terms) != 1 or not isinstance(base, Linear):
        raise refuse_base(base, "a linear layer")
    matrix = base.matrix.double() * spread_gain(gain, part.channels)[:, None]
    return Affine(base, base.x, matrix, spread_gain(part.bias, part.channels))


def unwrap_skip(content: Content) -> Content:
    """Return the RGB that a blur enlarges."""
    base = content[0].terms[0][0]
    return base.x if isinstance(base, Summed) else content


@dataclass(frozen=True)
class Main:
    """The modulated convolution of a layer.

    Attributes:
        styled: the convolution.
        gain: the number that multiplies its result, without that of the blur after it.
        noise: the other terms of the sum: noise that is added.
    """

    styled: Styled
    gain: torch.Tensor
    noise: tuple[tuple[Base, torch.Tensor], ...]


def read_main(part: Part) -> Main:
    """Find the modulated convolution of a layer, and the blur after it."""
    for i, (base, gain) in enumerate(part.terms):
        others = part.terms[:i] + part.terms[i + 1 :]
        if isinstance(base, Styled):
            expect(not base.upsamples, base, "a blur after a convolution that doubles the size")
            return Main(base, gain, others)
        if isinstance(base, Filtered):
            styled, inner = only_term(base.x, Styled, "a blurred convolution")
            expect(styled.upsamples, base, "no blur after a convolution that keeps the size")
            factor = blur_gain(base, Spacing(1, 1, 1), 4)
            return Main(styled, gain * inner * factor, others)
    raise refuse_base(part.terms[0][0], "a modulated convolution")
