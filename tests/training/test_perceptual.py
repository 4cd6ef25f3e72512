"""The perceptual loss: torchvision's VGG read from its tensors, and the distance in it."""

from __future__ import annotations

import pytest
import torch
import torchvision
from training_faces import smooth_faces

from gpen_core import CheckpointError
from gpen_core.training.perceptual import load_perceptual_loss


@pytest.fixture
def vgg(monkeypatch):
    """torchvision's VGG-16 with random weights and, for speed, an eighth of its channels."""
    layers = torchvision.models.vgg.cfgs["D"]
    narrow = [layer // 8 if isinstance(layer, int) else layer for layer in layers]
    features = torchvision.models.vgg.make_layers(narrow)
    return torch.nn.ModuleDict({"features": features, "classifier": torch.nn.Linear(1, 1)})


def test_the_loss_compares_torchvision_s_features_before_every_pooling(vgg, tmp_path):
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    loss = load_perceptual_loss(tmp_path / "vgg.pth")
    crops = smooth_faces(4) / 255
    output, target = crops[:2], crops[2:]
    expected = 0.0
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    x, y = (output - mean) / std, (target - mean) / std
    for layer in vgg["features"]:
        if isinstance(layer, torch.nn.MaxPool2d):
            a, b = (f / f.norm(dim=1, keepdim=True).clamp_min(1e-12) for f in (x, y))
            expected += (a - b).square().sum(dim=1).mean().item()
        x, y = layer(x), layer(y)
    assert len(loss.blocks) == 5
    assert expected > 0.1
    assert loss(output, target).item() == pytest.approx(expected, rel=1e-4)
    assert loss(target, target).item() < 1e-6


def test_gradients_reach_the_output_and_not_the_network(vgg, tmp_path):
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    loss = load_perceptual_loss(tmp_path / "vgg.pth")
    crops = smooth_faces(2) / 255
    output = crops[:1].requires_grad_()
    loss(output, crops[1:]).backward()
    assert output.grad is not None
    assert output.grad.abs().max() > 0
    assert not any(p.requires_grad for p in loss.parameters())


def test_other_networks_are_refused_by_name(tmp_path, tiny_gpen):
    torch.save(tiny_gpen.state_dict(), tmp_path / "G.pth")
    normalised = torchvision.models.vgg.make_layers([8, "M", 8], batch_norm=True)
    torch.save(torch.nn.ModuleDict({"features": normalised}).state_dict(), tmp_path / "bn.pth")
    torch.save([1], tmp_path / "list.pth")
    for name in ("G", "bn", "list"):
        with pytest.raises(CheckpointError, match=rf"{name}\.pth` is not a VGG without batch"):
            load_perceptual_loss(tmp_path / f"{name}.pth")
