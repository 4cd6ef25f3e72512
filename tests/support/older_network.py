"""The network as older public code writes it: for exports to ONNX that look like published files.

The batch lies along the channels, so that a grouped convolution has a weight for each face. A blur
inserts zeros by reshaping and padding. Kernels are flipped beforehand, because old operator sets
cannot flip.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from gpen_core.arch.network import MAPPING_LR_MUL, Network


def blur(x: torch.Tensor, kernel: torch.Tensor, up: int, pad: tuple[int, int]) -> torch.Tensor:
    """Insert zeros, pad and filter x [N, C, H, W] by a kernel that was flipped beforehand."""
    channels, height, width = x.shape[1:]
    x = x.reshape(-1, height, 1, width, 1, 1)
    x = F.pad(x, [0, 0, 0, up - 1, 0, 0, 0, up - 1])
    x = x.reshape(-1, height * up, width * up, 1)
    x = F.pad(x, [0, 0, pad[0], pad[1], pad[0], pad[1]])
    x = x.permute(0, 3, 1, 2)
    x = x.reshape(-1, 1, height * up + sum(pad), width * up + sum(pad))
    x = F.conv2d(x, kernel[None, None])
    x = x.reshape(-1, 1, x.shape[2], x.shape[3]).permute(0, 2, 3, 1)
    return x.reshape(-1, channels, x.shape[1], x.shape[2])


def spread(x: torch.Tensor) -> torch.Tensor:
    """Insert a zero between neighbours and two around all: a transposed convolution's input."""
    batch, channels, height, width = x.shape
    x = F.pad(x.reshape(batch, channels, height, 1, width, 1), [0, 1, 0, 0, 0, 1])
    x = x.reshape(batch, channels, 2 * height, 2 * width)[:, :, :-1, :-1]
    return F.pad(x, [2, 2, 2, 2])


class OlderGPEN(nn.Module):
    """Computes the same as a GPEN with concatenated noise.

    Args:
        model: holds the weights.
        zero_insertion: levels, counted from 0, that insert zeros instead of transposing.
    """

    def __init__(self, model: Network, *, zero_insertion: tuple[int, ...] = (1, 3)) -> None:
        super().__init__()
        self.model = model
        self.zero_insertion = zero_insertion
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        kernel = torch.outer(taps, taps)
        self.register_buffer("kernel", (kernel / kernel.sum()).flip(0, 1))
        for i, layer in enumerate(model.generator.convs):
            self.register_buffer(f"turned{i}", layer.conv.weight.flip(3, 4).clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Restore one face x [1, 3, S, S]."""
        features = []
        for level in range(self.model.encoder_levels):
            stage = self.model.encoder_stage(level)
            conv = stage.conv
            if stage.blur is not None:
                x = blur(x, self.kernel, 1, (2, 2))
            scale = 1 / math.sqrt(conv.weight[0].numel())
            x = F.conv2d(x, conv.weight * scale, stride=conv.stride)
            x = self._activate(x, stage.activation.bias)
            features.insert(0, x)
        flat = features[0].view(features[0].shape[0], -1)
        latent = self._linear(self.model.final_linear[0], flat, 1.0)
        latent = latent * torch.rsqrt(torch.mean(latent**2, dim=1, keepdim=True) + 1e-8)
        for layer in self.model.generator.style[1:]:
            latent = self._linear(layer, latent, MAPPING_LR_MUL)
        return self._generate(latent, features)

    def _generate(self, latent: torch.Tensor, features: list[torch.Tensor]) -> torch.Tensor:
        generator = self.model.generator
        x = generator.input.input.repeat(latent.shape[0], 1, 1, 1)
        x = self._styled(generator.conv1, x, latent, features[0], None)
        rgb = self._to_rgb(generator.to_rgb1, x, latent)
        for level, feature in enumerate(features[1:]):
            first, second, to_rgb = generator.level(level + 1)
            x = self._styled(first, x, latent, feature, level)
            x = self._styled(second, x, latent, feature, None)
            skip = blur(rgb, self.kernel * 4, 2, (2, 1))
            rgb = self._to_rgb(to_rgb, x, latent) + skip
        return rgb

    def _to_rgb(self, layer, x, latent):
        return self._modulate(layer.conv, x, latent, demodulate=False) + layer.bias

    def _styled(self, layer, x, latent, feature, level):
        if level is None:
            x = self._modulate(layer.conv, x, latent)
        elif level in self.zero_insertion:
            turned = getattr(self, f"turned{2 * level}")
            x = self._modulate(layer.conv, spread(x), latent, weight=turned, padding=0)
            x = blur(x, self.kernel * 4, 1, (1, 1))
        else:
            x = self._modulate(layer.conv, x, latent, transpose=True)
            x = blur(x, self.kernel * 4, 1, (1, 1))
        x = torch.cat([x, layer.noise.weight * feature], dim=1)
        return self._activate(x, layer.activate.bias)

    def _modulate(
        self, conv, x, latent, *, demodulate=True, transpose=False, weight=None, padding=None
    ):
        weight = conv.weight if weight is None else weight
        batch, channels, height, width = x.shape
        _, outputs, inputs, kernel, _ = weight.shape
        style = self._linear(conv.modulation, latent, 1.0, activate=False)
        style = style.view(batch, 1, inputs, 1, 1)
        weight = 1 / math.sqrt(inputs * kernel**2) * weight * style
        if demodulate:
            demod = torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8)
            weight = weight * demod.view(batch, outputs, 1, 1, 1)
        x = x.reshape(1, batch * channels, height, width)
        if transpose:
            weight = weight.transpose(1, 2)
            weight = weight.reshape(batch * inputs, outputs, kernel, kernel)
            x = F.conv_transpose2d(x, weight, padding=0, stride=2, groups=batch)
        else:
            weight = weight.view(batch * outputs, inputs, kernel, kernel)
            padding = int(demodulate) if padding is None else padding
            x = F.conv2d(x, weight, padding=padding, groups=batch)
        return x.view(batch, outputs, x.shape[2], x.shape[3])

    def _linear(self, layer, x, lr_mul, *, activate=True):
        scale = 1 / math.sqrt(layer.weight.shape[1]) * lr_mul
        if not activate:
            return F.linear(x, layer.weight * scale, bias=layer.bias * lr_mul)
        x = F.linear(x, layer.weight * scale)
        x = x + (layer.bias * lr_mul).view(1, -1)
        return math.sqrt(2) * F.leaky_relu(x, negative_slope=0.2)

    def _activate(self, x, bias):
        return math.sqrt(2) * F.leaky_relu(x + bias.view(1, -1, 1, 1), negative_slope=0.2)
