"""The plan of a training run: all that decides its result, except the faces."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from ..degradation.presets import DEFAULT, Degradation
from ..names import RESTORE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..arch import GPENConfig

WARM_UP_STEPS = 50


@dataclass(frozen=True)
class TrainingPlan:
    """The options of a run, stored with its state so that resuming notices a changed plan.

    A loss of weight 0 is not computed. L1 has the weight 1.

    Attributes:
        config: the network's configuration.
        steps: number of optimizer steps.
        batch_size: faces per step.
        optimizer: "adam" with β = (0.9, 0.99), or "muon" for convolutions with Adam for all else.
        learning_rate: learning rate of the optimizer.
        decay: share of the steps, at the end, over which the learning rate falls to zero.
        ssim_weight: weight of 1 − SSIM.
        sharpness_weight: weight of `losses.sharpness_loss`.
        teacher: file and hash of a network; L1 and SSIM then compare with the faces that it
            restores instead of the clean ones.
        target_sharpening: amount of `sharpen.unsharp_mask` on the targets of L1 and SSIM.
        sharpness_limit: with a teacher, how many times as sharp as the clean faces the sharpened
            targets may be.
        adversarial_weight: weight of the logistic loss against a discriminator.
        feature_weight: weight of the difference in the discriminator's features.
        perceptual_weight: weight of `perceptual.PerceptualLoss`.
        perceptual: file and hash of its VGG.
        discriminator_widths: channels of the discriminator at 4, 8 … px; None takes the network's.
        discriminator_learning_rate: learning rate of its Adam, which has β = (0, 0.99).
        r1_weight: γ of the R1 penalty γ/2 · ‖∇D‖².
        r1_every: number of steps from one R1 penalty to the next; the penalty is multiplied by it.
        ema_decay: decay of the running mean of the weights, which is exported.
        seed: seed of every random draw.
        bf16: compute convolutions in bfloat16 (autocast).
        compiled: let `torch.compile` fuse the networks. That takes minutes at the start; then a
            step on a CPU with AVX512-BF16 is 1.7 times as fast.
        start: the weights at the start: "identity", or a file and its hash.
        degradation: the ranges of the degradations.
        task: one of `inputs.TRAINED_TASKS`: what the network learns.
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
    task: str = RESTORE

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
        """Return the factor of every learning rate in `step` = 0, 1 … `steps` − 1."""
        left = 1 - step / self.steps
        falling = left / self.decay if self.decay else 1.0
        return min(1.0, (step + 1) / WARM_UP_STEPS) * min(1.0, falling)

    def find_differences(self, stored: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return the options that differ from a stored plan, as (stored, now).

        Another number of steps is no difference. Options that an earlier version did not have
        count as their defaults.
        """
        asked = asdict(self)
        degradation = asdict(DEFAULT) | stored.get("degradation", {})
        if degradation["second"]:
            degradation["second"] = asdict(DEFAULT) | degradation["second"]
        config = {"value_range": self.config.value_range} | stored.get("config", {})
        stored = {**stored, "degradation": degradation, "config": config}
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
