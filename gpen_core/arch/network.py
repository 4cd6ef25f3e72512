"""The network in plain modules: an encoder whose features steer a StyleGAN2 generator.

GPEN, Yang et al., CVPR 2021, arXiv 2105.06070, section 3. Attribute names give the tensor names of
the published checkpoints. `gpen.py` adds the engines that compute it faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from .layers import (
    ConstantInput,
    EncoderStage,
    EqualizedLinear,
    PixelNorm,
    StyledConv,
    ToRGB,
    encoder_stage,
)

if TYPE_CHECKING:
    from .config import GPENConfig

MAPPING_LR_MUL = 0.01  # not stored in checkpoints; all published ones share it

FreshNoise = Callable[[int], torch.Tensor]
"""Draws the noise [1, C, r, r] of one convolution, given its level: 0, 1 … for 4, 8 … pixels."""


class Generator(nn.Module):
    """StyleGAN2 synthesis that takes the encoder's features in place of noise."""

    def __init__(self, config: GPENConfig) -> None:
        super().__init__()
        self.config = config
        style_dim = config.style_dim
        appends = config.noise == "concat"
        handed_on = 2 if appends else 1  # channels of a layer's result per channel it computes
        mapping = [
            EqualizedLinear(style_dim, style_dim, lr_mul=MAPPING_LR_MUL, lrelu=True)
            for _ in range(config.mapping_layers)
        ]
        self.style = nn.Sequential(PixelNorm(), *mapping)
        width = config.widths[0]
        self.input = ConstantInput(width)
        self.conv1 = StyledConv(width, width, style_dim, append_noise=appends, upsample=False)
        self.to_rgb1 = ToRGB(width * handed_on, style_dim, upsample=False)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for inputs, width in zip(config.widths[:-1], config.widths[1:], strict=True):
            self.convs.append(
                StyledConv(
                    inputs * handed_on, width, style_dim, append_noise=appends, upsample=True
                )
            )
            self.convs.append(
                StyledConv(
                    width * handed_on, width, style_dim, append_noise=appends, upsample=False
                )
            )
            self.to_rgbs.append(ToRGB(width * handed_on, style_dim))

    def level(self, index: int) -> tuple[StyledConv, StyledConv, ToRGB]:
        """Return the layers of level 1, 2 … (8, 16 … pixels).

        They are the upsampling layer, the second layer and the one that computes RGB.
        """
        first, second = self.convs[2 * index - 2], self.convs[2 * index - 1]
        return (
            cast(StyledConv, first),
            cast(StyledConv, second),
            cast(ToRGB, self.to_rgbs[index - 1]),
        )

    def forward(
        self, latent: torch.Tensor, features: list[torch.Tensor], fresh_noise: FreshNoise
    ) -> torch.Tensor:
        """Synthesise [N, 3, S, S] from the latent [N, D] and the features, coarsest first."""
        x = self.input.input.to(features[0].dtype).expand(len(latent), -1, -1, -1)
        x = self.conv1(x, latent, features[0])
        rgb = self.to_rgb1(x, latent)
        for index in range(1, len(self.config.resolutions)):
            up, conv, to_rgb = self.level(index)
            for layer in (up, conv):
                if index < len(features):
                    noise = features[index]
                else:
                    noise = fresh_noise(index).to(x).expand(len(x), -1, -1, -1)
                x = layer(x, latent, noise)
            rgb = to_rgb(x, latent, rgb)
        return rgb


class Network(nn.Module):
    """GPEN's layers and their plain forward pass, which gradients and compilers can follow.

    Args:
        config: sizes and widths.
    """

    def __init__(self, config: GPENConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        previous = config.width(config.in_size)
        self.ecd0 = encoder_stage(3, previous, downsample=False)
        resolution = config.in_size
        for level in range(1, self.encoder_levels):
            resolution //= 2
            width = config.width(resolution)
            self.add_module(f"ecd{level}", encoder_stage(previous, width, downsample=True))
            previous = width
        self.final_linear = nn.Sequential(
            EqualizedLinear(previous * 16, config.style_dim, lrelu=True)
        )

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return self.generator.input.input.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that convolutions compute in."""
        return self.generator.conv1.conv.weight.dtype

    @property
    def encoder_levels(self) -> int:
        """The number of the encoder's features: one for each of 4, 8 … `in_size` pixels."""
        return self.config.in_size.bit_length() - 2

    def encoder_stage(self, level: int) -> EncoderStage:
        """Return the stage that computes the feature of `in_size` / 2^level pixels."""
        return cast(EncoderStage, self.get_submodule(f"ecd{level}.0"))

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Encode crops.

        Args:
            x: [N, 3, in_size, in_size] RGB in [-1, 1].

        Returns:
            the latent w [N, style_dim] and the features [N, C, r, r], r = 4, 8 … in_size.
        """
        x = x.to(self.dtype)
        if x.device.type in ("cpu", "cuda"):
            x = x.contiguous(memory_format=torch.channels_last)
        features: list[torch.Tensor] = []
        for level in range(self.encoder_levels):
            x = self.encoder_stage(level)(x)
            features.append(x)
        return self.latent_of(x), features[::-1]

    def latent_of(self, feature: torch.Tensor) -> torch.Tensor:
        """Compute the latent w [N, style_dim] from the coarsest feature [N, C, 4, 4]."""
        flat = feature.contiguous().flatten(1).float()  # C, H, W order
        return self.generator.style(self.final_linear(flat))

    def fresh_noise(self, seed: int) -> FreshNoise:
        """Return a function that draws the noise of one pass.

        It must be called in the order of the generator's convolutions.
        """
        noise_generator = torch.Generator().manual_seed(seed)

        def draw(level: int) -> torch.Tensor:
            # Drawn on the CPU for a single face, so that every device and batch gets the same.
            resolution = self.config.resolutions[level]
            shape = (1, self.config.widths[level], resolution, resolution)
            return torch.randn(shape, generator=noise_generator, dtype=torch.float32, device="cpu")

        return draw

    def compute(self, x: torch.Tensor, fresh_noise: FreshNoise) -> torch.Tensor:
        """Restore x [N, 3, in_size, in_size] in [-1, 1] with the caller's noise.

        Returns:
            [N, 3, out_size, out_size] float32, not clamped.
        """
        latent, features = self.encode(x)
        return self.generator(latent, features, fresh_noise)
