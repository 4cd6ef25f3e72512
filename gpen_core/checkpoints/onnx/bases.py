"""Layers that were found in a graph, and their results as sums of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .axes import Spacing


@dataclass(frozen=True, eq=False)
class Base:
    """A layer's result. Two values are the same if their base is the same object.

    Attributes:
        node: the name of the node that computes it.
        shape: (C, H, W), or (D,) for a vector.
    """

    node: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Input(Base):
    """The face."""


@dataclass(frozen=True, eq=False)
class Constant(Base):
    """A feature map that does not depend on the face."""

    values: torch.Tensor


@dataclass(frozen=True, eq=False)
class Leaky(Base):
    """leaky_relu(x, 0.2)."""

    x: Content


@dataclass(frozen=True, eq=False)
class Linear(Base):
    """matrix [outputs, inputs] @ x."""

    x: Content
    matrix: torch.Tensor


@dataclass(frozen=True, eq=False)
class Normed(Base):
    """x divided by the root of its mean square."""

    x: Content


@dataclass(frozen=True, eq=False)
class Convolved(Base):
    """x convolved with weight [O, I, k, k]."""

    x: Content
    weight: torch.Tensor
    stride: int
    spacing: Spacing


@dataclass(frozen=True, eq=False)
class Filtered(Base):
    """Every channel of x filtered with the same kernel [k, k]."""

    x: Content
    kernel: torch.Tensor
    spacing: Spacing


@dataclass(frozen=True, eq=False)
class Styled(Base):
    """x convolved with weight [O, I, k, k] · style [I], normalised `demodulations` times."""

    x: Content
    weight: torch.Tensor
    style: Content
    spacing: Spacing
    upsamples: bool
    demodulations: int


@dataclass(frozen=True, eq=False)
class Summed(Base):
    """A sum of several terms that is filtered as a whole."""

    x: Content


@dataclass(frozen=True, eq=False)
class Part:
    """Consecutive channels: the sum of gain · base over the terms, plus the bias.

    Attributes:
        terms: bases, each with its gain of the shape [] or [C].
        bias: [] or [C].
    """

    channels: int
    terms: tuple[tuple[Base, torch.Tensor], ...]
    bias: torch.Tensor

    def scale(self, gain: torch.Tensor) -> Part:
        """Multiply by a gain [] or [C]."""
        terms = tuple((base, own * gain) for base, own in self.terms)
        return replace(self, terms=terms, bias=self.bias * gain)


Content = tuple[Part, ...]
"""The channels of a feature map or of a vector."""

ZERO, ONE = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)


def is_same(first: Content, second: Content) -> bool:
    """Whether two values are computed by the same nodes with the same numbers."""
    if first is second:
        return True
    if len(first) != len(second):
        return False
    return all(_is_same_part(a, b) for a, b in zip(first, second, strict=True))


def _is_same_part(a: Part, b: Part) -> bool:
    if len(a.terms) != len(b.terms) or a.channels != b.channels:
        return False
    pairs = zip(a.terms, b.terms, strict=True)
    return bool((a.bias == b.bias).all()) and all(
        x is y and bool((g == h).all()) for (x, g), (y, h) in pairs
    )
