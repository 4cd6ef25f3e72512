"""The network: an encoder whose features steer a StyleGAN2 generator.

GPEN, Yang et al., CVPR 2021, arXiv 2105.06070, section 3. Attribute names give the tensor names of
the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import cast

import torch
from torch import nn

from ..errors import MismatchError
from .config import GPENConfig
from .cpu import strips
from .cuda import fused, launch
from .kept import Kept
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
from .precision import exact_convolutions
from .weight_cache import version_of

MAPPING_LR_MUL = 0.01  # not stored in checkpoints; the same in every published one

FreshNoise = Callable[[int], torch.Tensor]
"""Draws the noise [1, C, r, r] of one convolution of the generator's level 0, 1 … (4, 8 … px)."""


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

    def level(self, index: int) -> tuple[StyledConv, StyledConv, ToRGB]:
        """The upsampling layer, the second layer and the RGB of level 1, 2 … (8, 16 … px)."""
        first, second = self.convs[2 * index - 2], self.convs[2 * index - 1]
        return (
            cast(StyledConv, first),
            cast(StyledConv, second),
            cast(ToRGB, self.to_rgbs[index - 1]),
        )

    def forward(
        self, latent: torch.Tensor, features: list[torch.Tensor], fresh_noise: FreshNoise
    ) -> torch.Tensor:
        """Synthesise [N, 3, S, S] from the latent [N, D] and features, coarsest first."""
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


class GPEN(nn.Module):
    """Restores aligned faces.

    Args:
        config: sizes and widths; `GPENConfig.published(512)` or what `read_config` found.

    Attributes:
        sharpen: how much the faces are to be sharpened after the network, which does not do it
            itself: the amount of `gpen_core.sharpen.sharpen_restored`; 0 for published ones.
    """

    def __init__(self, config: GPENConfig) -> None:
        super().__init__()
        self.config = config
        self.sharpen = 0.0
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
        self._kept = Kept()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.generator.input.input.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that convolutions compute in."""
        return self.generator.conv1.conv.weight.dtype

    def set_dtype(self, dtype: torch.dtype) -> GPEN:
        """Compute convolutions in `dtype`; mapping, modulation and RGB stay in float32.

        The encoder's weights are kept in float32 and rounded once, when they are used: of all that
        half precision rounds, the faces depend most on the latent.

        Also lays the weights out as convolutions read them, so call it with the dtype that the
        model has too: it is then faster, though not otherwise different. Call it too after
        writing to weights through their `.data` or in inference mode, which torch does not count.
        """
        for module in self.modules():
            if isinstance(module, EqualizedConv):
                module.store_as(torch.float32)
            elif isinstance(module, ModulatedConv):
                module.store_as(dtype if module.demodulate else torch.float32)
        self._kept.prepared.clear()
        return self

    def _apply(self, fn: Callable[..., torch.Tensor], recurse: bool = True) -> GPEN:
        self._kept.prepared.clear()
        return super()._apply(fn, recurse)

    @property
    def encoder_levels(self) -> int:
        """How many features the encoder gives: one for each of 4, 8 … `in_size` pixels."""
        return self.config.in_size.bit_length() - 2

    def encoder_stage(self, level: int) -> nn.Sequential:
        """What computes the feature of `in_size` / 2^level pixels."""
        return cast(nn.Sequential, self.get_submodule(f"ecd{level}.0"))

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Encode faces.

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
        """The latent w [N, style_dim] from the coarsest feature [N, C, 4, 4]."""
        flat = feature.contiguous().flatten(1).float()  # C, H, W order
        return self.generator.style(self.final_linear(flat))

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
        if not self._runs_in_strips(x):
            return self.compute(x, self.fresh_noise(noise_seed))
        faces = x.new_empty(len(x), 3, *[self.config.out_size] * 2, dtype=torch.float32)
        for index in range(len(x)):
            face, out = x[index : index + 1], faces[index : index + 1]
            # Autocast would change the dtype of what is written into the workspace.
            with torch.autocast("cpu", enabled=False):
                strips.restore_face(self, face, out, self.fresh_noise(noise_seed), self._kept)
        return faces

    def compute(self, x: torch.Tensor, fresh_noise: FreshNoise) -> torch.Tensor:
        """As `forward`, all faces at once and with noise of the caller's."""
        with exact_convolutions(x, self.dtype) if self._restores else nullcontext():
            if self._runs_fused(x):
                # Autocast would change the dtype of what the kernels read.
                with torch.autocast("cuda", enabled=False):
                    return fused.restore_faces(self, x, fresh_noise, self._kept)
            latent, features = self.encode(x)
            return self.generator(latent, features, fresh_noise)

    def fingerprint(self) -> tuple[object, ...]:
        """What changes when weights move or are written to, as far as torch counts that."""
        tensors = (*self.parameters(), *self.buffers())
        weights = ((tensor.data_ptr(), tensor.dtype, version_of(tensor)) for tensor in tensors)
        return (self._kept.prepared.cleared, *weights)

    def fresh_noise(self, seed: int) -> FreshNoise:
        """What draws the noise of one pass, in the order of the generator's convolutions."""
        noise_generator = torch.Generator().manual_seed(seed)

        def draw(level: int) -> torch.Tensor:
            # Drawn on the CPU and for one face: the same on every device and in every batch.
            resolution = self.config.resolutions[level]
            shape = (1, self.config.widths[level], resolution, resolution)
            return torch.randn(shape, generator=noise_generator, dtype=torch.float32, device="cpu")

        return draw

    def _runs_in_strips(self, x: torch.Tensor) -> bool:
        return x.device.type == "cpu" and torch.backends.mkldnn.is_available() and self._restores

    def _runs_fused(self, x: torch.Tensor) -> bool:
        return self.config.noise == "concat" and len(x) > 0 and self._restores and launch.suits(x)

    @property
    def _restores(self) -> bool:
        """Whether nobody wants gradients or a graph of the forward pass."""
        return not (self.training or torch.is_grad_enabled() or torch.compiler.is_compiling())
