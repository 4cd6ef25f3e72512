"""Adversarial training: the losses that a discriminator gives the network, and its learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F

from ..errors import MismatchError
from .discriminator import Discriminator
from .optimizers import Adam
from .ranks import ALONE, Ranks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from .plan import TrainingPlan


class Adversary:
    """A discriminator and its optimizer.

    The losses are StyleGAN2's (Karras et al. 2020, arXiv 1912.04958): non-saturating logistic, with
    R1 every `plan.r1_every` steps ("lazy"). All images are [N, 3, S, S] float32 RGB in [0, 1].

    Args:
        plan: the plan of the run.
        device: where to train.
        discriminator: a discriminator to continue with; None makes a fresh one.
        ranks: the processes that share every batch.

    Raises:
        MismatchError: the discriminator's size differs from the network's output.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        device: torch.device,
        discriminator: Discriminator | None = None,
        *,
        ranks: Ranks = ALONE,
    ) -> None:
        self.plan, self.device = plan, device
        widths = plan.discriminator_widths or plan.config.widths
        self.discriminator = (discriminator or Discriminator(widths)).to(device)
        if self.discriminator.size != plan.config.out_size:
            raise MismatchError(
                f"The discriminator judges images of {self.discriminator.size} px, the network "
                f"makes {plan.config.out_size} px. Its widths are the channels at 4, 8 … "
                f"{plan.config.out_size} px; found {self.discriminator.widths}."
            )
        # R1 runs in a few steps only; learning rate and β are scaled for that (appendix B).
        self.lazy_scale = plan.r1_every / (plan.r1_every + 1)
        self.optimizer = Adam(
            self.discriminator.parameters(),
            learning_rate=plan.discriminator_learning_rate * self.lazy_scale,
            betas=(0.0, 0.99**self.lazy_scale),
        )
        judge = torch.compile(self.discriminator) if plan.compiled else self.discriminator
        self.judge = cast("nn.Module", judge)
        self.judge_in_sync = ranks.average_gradients(self.judge)

    def compute_losses(self, output: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the network's losses "adversarial" and "features", unless their weight is 0."""
        losses = {}
        self.discriminator.requires_grad_(False)
        with self._autocast():
            logits, features = self.judge(_prepare(output))
            if self.plan.adversarial_weight:
                losses["adversarial"] = F.softplus(-logits).mean()
            if self.plan.feature_weight:
                with torch.no_grad():
                    _, wanted = self.judge(_prepare(target))
                losses["features"] = feature_distance(features, wanted)
        self.discriminator.requires_grad_(True)
        return losses

    def learn(
        self, output: torch.Tensor, target: torch.Tensor, *, step: int
    ) -> dict[str, torch.Tensor]:
        """Train the discriminator by one step; return its loss, and "r1" in the steps that have it.

        Args:
            output: faces that the network restored; they get no gradient.
            target: the clean faces.
            step: number of steps done before.
        """
        plan = self.plan
        rate = plan.discriminator_learning_rate * plan.learning_rate_factor(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.lazy_scale
        self.optimizer.zero_grad()
        losses = {}
        if plan.r1_weight and step % plan.r1_every == 0:
            # R1 goes through the bare network, and before the loss below. Its gradients stay in
            # this process until the backward pass of `judge_in_sync` averages the sum of both.
            # `judge_in_sync` itself would wait for gradients of biases that R1 does not give.
            penalty = r1_penalty(self.discriminator, target * 2 - 1)
            (penalty * (plan.r1_weight / 2 * plan.r1_every)).backward()
            losses["r1"] = penalty.detach()
        with self._autocast():
            restored, _ = self.judge_in_sync(_prepare(output.detach()))
            clean, _ = self.judge_in_sync(_prepare(target))
        loss = F.softplus(restored).mean() + F.softplus(-clean).mean()
        loss.backward()
        losses["discriminator"] = loss.detach()
        self.optimizer.step()
        return losses

    def state_dict(self) -> dict[str, Any]:
        """Return the state of discriminator and optimizer."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.bf16)


def feature_distance(features: list[torch.Tensor], wanted: list[torch.Tensor]) -> torch.Tensor:
    """Return the mean absolute difference of features [N, C, H, W]; all levels weigh the same."""
    pairs = zip(features, wanted, strict=True)
    return torch.stack([(a.float() - b.float()).abs().mean() for a, b in pairs]).mean()


def r1_penalty(discriminator: Discriminator, images: torch.Tensor) -> torch.Tensor:
    """Return the mean ‖∂logit/∂image‖² over `images` [N, 3, S, S] in [-1, 1]."""
    images = images.detach().requires_grad_()
    # In float32: half precision is too coarse for gradients of gradients.
    with torch.autocast(images.device.type, enabled=False):
        logits, _ = discriminator(images)
        # Not compiled: what torch.compile makes can be differentiated only once.
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def _prepare(images: torch.Tensor) -> torch.Tensor:
    """Bring images in [0, 1] to the discriminator's [-1, 1] and memory layout."""
    return (images * 2 - 1).contiguous(memory_format=torch.channels_last)
