"""StyleGAN2's residual discriminator, which adversarial training plays against.

Karras et al. 2020 (arXiv 1912.04958), figure 7c. Attribute names give the tensor names of the
published `GPEN-BFR-…-D.pth`, so that fine-tuning a GPEN can continue with its discriminator.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from ..arch.layers import FIR, BiasedLeakyReLU, EqualizedConv, EqualizedLinear, encoder_stage
from ..checkpoints.tensor_files import read_tensor_file
from ..errors import CheckpointError, MismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEVIATION_GROUP = 4


class PaddedConv(EqualizedConv):
    """3×3 convolution with stride 1 and padding 1, which keeps the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, (self.weight * self.scale).to(x.dtype), padding=1)


class Downsample(FIR):
    """Blur and take every second pixel: [N, C, 2H, 2W] to [N, C, H, W]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.kernel.to(x.dtype).expand(x.shape[1], 1, -1, -1)
        return F.conv2d(x, weight, stride=2, padding=1, groups=x.shape[1])


class ResidualBlock(nn.Module):
    """Two convolutions beside a skip: [N, inputs, 2H, 2W] to [N, outputs, H, W]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(PaddedConv(inputs, inputs), BiasedLeakyReLU(inputs))
        self.conv2 = encoder_stage(inputs, outputs, downsample=True)[0]
        self.skip = nn.Sequential(Downsample(), EqualizedConv(inputs, outputs, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) * math.sqrt(0.5)


class Discriminator(nn.Module):
    """Tells real faces from restored ones.

    Args:
        widths: channels at 4, 8, 16 … px, at least two. Their number sets the size of the images:
            two are 8 px.

    Raises:
        MismatchError: fewer than two widths, or one below 1.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise MismatchError(
                f"A discriminator needs the channels at 4, 8 … px, at least two; found {widths}."
            )
        self.widths, self.size = tuple(widths), 2 << len(widths)
        falling = widths[::-1]
        self.convs = nn.Sequential(
            encoder_stage(3, falling[0], downsample=False)[0],
            *[ResidualBlock(a, b) for a, b in pairwise(falling)],
        )
        width = widths[0]
        self.final_conv = nn.Sequential(PaddedConv(width + 1, width), BiasedLeakyReLU(width))
        self.final_linear = nn.Sequential(
            EqualizedLinear(width * 16, width, lrelu=True), EqualizedLinear(width, 1, lrelu=False)
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Judge images.

        Args:
            x: [N, 3, size, size] RGB in [-1, 1].

        Returns:
            Logits [N] in float32, high for real images, and the features of every residual block,
            finest first.
        """
        entry, *blocks = self.convs
        x, features = entry(x), []
        for block in blocks:
            x = block(x)
            features.append(x)
        x = self.final_conv(append_deviation(x))
        # In float32 also under autocast: half precision is too coarse for logits.
        with torch.autocast(x.device.type, enabled=False):
            logits = self.final_linear(x.flatten(1).float())
        return logits[:, 0], features


def append_deviation(x: torch.Tensor) -> torch.Tensor:
    """Append the minibatch standard deviation to x [N, C, H, W] as one more channel.

    It is the standard deviation within groups of 4 images, averaged over features and pixels; in
    smaller groups where 4 does not divide N. With it the discriminator sees when all restored faces
    look alike. Karras et al. 2018 (arXiv 1710.10196), section 3.
    """
    count, _, height, width = x.shape
    size = math.gcd(count, DEVIATION_GROUP)
    groups = x.float().unflatten(0, (count // size, size))
    deviation = (groups.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    channel = deviation.repeat_interleave(size).view(count, 1, 1, 1)
    return torch.cat([x, channel.to(x.dtype).expand(-1, -1, height, width)], dim=1)


def load_discriminator(path: str | Path) -> Discriminator:
    """Read a discriminator, such as a published `GPEN-BFR-512-D.pth`, or that of a `state.pt`.

    Its widths follow from the shapes of its tensors.

    Raises:
        CheckpointError: the file cannot be read safely, or holds no discriminator.
    """
    contents = read_tensor_file(path).contents
    for key in ("d", "adversary", "discriminator", "state_dict"):
        if isinstance(contents, dict) and isinstance(contents.get(key), dict):
            contents = contents[key]
    if not isinstance(contents, dict) or "final_conv.0.weight" not in contents:
        raise CheckpointError(
            f"`{path}` holds no discriminator: `final_conv.0.weight` is missing. The published "
            "ones are called `GPEN-BFR-…-D.pth`. Without the option a fresh one is trained."
        )
    discriminator = Discriminator(_read_widths(contents))
    try:
        discriminator.load_state_dict({name: t.float() for name, t in contents.items()})
    except RuntimeError as error:
        raise CheckpointError(f"`{path}` is a damaged discriminator: {error}") from error
    return discriminator


def _read_widths(tensors: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
    levels = 1
    while f"convs.{levels}.conv1.0.weight" in tensors:
        levels += 1
    lowest = tensors["final_conv.0.weight"].shape[0]
    finer = [tensors[f"convs.{i}.conv1.0.weight"].shape[0] for i in range(levels - 1, 0, -1)]
    return (lowest, *finer)
