"""RetinaFace (Deng et al., CVPR 2020): facexlib's layers; reading and decoding are ours."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval as fuse

from ..checkpoints.tensor_files import read_tensor_file
from ..errors import DetectorError
from ..faces import Faces
from .interrupts import check_between_layers
from .vision_ops import suppress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SIGNATURES = {
    "retinaface_resnet50": "body.layer4.0.conv1.weight",
    "retinaface_mobile0.25": "body.stage3.0.0.weight",
}
"""For each detector a tensor that only its backbone has."""

STRIDES = (8, 16, 32)
"""Strides in pixels of the three feature levels."""
ANCHORS = ((16, 32), (64, 128), (256, 512))
"""Anchor sides in pixels at each stride."""
VARIANCES = (0.1, 0.2)
"""Training divided offsets and log sizes by these (SSD's encoding)."""
MEAN_BGR = (104.0, 117.0, 123.0)
"""Mean of the training images, BGR in 0 … 255."""
NMS_IOU = 0.4
"""Intersection over union above which the box with the lower score is dropped."""
CLASSIFIER_LAYERS = ("avgpool", "avg", "fc")
"""Layers of a backbone that a detector does not use."""


def read_weights(file: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """Read a RetinaFace file; return the detector's name and the tensors by name.

    Prefixes "module." are removed from the names.

    Raises:
        CheckpointError: the file cannot be read.
        DetectorError: the file is not for RetinaFace.
    """
    contents = read_tensor_file(file).contents
    named = contents if isinstance(contents, dict) else {}
    tensors = {
        name.removeprefix("module."): tensor
        for name, tensor in named.items()
        if isinstance(name, str) and isinstance(tensor, torch.Tensor)
    }
    for kind, signature in SIGNATURES.items():
        if signature in tensors and "ClassHead.0.conv1x1.weight" in tensors:
            return kind, tensors
    raise DetectorError(
        f"`{file}` is not a face detector: expected the tensors of RetinaFace with facexlib's "
        f"names, such as `{SIGNATURES['retinaface_resnet50']}` and `ClassHead.0.conv1x1.weight`; "
        f"found {len(tensors)} tensors, the first {next(iter(tensors), None)!r}. `gpen models` "
        "lists the files of detectors."
    )


class RetinaFaceNetwork(nn.Module):
    """The network. Its parameters have the names of facexlib's published files.

    Args:
        backbone: "resnet50" or "mobile0.25".
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        from facexlib.detection import retinaface_net as layers

        if backbone == "resnet50":
            from torchvision.models import resnet50

            trunk, taps = resnet50(weights=None), ("layer2", "layer3", "layer4")
            channels, width = [512, 1024, 2048], 256
        else:
            trunk, taps = layers.MobileNetV1(), ("stage1", "stage2", "stage3")
            channels, width = [64, 128, 256], 64
        kept = OrderedDict((n, m) for n, m in trunk.named_children() if n not in CLASSIFIER_LAYERS)
        self.taps = taps
        self.body = nn.Sequential(kept)
        self.fpn = layers.FPN(channels, width)
        self.ssh1 = layers.SSH(width, width)
        self.ssh2 = layers.SSH(width, width)
        self.ssh3 = layers.SSH(width, width)
        self.ClassHead = layers.make_class_head(3, width)
        self.BboxHead = layers.make_bbox_head(3, width)
        self.LandmarkHead = layers.make_landmark_head(3, width)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return face probability [N, A], box offsets [N, A, 4], landmark offsets [N, A, 10].

        Args:
            x: [N, 3, H, W] BGR in 0 … 255 minus `MEAN_BGR`; H and W multiples of 32. After
                `take_rgb`, RGB in [0, 1] minus the mean.
        """
        levels = []
        for name, layer in self.body.named_children():
            x = layer(x)
            if name in self.taps:
                levels.append(x)
        features = [
            ssh(level)
            for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), self.fpn(levels), strict=True)
        ]
        logits, boxes, landmarks = (
            torch.cat([head(f) for head, f in zip(heads, features, strict=True)], dim=1)
            for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)
        )
        return logits.softmax(dim=2)[..., 1], boxes, landmarks


class RetinaFace:
    """A `Detector` with one of two backbones.

    Args:
        name: "retinaface_resnet50" or "retinaface_mobile0.25".
        state_dict: the tensors of the published file, without "module." prefixes.
        device: the device on which to run.
        source: the name of the file, for messages.

    Raises:
        DetectorError: facexlib is not installed, or the tensors do not fit this network.
    """

    threshold = 0.8
    smallest = 16
    largest = 256
    short_side = 640

    def __init__(
        self, name: str, state_dict: Mapping[str, torch.Tensor], device: torch.device, source: str
    ) -> None:
        self.name = name
        self.device = device
        try:
            with torch.device("cpu"):
                network = RetinaFaceNetwork(name.removeprefix("retinaface_"))
        except ImportError as error:
            raise DetectorError(
                f'Detector "{name}" needs facexlib, which cannot be imported ({error}). '
                "Install it with: pip install facexlib"
            ) from error
        try:
            network.load_state_dict(state_dict)
        except RuntimeError as error:
            raise DetectorError(f"`{source}` is not a complete {name}. {error}") from error
        network = network.float().train(mode=False).requires_grad_(False)
        fuse_batch_norms(network)
        take_rgb(network)
        check_between_layers(network)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self._mean = torch.tensor(MEAN_BGR[::-1], device=device, dtype=torch.float32)
        self._mean = self._mean.view(1, 3, 1, 1) / 255

    @torch.no_grad()
    def find(self, pixels: torch.Tensor, *, threshold: float, largest: float) -> Faces:
        """Find faces at the scale of the pixels only; see `Detector.find`."""
        del largest  # one pass finds all sizes
        N, _, H, W = pixels.shape
        pixels = pixels.to(self.device, torch.float32)
        # Pad with the mean (0 here) to sides that every stride divides. The channels-last layout
        # is faster on a CPU.
        x = pixels.new_zeros(N, 3, H + -H % 32, W + -W % 32)
        x = x.contiguous(memory_format=torch.channels_last)
        torch.sub(pixels, self._mean, out=x[:, :, :H, :W])
        probability, offsets, points = self.network(x)
        index, anchor = (probability > threshold).nonzero(as_tuple=True)
        priors = make_priors(*x.shape[2:], device=self.device)[anchor]
        scores = probability[index, anchor]
        boxes = decode_boxes(offsets[index, anchor], priors)
        keep = suppress(boxes, scores, index, NMS_IOU)
        landmarks = decode_landmarks(points[index[keep], anchor[keep]], priors[keep])
        return Faces(boxes[keep], landmarks, scores[keep], index[keep], (N, H, W))


def fuse_batch_norms(module: nn.Module) -> None:
    """Fold every batch normalisation into the convolution before it, in place.

    Together with the channels-last layout this reduces the time on a CPU, where memory bandwidth
    dominates, to a third.
    """
    before = None
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d) and before is not None:
            setattr(module, before[0], fuse(before[1], child))
            setattr(module, name, nn.Identity())
        before = (name, child) if isinstance(child, nn.Conv2d) else None
        fuse_batch_norms(child)


@torch.no_grad()
def take_rgb(network: RetinaFaceNetwork) -> None:
    """Change the first convolution in place: it takes RGB in [0, 1] instead of BGR in 0 … 255.

    This saves passes over the image. The mean must still be subtracted before, because the
    convolution pads with zeros.
    """
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    first.weight.copy_(first.weight.flip(1) * 255)


def make_priors(height: int, width: int, *, device: torch.device) -> torch.Tensor:
    """Make the anchors [A, 4] (centre x, centre y, width, height) in pixels, in network order."""
    levels = []
    for stride, sides in zip(STRIDES, ANCHORS, strict=True):
        y = (torch.arange(height // stride, device=device) + 0.5) * stride
        x = (torch.arange(width // stride, device=device) + 0.5) * stride
        side = torch.tensor(sides, device=device, dtype=y.dtype)
        y, x, side = torch.meshgrid(y, x, side, indexing="ij")
        levels.append(torch.stack([x, y, side, side], dim=3).reshape(-1, 4))
    return torch.cat(levels).float()


def decode_boxes(offsets: torch.Tensor, priors: torch.Tensor) -> torch.Tensor:
    """Decode the network's offsets [K, 4] at anchors [K, 4] to boxes xyxy [K, 4]."""
    centre = priors[:, :2] + offsets[:, :2] * VARIANCES[0] * priors[:, 2:]
    half = priors[:, 2:] * torch.exp(offsets[:, 2:] * VARIANCES[1]) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def decode_landmarks(offsets: torch.Tensor, priors: torch.Tensor) -> torch.Tensor:
    """Decode the network's offsets [K, 10] at anchors [K, 4] to landmarks [K, 5, 2]."""
    steps = offsets.view(-1, 5, 2) * VARIANCES[0] * priors[:, None, 2:]
    return priors[:, None, :2] + steps
