"""The network: an encoder whose features steer a StyleGAN2 generator.

GPEN, Yang et al., CVPR 2021, arXiv 2105.06070, section 3. Attribute names give the tensor names of
the published checkpoints.
"""

from __future__ import annotations

import torch
from torch import nn

from ..errors import MismatchError
from .config import GPENConfig
from .layers import (
    ConstantInput,
    EqualizedConv,
    EqualizedLinear,
    ModulatedConv,
    PixelNorm,
    StyledConv,
    ToRGB,
    encoder_stage,
)

MAPPING_LR_MUL = 0.01  # not stored in checkpoints; the same in every published one


class Generator(nn.Module):
    """StyleGAN2 synthesis with the encoder's features in the place of noise."""

    def __init__(self, config: GPENConfig) -> None:
        super().__init__()
        self.config = config
        style_dim = config.style_dim
        appends = config.noise == "concat"
        fed = 2 if appends else 1  # channels that a layer hands on, per channel it computes
        mapping = [
            EqualizedLinear(style_dim, style_dim, lr_mul=MAPPING_LR_MUL, lrelu=True)
            for _ in range(config.mapping_layers)
        ]
        self.style = nn.Sequential(PixelNorm(), *mapping)
        width = config.widths[0]
        self.input = ConstantInput(width)
        self.conv1 = StyledConv(width, width, style_dim, append_noise=appends, upsample=False)
        self.to_rgb1 = ToRGB(width * fed, style_dim, upsample=False)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for inputs, width in zip(config.widths[:-1], config.widths[1:], strict=True):
            self.convs.append(
                StyledConv(inputs * fed, width, style_dim, append_noise=appends, upsample=True)
            )
            self.convs.append(
                StyledConv(width * fed, width, style_dim, append_noise=appends, upsample=False)
            )
            self.to_rgbs.append(ToRGB(width * fed, style_dim))

    def forward(
        self,
        latent: torch.Tensor,
        features: list[torch.Tensor],
        noise_generator: torch.Generator | None,
    ) -> torch.Tensor:
        """Synthesise [N, 3, S, S] from the latent [N, D] and features, coarsest first."""
        x = self.input.input.to(features[0].dtype).expand(len(latent), -1, -1, -1)
        x = self.conv1(x, latent, features[0])
        rgb = self.to_rgb1(x, latent)
        for level, to_rgb in enumerate(self.to_rgbs):
            for conv in (self.convs[2 * level], self.convs[2 * level + 1]):
                if level + 1 < len(features):
                    noise = features[level + 1]
                else:
                    noise = self._fresh_noise(level + 1, features[0], noise_generator)
                x = conv(x, latent, noise)
            rgb = to_rgb(x, latent, rgb)
        return rgb

    def _fresh_noise(
        self, level: int, like: torch.Tensor, generator: torch.Generator | None
    ) -> torch.Tensor:
        size = self.config.resolutions[level]
        shape = (1, self.config.widths[level], size, size)
        # Drawn on the CPU and once for the batch: the same seed then gives the same face on every
        # device and in every batch.
        noise = torch.randn(shape, generator=generator).to(like)
        return noise.expand(len(like), -1, -1, -1)


class GPEN(nn.Module):
    """Restores aligned faces.

    Args:
        config: sizes and widths; `GPENConfig.published(512)` or what `read_config` found.
    """

    def __init__(self, config: GPENConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        previous = config.width(config.in_size)
        self.ecd0 = encoder_stage(3, previous, downsample=False)
        resolution = config.in_size
        for level in range(1, self._encoder_levels):
            resolution //= 2
            width = config.width(resolution)
            self.add_module(f"ecd{level}", encoder_stage(previous, width, downsample=True))
            previous = width
        self.final_linear = nn.Sequential(
            EqualizedLinear(previous * 16, config.style_dim, lrelu=True)
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.generator.input.input.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that convolutions compute in."""
        return self.generator.conv1.conv.weight.dtype

    def set_dtype(self, dtype: torch.dtype) -> GPEN:
        """Compute convolutions in `dtype`; mapping, modulation and RGB stay in float32."""
        for module in self.modules():
            if isinstance(module, (EqualizedConv, ModulatedConv)):
                module.weight.data = module.weight.data.to(dtype)
        return self

    @property
    def _encoder_levels(self) -> int:
        return self.config.in_size.bit_length() - 2

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Encode faces.

        Args:
            x: [N, 3, in_size, in_size] RGB in [-1, 1].

        Returns:
            the latent w [N, style_dim] and the features [N, C, r, r], r = 4, 8 … in_size.
        """
        x = x.to(self.dtype)
        features: list[torch.Tensor] = []
        for level in range(self._encoder_levels):
            x = self.get_submodule(f"ecd{level}")(x)
            features.append(x)
        flat = x.contiguous().flatten(1).float()  # C, H, W order
        latent = self.generator.style(self.final_linear(flat))
        return latent, features[::-1]

    def forward(self, x: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
        """Restore aligned faces.

        Args:
            x: [N, 3, in_size, in_size] RGB in [-1, 1], any float dtype, on the model's device.
            noise_seed: seeds the noise of the levels above `in_size`; a model whose input is as
                large as its output is deterministic and ignores it.

        Returns:
            [N, 3, out_size, out_size] float32 RGB, meant to lie in [-1, 1] but not clamped.

        Raises:
            MismatchError: x has another shape.
        """
        size = self.config.in_size
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, size, size):
            raise MismatchError(f"This GPEN takes [N, 3, {size}, {size}], found {list(x.shape)}.")
        latent, features = self.encode(x)
        noise_generator = None
        if self.config.in_size < self.config.out_size:
            noise_generator = torch.Generator().manual_seed(noise_seed)
        return self.generator(latent, features, noise_generator)
