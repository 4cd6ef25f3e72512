"""Training against a discriminator: what it tells the network, and how it learns itself."""

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
    """Holds a discriminator and its optimizer.

    The losses are StyleGAN2's (Karras et al. 2020, arXiv 1912.04958): non-saturating logistic, and
    R1 lazily, every so many steps. All images are [N, 3, S, S] float32 RGB in [0, 1].

    Args:
        plan: what is trained.
        device: where.
        discriminator: one to go on with; None makes a fresh one.
        ranks: the processes that share every batch.

    Raises:
        MismatchError: the discriminator judges images of another size than the network puts out.
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
                f"puts out {plan.config.out_size} px. Its widths are the channels at 4, 8 … "
                f"{plan.config.out_size} px; found {self.discriminator.widths}."
            )
        # Lazy regularisation leaves out steps: learning rate and β follow (appendix B).
        self.share = plan.r1_every / (plan.r1_every + 1)
        self.optimizer = Adam(
            self.discriminator.parameters(),
            learning_rate=plan.discriminator_learning_rate * self.share,
            betas=(0.0, 0.99**self.share),
        )
        judge = torch.compile(self.discriminator) if plan.compiled else self.discriminator
        self.judge = cast("nn.Module", judge)
        self.learner = ranks.average_gradients(self.judge)

    def losses(self, output: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the network is told: "adversarial" and "features", those whose weight is not 0."""
        losses = {}
        self.discriminator.requires_grad_(False)
        with self._autocast():
            logits, features = self.judge(_judged(output))
            if self.plan.adversarial_weight:
                losses["adversarial"] = F.softplus(-logits).mean()
            if self.plan.feature_weight:
                with torch.no_grad():
                    _, wanted = self.judge(_judged(target))
                losses["features"] = feature_distance(features, wanted)
        self.discriminator.requires_grad_(True)
        return losses

    def learn(
        self, output: torch.Tensor, target: torch.Tensor, *, step: int
    ) -> dict[str, torch.Tensor]:
        """Train the discriminator on restored and clean faces; "discriminator" and at times "r1".

        Args:
            output: what the network restored; no gradient flows back into it.
            target: the clean faces.
            step: how many steps were done before.
        """
        plan = self.plan
        rate = plan.discriminator_learning_rate * plan.learning_rate_factor(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.share
        self.optimizer.zero_grad()
        losses = {}
        if plan.r1_weight and step % plan.r1_every == 0:
            # By the bare network, and before the loss below: gradients stay in this process until
            # the backward pass of `learner` averages all that has been added up. Many biases get
            # none from R1, for which that would wait in vain.
            penalty = r1_penalty(self.discriminator, target * 2 - 1)
            (penalty * (plan.r1_weight / 2 * plan.r1_every)).backward()
            losses["r1"] = penalty.detach()
        with self._autocast():
            restored, _ = self.learner(_judged(output.detach()))
            clean, _ = self.learner(_judged(target))
        loss = F.softplus(restored).mean() + F.softplus(-clean).mean()
        loss.backward()
        losses["discriminator"] = loss.detach()
        self.optimizer.step()
        return losses

    def state_dict(self) -> dict[str, Any]:
        """All that learning goes on from."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.bf16)


def feature_distance(features: list[torch.Tensor], wanted: list[torch.Tensor]) -> torch.Tensor:
    """Mean absolute difference of features [N, C, H, W], each level counting the same."""
    pairs = zip(features, wanted, strict=True)
    return torch.stack([(a.float() - b.float()).abs().mean() for a, b in pairs]).mean()


def r1_penalty(discriminator: Discriminator, images: torch.Tensor) -> torch.Tensor:
    """Mean ‖∂logit/∂image‖² over `images` [N, 3, S, S] in [-1, 1]."""
    images = images.detach().requires_grad_()
    # In float32: half precision is too coarse for gradients of gradients.
    with torch.autocast(images.device.type, enabled=False):
        logits, _ = discriminator(images)
        # Not compiled: torch.compile differentiates once, this is to be differentiated again.
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def _judged(images: torch.Tensor) -> torch.Tensor:
    """Images as the discriminator takes them."""
    return (images * 2 - 1).contiguous(memory_format=torch.channels_last)
