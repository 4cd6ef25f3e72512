"""Training against a discriminator: which loss trains which network, and the paper's R1."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training_faces import smooth_faces

from gpen_core import GPENConfig, MismatchError
from gpen_core.training.adversary import Adversary, feature_distance, r1_penalty
from gpen_core.training.discriminator import Discriminator
from gpen_core.training.plan import TrainingPlan

CONFIG = GPENConfig(64, 64, (8,) * 5, style_dim=16, mapping_layers=2)
PLAN = TrainingPlan(CONFIG, steps=10_000, batch_size=4, adversarial_weight=1, feature_weight=1)
CPU = torch.device("cpu")


def test_the_network_s_losses_give_the_discriminator_no_gradient():
    adversary = Adversary(PLAN, CPU)
    output = (smooth_faces(4) / 255).requires_grad_()
    target = smooth_faces(8)[4:] / 255
    losses = adversary.compute_losses(output, target)
    assert set(losses) == {"adversarial", "features"}
    sum(losses.values()).backward()
    assert output.grad is not None
    assert output.grad.abs().max() > 0
    assert all(p.grad is None for p in adversary.discriminator.parameters())
    assert all(p.requires_grad for p in adversary.discriminator.parameters())


def test_the_feature_distance_averages_levels_and_is_0_for_the_same_image():
    adversary = Adversary(replace(PLAN, adversarial_weight=0), CPU)
    crops = smooth_faces(4) / 255
    assert set(adversary.compute_losses(crops, crops)) == {"features"}
    assert adversary.compute_losses(crops, crops)["features"] == 0
    features = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 1, 1)]
    wanted = [torch.ones(1, 2, 2, 2), torch.full((1, 2, 1, 1), 3.0)]
    assert feature_distance(features, wanted) == 2


@pytest.mark.slow
def test_the_discriminator_learns_to_tell_restored_faces_from_clean_ones():
    adversary = Adversary(replace(PLAN, discriminator_learning_rate=0.004, r1_weight=0.1), CPU)
    clean = smooth_faces(4) / 255
    restored = (clean * 0.3).requires_grad_()  # so easy to tell that rounding does not matter
    steps = range(50, 100)  # after the warm-up of the learning rate
    course = [adversary.learn(restored, clean, step=step) for step in steps]
    assert course[-1]["discriminator"] < course[0]["discriminator"] / 2
    assert ["r1" in losses for losses in course] == [step % 16 == 0 for step in steps]
    assert restored.grad is None
    with torch.no_grad():
        logits = [adversary.judge(images * 2 - 1)[0].mean() for images in (clean, restored)]
    assert logits[0] > logits[1] + 1


def test_r1_is_the_squared_gradient_of_the_logit_and_can_be_differentiated():
    discriminator = Discriminator((6, 6)).double()
    discriminator.final_linear.float()  # its logits are in float32
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1
    penalty = r1_penalty(discriminator, images)
    step, squared = 1e-3, 0.0
    with torch.no_grad():
        for index in range(images[0].numel()):  # change each value of each image alone
            change = torch.zeros_like(images)
            change.view(2, -1)[:, index] = step
            for one in range(2):
                mask = torch.zeros(2, 1, 1, 1, dtype=torch.float64)
                mask[one] = 1
                high, _ = discriminator(images + change * mask)
                low, _ = discriminator(images - change * mask)
                squared += ((high.sum() - low.sum()).item() / (2 * step)) ** 2
    assert penalty.item() == pytest.approx(squared / 2, rel=0.05)
    penalty.backward()
    weight = discriminator.convs[0][0].weight
    assert weight.grad is not None
    assert weight.grad.abs().max() > 0


def test_a_discriminator_of_another_size_is_refused():
    with pytest.raises(MismatchError, match=r"judges images of 32 px, the network makes 64 px"):
        Adversary(PLAN, CPU, Discriminator((4,) * 4))
