"""A perceptual loss: how differently a network trained on photographs sees two images.

No weights come along and none are downloaded: whoever has a file of torchvision's VGG (11, 13, 16
or 19, without batch normalisation) can name it.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from ..checkpoints.tensor_files import read_tensor_file
from ..errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PerceptualLoss(nn.Module):
    """LPIPS without its learned weights (Zhang et al. 2018, arXiv 1801.03924, eq. 1).

    At the end of every block of a VGG features are brought to unit length in each place; their
    squared distances are averaged over the places and added up over the blocks.

    Args:
        tensors: `features.N.weight` and `.bias` of a VGG, as torchvision names them.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        numbers = sorted(int(name.split(".")[1]) for name in tensors if name.endswith(".weight"))
        self.blocks = nn.ModuleList()
        layers: list[nn.Module] = []
        # Layers are numbered through: where the next convolution is three on, a pooling is between.
        for number, following in pairwise([*numbers, numbers[-1] + 3]):
            weight, bias = (tensors[f"features.{number}.{kind}"] for kind in ("weight", "bias"))
            convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            convolution.load_state_dict({"weight": weight, "bias": bias})
            layers += [convolution, nn.ReLU()]
            if following - number == 3:
                self.blocks.append(nn.Sequential(*layers))
                layers = [nn.MaxPool2d(2)]
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of [N, 3, S, S] RGB against `target`, both meant to lie in [0, 1]."""
        losses = []
        x, y = ((images - self.mean) / self.std for images in (output, target))
        for block in self.blocks:
            x, y = block(x), block(y)
            difference = F.normalize(x.float(), dim=1) - F.normalize(y.float(), dim=1)
            losses.append(difference.square().sum(dim=1).mean())
        return torch.stack(losses).sum()


def load_perceptual_loss(path: str | Path) -> PerceptualLoss:
    """Read a VGG as torchvision publishes it, such as `vgg16-397923af.pth`.

    Raises:
        CheckpointError: the file cannot be read safely, or holds no such VGG.
    """
    contents = read_tensor_file(path).contents
    tensors = {
        name: tensor.float()
        for name, tensor in (contents.items() if isinstance(contents, dict) else ())
        if re.fullmatch(r"features\.\d+\.(weight|bias)", name)
    }
    normalised = isinstance(contents, dict) and "features.1.weight" in contents
    fits = (
        "features.0.weight" in tensors
        and not normalised
        and all(
            tensor.shape[2:] == (3, 3)
            for name, tensor in tensors.items()
            if name.endswith("weight")
        )
    )
    if not fits:
        raise CheckpointError(
            f"`{path}` is not a VGG without batch normalisation as torchvision publishes it "
            "(vgg11, vgg13, vgg16 or vgg19: `features.0.weight` …)."
        )
    return PerceptualLoss(tensors)
