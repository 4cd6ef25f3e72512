"""The sizes and widths of a GPEN, read from the names and shapes of its tensors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import CheckpointError, MismatchError
from ..printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

SIGNATURE = (
    "generator.input.input",
    "generator.style.1.weight",
    "generator.conv1.conv.weight",
    "generator.to_rgb1.conv.weight",
    "ecd0.0.0.weight",
    "final_linear.0.weight",
)
"""Tensors that every GPEN has. No other face restorer has all of them."""

PUBLISHED_WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32,
                    1024: 16, 2048: 8}  # fmt: skip
"""Channels per resolution, before `GPENConfig.published` multiplies them."""

ACTIVATION_COPIES = 5
"""Peak memory of a forward pass, in units of (encoder features + features of the last level).

Measured on a CPU: 4.0–4.6 at 256 px, 3.9 at 512, 3.8 at 1024, 3.7 at 2048.
"""


@dataclass(frozen=True)
class GPENConfig:
    """The hyper-parameters of a GPEN.

    Attributes:
        in_size: side of the square input in pixels.
        out_size: side of the output in pixels; at least `in_size`.
        widths: channels at 4, 8, 16 … `out_size` pixels.
        style_dim: length of the latent w.
        mapping_layers: number of linear layers between the encoder and the latent.
        noise: "concat" appends the encoder's feature to a layer's output, "add" adds it.
        value_range: the values (black, white) of its input and output. No file holds them: all
            published networks take [-1, 1], except GPEN-Seg2face, which takes [0, 1].

    Raises:
        MismatchError: the sizes or widths are impossible.

    Example:
        >>> import gpen_core as gpen
        >>> config = gpen.GPENConfig.published(512)
        >>> config.in_size, config.widths[0], config.width(512)
        (512, 512, 64)
    """

    in_size: int
    out_size: int
    widths: tuple[int, ...]
    style_dim: int = 512
    mapping_layers: int = 8
    noise: str = "concat"
    value_range: tuple[float, float] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("in_size", "out_size"):
            size = getattr(self, name)
            if size < 8 or size & (size - 1):
                raise MismatchError(f"{name} must be a power of two from 8 up, found {size}.")
        if self.in_size > self.out_size:
            raise MismatchError(f"in_size {self.in_size} exceeds out_size {self.out_size}.")
        if len(self.widths) != len(self.resolutions) or min(self.widths) < 1:
            raise MismatchError(
                f"widths must name the channels at {self.resolutions} px, found {self.widths}."
            )
        if self.noise not in ("concat", "add"):
            raise MismatchError(f'noise must be "concat" or "add", found {self.noise!r}.')

    @classmethod
    def published(cls, size: int, *, channel_multiplier: int = 2, narrow: float = 1) -> GPENConfig:
        """Return the configuration of the published network of `size` px.

        GPEN-BFR-256 has `channel_multiplier=1, narrow=0.5`; 512, 1024 and 2048 have the defaults.

        Args:
            size: side of the input and of the output in pixels.
            channel_multiplier: multiplies the channels from 64 px on.
            narrow: multiplies all channels.
        """
        widths = [
            int(width * narrow) if r <= 32 else int(width * channel_multiplier * narrow)
            for r, width in PUBLISHED_WIDTHS.items()
            if r <= size
        ]
        return cls(in_size=size, out_size=size, widths=tuple(widths))

    @classmethod
    def released(cls, size: int) -> GPENConfig:
        """Return the configuration of the released checkpoint `GPEN-BFR-<size>`."""
        if size <= 256:
            return cls.published(size, channel_multiplier=1, narrow=0.5)
        return cls.published(size)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The sides of the levels in pixels: 4, 8, 16 … `out_size`."""
        return tuple(4 << i for i in range(self.out_size.bit_length() - 2))

    def width(self, resolution: int) -> int:
        """Return the channels at `resolution` px."""
        return self.widths[self.resolutions.index(resolution)]

    def forward_memory(self, faces: int, dtype: torch.dtype) -> int:
        """Estimate the bytes that a forward pass of `faces` faces takes, without the weights."""
        features = sum(self.width(size) * size**2 for size in self.resolutions)
        last = self.widths[-1] * self.out_size**2
        return ACTIVATION_COPIES * (features + last) * dtype.itemsize * faces


def read_config(shapes: Mapping[str, Sequence[int]]) -> GPENConfig:
    """Read a `GPENConfig` from `{tensor name: shape}`.

    Raises:
        CheckpointError: the tensors do not belong to a GPEN, or some are missing or damaged.
    """
    missing = [name for name in SIGNATURE if name not in shapes]
    if missing:
        first = next(iter(shapes), None)
        raise CheckpointError(
            f"Not a GPEN checkpoint: `{missing[0]}` is missing ({len(missing)} of "
            f"{len(SIGNATURE)} signature tensors absent). Found {len(shapes)} tensors"
            + (f", the first `{printable(first)}`" if first else "")
            + ". `gpen models` lists files that work."
        )
    encoder_levels = _count(shapes, r"ecd([1-9]\d*)\.")
    generator_levels = _count(shapes, r"generator\.to_rgbs\.(\d+)\.")
    width = _dimension(shapes, "generator.conv1.conv.weight", 1, 5)
    # A level's second weight shows its width twice, as outputs and as inputs: a damaged one cannot
    # match the shapes of the network built from it.
    widths = [width] + [
        _dimension(shapes, f"generator.convs.{2 * i + 1}.conv.weight", 1, 5)
        for i in range(generator_levels)
    ]
    concatenates = _dimension(shapes, "generator.conv1.activate.bias", 0, 1) != width
    try:
        return GPENConfig(
            in_size=4 << encoder_levels,
            out_size=4 << generator_levels,
            widths=tuple(widths),
            style_dim=_dimension(shapes, "generator.style.1.weight", 0, 2),
            mapping_layers=_count(shapes, r"generator\.style\.(\d+)\."),
            noise="concat" if concatenates else "add",
        )
    except MismatchError as error:
        raise CheckpointError(
            f"Not a usable GPEN checkpoint: {error} Read from {encoder_levels} levels `ecd1` … and "
            f"{generator_levels} levels `generator.to_rgbs.0` …; some may be missing."
        ) from error


def _count(shapes: Mapping[str, Sequence[int]], pattern: str) -> int:
    """Count the layers with at least one tensor, so that an incomplete layer counts, too."""
    return len({found[1] for name in shapes if (found := re.match(pattern, name))})


def _dimension(shapes: Mapping[str, Sequence[int]], name: str, axis: int, dimensions: int) -> int:
    if name not in shapes:
        raise CheckpointError(f"Damaged GPEN checkpoint: `{name}` is missing.")
    shape = list(shapes[name])
    if len(shape) != dimensions:
        raise CheckpointError(
            f"Damaged GPEN checkpoint: `{name}` must have {dimensions} dimensions, found {shape}."
        )
    return shape[axis]
