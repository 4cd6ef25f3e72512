"""A perceptual loss: the distance of two images in the features of a VGG.

The weights are neither included nor downloaded: name a file of torchvision's VGG (11, 13, 16 or 19,
without batch normalisation).
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

    The features at the end of every block of the VGG are normalised to unit length at each pixel.
    Their squared distances are averaged over the pixels and added up over the blocks.

    Args:
        tensors: `features.N.weight` and `.bias` of a VGG, torchvision's names.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        numbers = sorted(int(name.split(".")[1]) for name in tensors if name.endswith(".weight"))
        self.blocks = nn.ModuleList()
        layers: list[nn.Module] = []
        # N counts all layers. The next convolution is 2 further, or 3 if a pooling lies between.
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
        """Return the distance of two images [N, 3, S, S] RGB, meant to lie in [0, 1]."""
        losses = []
        x, y = ((images - self.mean) / self.std for images in (output, target))
        for block in self.blocks:
            x, y = block(x), block(y)
            difference = F.normalize(x.float(), dim=1) - F.normalize(y.float(), dim=1)
            losses.append(difference.square().sum(dim=1).mean())
        return torch.stack(losses).sum()


def load_perceptual_loss(path: str | Path) -> PerceptualLoss:
    """Read a file of torchvision's VGG, such as `vgg16-397923af.pth`.

    Raises:
        CheckpointError: the file cannot be read safely, or holds no VGG that can be used.
    """
    contents = read_tensor_file(path).contents
    tensors = {
        name: tensor.float()
        for name, tensor in (contents.items() if isinstance(contents, dict) else ())
        if re.fullmatch(r"features\.\d+\.(weight|bias)", name)
    }
    if not _is_plain_vgg(tensors):
        raise CheckpointError(
            f"`{path}` is not a VGG without batch normalisation as torchvision publishes it "
            "(vgg11, vgg13, vgg16 or vgg19: `features.0.weight` …)."
        )
    return PerceptualLoss(tensors)


def _is_plain_vgg(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Return whether these are 3×3 convolutions without batch normalisation between them."""
    weights = {name: tensor for name, tensor in tensors.items() if name.endswith("weight")}
    return (
        "features.0.weight" in weights
        and "features.1.weight" not in weights  # the scale of a batch normalisation
        and all(weight.shape[2:] == (3, 3) for weight in weights.values())
    )
