"""A training run: the network, its optimizer and all that a step needs; resumes bit for bit."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..arch import GPEN
from ..devices import require_compiler
from ..errors import CheckpointError, MismatchError, TrainingError
from ..sharpen import unsharp_mask
from . import graphed
from .adversary import Adversary
from .graphed import GraphedPass
from .identity import start_as_identity
from .inputs import TRAINED_TASKS
from .interrupts import defer_interrupts
from .losses import reconstruction_losses, sharpen_towards
from .optimizers import make_optimizer
from .pairs import PairLoader, choose_workers
from .ranks import ALONE, Ranks
from .state import STATE_NAME, read_state, write_state, write_weights
from .step_losses import StepLosses
from .teacher import Teacher

if TYPE_CHECKING:
    from pathlib import Path

    from ..evaluation.lazy_faces import LazyFaces
    from .discriminator import Discriminator
    from .perceptual import PerceptualLoss
    from .plan import TrainingPlan


class Trainer:
    """The network, the running mean of its weights, and its optimizer; `step` trains one batch.

    Every random draw depends on the plan's seed and the number of the step alone. `is_mid_step` is
    true while weights change. If an error leaves it true, the state belongs to no step and must not
    be saved.

    Args:
        plan: the plan of the run.
        crops: [N, 3, S, S] uint8 RGB, clean faces of the network's size S.
        device: where to train.
        model: a network of the plan's configuration to start with; it is copied. None starts a
            fresh one as the identity.
        discriminator: a discriminator to continue with; None makes a fresh one if the plan needs
            one.
        perceptual: the perceptual loss, if the plan gives it weight.
        teacher: the network that the plan names as the teacher, if it names one.
        ranks: the processes that share every batch; all have the same plan and faces.
        workers: number of threads that make the pairs of the next steps; it changes nothing else.
            None is `choose_workers`.

    Raises:
        DeviceError: the plan asks for `torch.compile`, which does not work here.
        MismatchError: sizes do not fit, the network cannot start as the identity, or a teacher or
            perceptual loss of the plan is missing.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        crops: torch.Tensor | LazyFaces,
        device: torch.device,
        *,
        model: GPEN | None = None,
        discriminator: Discriminator | None = None,
        perceptual: PerceptualLoss | None = None,
        teacher: GPEN | None = None,
        ranks: Ranks = ALONE,
        workers: int | None = None,
    ) -> None:
        _check_needs(plan, teacher, perceptual)
        torch.manual_seed(plan.seed)
        self.plan, self.crops, self.device, self.ranks = plan, crops, device, ranks
        workers = choose_workers(device) if workers is None else workers
        part = ranks.slice_batch(plan.batch_size)
        self.pairs = PairLoader(plan, crops, device, part=part, workers=workers)
        if model is None:
            self.model = GPEN(plan.config)
            start_as_identity(self.model)
        else:
            self.model = deepcopy(model).float().train().requires_grad_(True)
        self.model.to(device)
        self.ema = deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = make_optimizer(plan.optimizer, self.model, plan.learning_rate)
        forward, self.reconstruction_losses = self.model, reconstruction_losses
        if plan.compiled:
            require_compiler(device)
            forward = cast("GPEN", torch.compile(self.model))
            self.reconstruction_losses = torch.compile(reconstruction_losses)
        self.forward = ranks.average_gradients(forward)
        self.perceptual = perceptual.to(device) if perceptual and plan.perceptual_weight else None
        self.teacher = Teacher(teacher, plan, device) if teacher else None
        self.adversary = None
        if plan.has_adversary:
            self.adversary = Adversary(plan, device, discriminator, ranks=ranks)
        self.graphed = None
        if device.type in graphed.DEVICES and not (
            plan.has_adversary or plan.compiled or ranks.count > 1
        ):
            self.graphed = GraphedPass(self._compute_losses, self.model.parameters(), device)
        self.steps_done = 0
        self.is_mid_step = False

    def step(self) -> dict[str, float]:
        """Train one batch; return every loss by name, and "loss", their weighted sum.

        Raises:
            TrainingError: a loss is no longer finite.
        """
        return self.advance().read()

    def advance(self) -> StepLosses:
        """Do the same as `step` without waiting for a GPU: the caller reads the losses later."""
        clean, degraded = self.pairs.load(self.steps_done)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * self.plan.learning_rate_factor(self.steps_done)
        target = self._make_target(clean, degraded)
        output = None
        if self.graphed:
            values = self.graphed(degraded, target, clean)
            losses = dict(zip(("loss", *self.plan.loss_weights), values, strict=True))
        else:
            self.optimizer.zero_grad()
            losses, output = self._compute(degraded, target, clean)
        with defer_interrupts():
            self.is_mid_step = True
            self.optimizer.step()
            if self.adversary and output is not None:
                losses |= self.adversary.learn(output, clean, step=self.steps_done)
            self.steps_done += 1
            self._update_ema()
            self.is_mid_step = False
        values = self.ranks.average(torch.stack([value.detach() for value in losses.values()]))
        return StepLosses(self.steps_done, tuple(losses), values)

    def _compute(
        self, degraded: torch.Tensor, target: torch.Tensor, clean: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return the losses and the restored faces; add the gradients to those in `.grad`."""
        with self._autocast():
            output = self.forward((degraded * 2 - 1).contiguous(memory_format=torch.channels_last))
        output = output.float() / 2 + 0.5
        weights = self.plan.loss_weights
        losses = self.reconstruction_losses(output, target, clean, tuple(weights))
        if self.perceptual:
            with self._autocast():
                losses["perceptual"] = self.perceptual(output, clean)
        if self.adversary:
            losses |= self.adversary.compute_losses(output, clean)
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        loss.backward()
        return {"loss": loss} | losses, output

    def _compute_losses(self, *images: torch.Tensor) -> torch.Tensor:
        """Return only the losses of `_compute`, in the plan's order, [K]."""
        losses, _ = self._compute(*images)
        return torch.stack([losses[name].detach() for name in ("loss", *self.plan.loss_weights)])

    @torch.no_grad()
    def _make_target(self, clean: torch.Tensor, degraded: torch.Tensor) -> torch.Tensor:
        """Make the faces that L1 and SSIM compare with, [N, 3, S, S] in [0, 1]."""
        amount = self.plan.target_sharpening
        if not self.teacher:
            return unsharp_mask(clean, amount)
        restored = self.teacher.restore(degraded, mirrored=self.steps_done % 2 == 1)
        return sharpen_towards(restored, clean, amount, ceiling=self.plan.sharpness_limit)

    def _autocast(self) -> torch.autocast:
        # Without autocast's cache of cast weights: it is freed, and a recorded graph would read it.
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.plan.bf16, cache_enabled=False
        )

    @torch.no_grad()
    def _update_ema(self) -> None:
        decay = min(self.plan.ema_decay, self.steps_done / (self.steps_done + 10))
        means, values = (tuple(network.parameters()) for network in (self.ema, self.model))
        get_ema_multi_avg_fn(decay)(means, values, self.steps_done)

    def save(self, folder: Path) -> None:
        """Write the state to resume from and the weights to use, each whole or not at all.

        Raises:
            TrainingError: the disk is full, or the folder cannot be written to.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_state(self._collect_state(), folder)
            write_weights(self.ema, folder, sharpen=self.model.sharpen, task=self.plan.task)
        except (OSError, RuntimeError) as error:  # PyTorch's writer raises RuntimeError
            raise TrainingError(
                f"Step {self.steps_done} cannot be saved in {folder}: {error}. The state saved "
                "before is kept. Free some space or make the folder writable, then repeat the "
                "command to resume."
            ) from error

    def resume(self, folder: Path) -> bool:
        """Continue from the state in `folder`; return False when there is none.

        Raises:
            CheckpointError: the state is damaged, belongs to another plan or number of faces, or
                differs between the processes.
        """
        path = folder / STATE_NAME
        found = path.exists()
        if found:
            self._load_state(read_state(path, self.plan, len(self.crops)))
        furthest = self.ranks.find_max(self.steps_done, self.device)
        if -self.ranks.find_max(-self.steps_done, self.device) != furthest:
            raise CheckpointError(
                f"Processes that train together found different states in {folder} (here "
                f"{self.steps_done} steps, elsewhere {furthest:.0f}). All of them must share this "
                "folder."
            )
        return found

    def _collect_state(self) -> dict[str, Any]:
        state = {
            "plan": asdict(self.plan),
            "faces": len(self.crops),
            "steps_done": self.steps_done,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.adversary:
            state["adversary"] = self.adversary.state_dict()
        return state

    def _load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.adversary:
            self.adversary.load_state_dict(state["adversary"])
        self.steps_done = state["steps_done"]


def _check_needs(
    plan: TrainingPlan, teacher: GPEN | None, perceptual: PerceptualLoss | None
) -> None:
    """Refuse a plan that cannot be trained, or whose networks are missing."""
    if plan.task not in TRAINED_TASKS:
        raise MismatchError(
            f"The task must be one of {', '.join(TRAINED_TASKS)}, found {plan.task!r}."
        )
    if plan.config.in_size != plan.config.out_size:
        raise MismatchError(
            f"Training takes networks with in_size = out_size, found {plan.config}."
        )
    if (plan.teacher is None) != (teacher is None):
        raise MismatchError(
            f"The plan's teacher is {plan.teacher!r}, but "
            f"{'none' if teacher is None else 'one'} was given. Name it in the plan and give "
            "it, or neither."
        )
    if plan.perceptual_weight and perceptual is None:
        raise MismatchError(
            f"The plan gives a perceptual loss the weight {plan.perceptual_weight}, but none "
            "was given. Load one with `load_perceptual_loss`, or set the weight to 0."
        )
