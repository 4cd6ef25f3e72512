"""MTCNN's three networks (Zhang et al., SPL 2016), with the weights that facenet-pytorch holds.

The package is not imported, because it imports torchvision, which takes longer than finding the
faces of a photograph. Its weight files are read from its folder.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import nn

from ..errors import DetectorError
from .interrupts import check_between_layers

FACENET = "facenet-pytorch==2.5.3"
"""The package to install. Later releases pin old versions of PyTorch; this one pins nothing."""


class ProposalNet(nn.Module):
    """Looks at every 12 × 12 pixels of an image [N, 3, H, W].

    Returns:
        Offsets of the box's corners [N, 4, h, w] in units of the box, and the probabilities of
        no face and of a face [N, 2, h, w].
    """

    file = "pnet.pt"

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), self.conv4_1(x).softmax(dim=1)


class RefinementNet(nn.Module):
    """Judges boxes of 24 × 24 pixels [K, 3, 24, 24].

    Returns:
        Offsets [K, 4] and probabilities [K, 2], as `ProposalNet` returns them.
    """

    file = "rnet.pt"

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(64 * 3 * 3, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu4(self.dense4(flatten(self.prelu3(self.conv3(x)))))
        return self.dense5_2(x), self.dense5_1(x).softmax(dim=1)


class OutputNet(nn.Module):
    """Judges boxes of 48 × 48 pixels [K, 3, 48, 48], and finds landmarks in them.

    Returns:
        Offsets [K, 4], landmarks [K, 10], five x and then five y in units of the box, and
        probabilities [K, 2].
    """

    file = "onet.pt"

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(128 * 3 * 3, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2 = nn.Linear(256, 2), nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu5(self.dense5(flatten(self.prelu4(self.conv4(x)))))
        return self.dense6_2(x), self.dense6_3(x), self.dense6_1(x).softmax(dim=1)


def flatten(x: torch.Tensor) -> torch.Tensor:
    """Flatten [K, C, h, w] to [K, w · h · C]: the weights were trained in Caffe's order of axes."""
    return x.permute(0, 3, 2, 1).flatten(1)


def find_package_weights() -> Path | None:
    """Find the folder of facenet-pytorch's weights, without importing it; None: not installed."""
    spec = importlib.util.find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "data"


def load_network(
    kind: type[ProposalNet] | type[RefinementNet] | type[OutputNet], device: torch.device
) -> nn.Module:
    """Load one of the three networks.

    Raises:
        DetectorError: facenet-pytorch is not installed, or its weights are missing.
    """
    folder = find_package_weights()
    if folder is None:
        raise DetectorError(
            'Detector "mtcnn" needs the weights of facenet-pytorch, which is not installed. '
            f"Install it with: pip install {FACENET}"
        )
    file = folder / kind.file
    if not file.is_file():
        raise DetectorError(
            f'Detector "mtcnn" needs {file}, which is missing. Install it again with: '
            f"pip install --force-reinstall --no-deps {FACENET}"
        )
    with torch.device("cpu"):
        network = kind().float()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    # The channels-last layout halves the time of the first network on a CPU.
    network = network.train(False).requires_grad_(False)
    check_between_layers(network)
    return network.to(device).to(memory_format=torch.channels_last)
