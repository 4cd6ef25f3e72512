"""What is trained and how: everything that a run follows from, apart from the faces."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from ..degradation.presets import DEFAULT, Degradation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..arch import GPENConfig

WARM_UP_STEPS = 50


@dataclass(frozen=True)
class TrainingPlan:
    """Stored with the state, so that resuming can tell a changed plan.

    A loss of weight 0 is not computed; the weight of L1 is 1.

    Attributes:
        config: the network.
        steps: optimizer steps in all; the learning rate falls to zero over the last `decay`.
        batch_size: faces per step.
        optimizer: "adam", β = (0.9, 0.99), or "muon", which leaves to it all but convolutions.
        learning_rate: of the optimizer.
        decay: share of the steps over which the learning rate falls.
        ssim_weight: weight of 1 − SSIM.
        sharpness_weight: weight of the difference in local gradient, `losses.sharpness`.
        teacher: the file and hash of a network whose faces L1 and SSIM compare with, instead of the
            clean ones.
        target_sharpening: amount of `sharpen.unsharp_mask` on what L1 and SSIM compare with.
        sharpness_limit: times as sharp as the clean faces, to which it sharpens a teacher's.
        adversarial_weight: weight of the logistic loss against a discriminator.
        feature_weight: weight of the difference in the discriminator's features.
        perceptual_weight: weight of the difference that a VGG sees, `perceptual.PerceptualLoss`.
        perceptual: that VGG's file and its hash.
        discriminator_widths: channels at 4, 8 … px; None takes the network's.
        discriminator_learning_rate: of Adam with β = (0, 0.99).
        r1_weight: γ of the R1 penalty γ/2 · ‖∇D‖².
        r1_every: steps from one R1 penalty, multiplied by as much, to the next.
        ema_decay: of the running mean of the weights that is exported.
        seed: of every random draw.
        bf16: compute convolutions in bfloat16 (autocast).
        compiled: let `torch.compile` fuse the networks; minutes at the start, then 1.7 × faster.
        start: what the weights were when training began, "identity" or a file and its hash.
        degradation: the ranges of the degradations.
    """

    config: GPENConfig
    steps: int
    batch_size: int = 16
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    decay: float = 0.4
    ssim_weight: float = 0.1
    sharpness_weight: float = 0
    teacher: str | None = None
    target_sharpening: float = 0
    sharpness_limit: float = 1
    adversarial_weight: float = 0
    feature_weight: float = 0
    perceptual_weight: float = 0
    perceptual: str | None = None
    discriminator_widths: tuple[int, ...] | None = None
    discriminator_learning_rate: float = 2e-3
    r1_weight: float = 1
    r1_every: int = 16
    ema_decay: float = 0.998
    seed: int = 0
    bf16: bool = False
    compiled: bool = False
    start: str = "identity"
    degradation: Degradation = DEFAULT

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of every loss that the network is trained on."""
        weights = {
            "l1": 1.0,
            "ssim": self.ssim_weight,
            "sharpness": self.sharpness_weight,
            "adversarial": self.adversarial_weight,
            "features": self.feature_weight,
            "perceptual": self.perceptual_weight,
        }
        return {name: weight for name, weight in weights.items() if weight}

    @property
    def has_adversary(self) -> bool:
        """Whether a discriminator is trained beside the network."""
        return bool(self.adversarial_weight or self.feature_weight)

    def learning_rate_factor(self, step: int) -> float:
        """What every learning rate is multiplied by in `step` = 0, 1 … `steps` − 1."""
        left = 1 - step / self.steps
        falling = left / self.decay if self.decay else 1.0
        return min(1.0, (step + 1) / WARM_UP_STEPS) * min(1.0, falling)

    def differences(self, stored: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Name what differs from a stored plan, as (stored, now); more steps are no difference.

        What a plan of an earlier version did not know had the default.
        """
        asked = asdict(self)
        degradation = asdict(DEFAULT) | stored.get("degradation", {})
        if degradation["second"]:
            degradation["second"] = asdict(DEFAULT) | degradation["second"]
        stored = {**stored, "degradation": degradation}
        before = {
            field.name: stored.get(field.name, field.default)
            for field in fields(self)
            if field.name in stored or field.default is not MISSING
        }
        return {
            name: (before[name], value)
            for name, value in asked.items()
            if name != "steps" and before[name] != value
        }
