"""One training run: the networks, their optimizers, and a step; resumable to the bit."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..arch import GPEN
from ..checkpoints.loading import sharpen_metadata
from ..checkpoints.tensor_files import DOWNLOAD_AGAIN, read_tensor_file, write_safetensors
from ..devices import require_compiler
from ..errors import CheckpointError, MismatchError, TrainingError
from ..files import write_atomically
from ..sharpen import unsharp_mask
from . import graphed
from .adversary import Adversary
from .graphed import GraphedPass
from .identity import start_as_identity
from .interrupts import interrupts_later
from .losses import reconstruction_losses, sharpen_towards
from .optimizers import make_optimizer
from .pairs import Pairs, default_workers
from .ranks import ALONE, Ranks
from .step_losses import Figures
from .teacher import Teacher

if TYPE_CHECKING:
    from pathlib import Path

    from ..evaluation.lazy_faces import LazyFaces
    from .discriminator import Discriminator
    from .perceptual import PerceptualLoss
    from .plan import TrainingPlan

STATE_NAME = "state.pt"
WEIGHTS_NAME = "weights.safetensors"


class Trainer:
    """Holds network, running mean and optimizer; `step` advances them by one batch.

    Every random draw follows from the plan's seed and the number of the step. `torn` says that an
    error broke a step off half-way: what is held then belongs to no step and is not to be saved.

    Args:
        plan: what to train.
        faces: [N, 3, S, S] uint8 RGB, S the network's size, or what stands for it.
        device: where to train.
        model: the weights to begin with, of the plan's configuration; None begins as the identity.
        discriminator: one to go on with; None makes a fresh one where the plan needs one.
        perceptual: where the plan gives it weight.
        teacher: the network that the plan names, if it names one.
        ranks: the processes that share every batch; each has the same plan and faces.
        workers: threads that make faces and their degraded copies ahead; they change nothing else.
            None is `default_workers`.

    Raises:
        DeviceError: the plan wants `torch.compile`, which does not work here.
        MismatchError: sizes do not fit, the network cannot begin as the identity, or what the plan
            compares with was not given.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        faces: torch.Tensor | LazyFaces,
        device: torch.device,
        *,
        model: GPEN | None = None,
        discriminator: Discriminator | None = None,
        perceptual: PerceptualLoss | None = None,
        teacher: GPEN | None = None,
        ranks: Ranks = ALONE,
        workers: int | None = None,
    ) -> None:
        if plan.config.in_size != plan.config.out_size:
            raise MismatchError(
                f"Training takes networks that put out the size they take in, found {plan.config}."
            )
        if (plan.teacher is None) != (teacher is None):
            raise MismatchError(
                f"The plan's teacher is {plan.teacher!r}, and "
                f"{'none' if teacher is None else 'one'} was given. Name it in the plan and give "
                "it, or neither."
            )
        if plan.perceptual_weight and perceptual is None:
            raise MismatchError(
                f"The plan gives a perceptual loss the weight {plan.perceptual_weight}, but none "
                "was given. Load one with `load_perceptual_loss`, or set the weight to 0."
            )
        torch.manual_seed(plan.seed)
        self.plan, self.faces, self.device, self.ranks = plan, faces, device, ranks
        workers = default_workers(device) if workers is None else workers
        share = ranks.share(plan.batch_size)
        self.pairs = Pairs(plan, faces, device, share=share, workers=workers)
        if model is None:
            self.model = GPEN(plan.config)
            start_as_identity(self.model)
        else:
            self.model = deepcopy(model).float().train().requires_grad_(True)
        self.model.to(device)
        self.ema = deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = make_optimizer(plan.optimizer, self.model, plan.learning_rate)
        forward, self.compare = self.model, reconstruction_losses
        if plan.compiled:
            require_compiler(device)
            forward = cast("GPEN", torch.compile(self.model))
            self.compare = torch.compile(reconstruction_losses)
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
        self.torn = False

    def step(self) -> dict[str, float]:
        """Train on one batch; return every loss by name, and "loss", their weighted sum.

        Raises:
            TrainingError: a loss is no longer finite.
        """
        return self.advance().read()

    def advance(self) -> Figures:
        """As `step`, but what a GPU computes is not waited for: the losses are still to be read."""
        clean, degraded = self.pairs.of(self.steps_done)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * self.plan.learning_rate_factor(self.steps_done)
        target = self._target(clean, degraded)
        output = None
        if self.graphed:
            values = self.graphed(degraded, target, clean)
            losses = dict(zip(("loss", *self.plan.loss_weights), values, strict=True))
        else:
            self.optimizer.zero_grad()
            losses, output = self._compute(degraded, target, clean)
        with interrupts_later():
            self.torn = True
            self.optimizer.step()
            if self.adversary and output is not None:
                losses |= self.adversary.learn(output, clean, step=self.steps_done)
            self.steps_done += 1
            self._update_ema()
            self.torn = False
        values = self.ranks.mean(torch.stack([value.detach() for value in losses.values()]))
        return Figures(self.steps_done, tuple(losses), values)

    def _compute(
        self, degraded: torch.Tensor, target: torch.Tensor, clean: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Losses, gradients, which are added to what is there, and the restored faces."""
        with self._autocast():
            output = self.forward((degraded * 2 - 1).contiguous(memory_format=torch.channels_last))
        output = output.float() / 2 + 0.5
        weights = self.plan.loss_weights
        losses = self.compare(output, target, clean, tuple(weights))
        if self.perceptual:
            with self._autocast():
                losses["perceptual"] = self.perceptual(output, clean)
        if self.adversary:
            losses |= self.adversary.losses(output, clean)
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        loss.backward()
        return {"loss": loss} | losses, output

    def _compute_losses(self, *images: torch.Tensor) -> torch.Tensor:
        """Of `_compute`, the losses in the plan's order, [K]."""
        losses, _ = self._compute(*images)
        return torch.stack([losses[name].detach() for name in ("loss", *self.plan.loss_weights)])

    @torch.no_grad()
    def _target(self, clean: torch.Tensor, degraded: torch.Tensor) -> torch.Tensor:
        """What L1 and SSIM compare with, [N, 3, S, S] in [0, 1]."""
        amount = self.plan.target_sharpening
        if not self.teacher:
            return unsharp_mask(clean, amount)
        restored = self.teacher.restore(degraded, mirrored=self.steps_done % 2 == 1)
        return sharpen_towards(restored, clean, amount, limit=self.plan.sharpness_limit)

    def _autocast(self) -> torch.autocast:
        # No cache: what a graph recorded would read from it is gone.
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
            TrainingError: the disk is full or does not let itself be written to.
        """
        try:
            self._save(folder)
        except (OSError, RuntimeError) as error:  # PyTorch's writer raises the second
            raise TrainingError(
                f"Step {self.steps_done} cannot be saved in {folder}: {error}. What was saved "
                "before is kept; make room, or let the folder be written to, and repeat the "
                "command to go on from there."
            ) from error

    def _save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "plan": asdict(self.plan),
            "faces": len(self.faces),
            "steps_done": self.steps_done,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.adversary:
            state["adversary"] = self.adversary.state_dict()
        with write_atomically(folder / STATE_NAME, overwrite=True) as scratch:
            torch.save(state, scratch)
        weights = {name: value.half() for name, value in self.ema.state_dict().items()}
        metadata = sharpen_metadata(self.model.sharpen)
        write_safetensors(weights, folder / WEIGHTS_NAME, overwrite=True, metadata=metadata)

    def resume(self, folder: Path) -> bool:
        """Continue from the state in `folder`; False when there is none.

        Raises:
            CheckpointError: the state is damaged, belongs to another plan or another number of
                faces, or is not the same for all processes.
        """
        path = folder / STATE_NAME
        found = path.exists()
        if found:
            self._load(path)
        furthest = self.ranks.largest(self.steps_done, self.device)
        if -self.ranks.largest(-self.steps_done, self.device) != furthest:
            raise CheckpointError(
                f"Processes that train together found different states in {folder} (here "
                f"{self.steps_done} steps, elsewhere {furthest:.0f}); it must be a folder that "
                "all of them share."
            )
        return found

    def _load(self, path: Path) -> None:
        try:
            state = read_tensor_file(path).contents
        except CheckpointError as error:
            raise CheckpointError(
                f"{str(error).removesuffix(DOWNLOAD_AGAIN).strip()} This run goes on from it: "
                "bring a copy back, or move it away and begin a run "
                f"--from {path.with_name(WEIGHTS_NAME)}."
            ) from error
        count = state.get("faces", len(self.faces))
        if count != len(self.faces):
            raise CheckpointError(
                f"{path} was trained on {count} faces, and now there are {len(self.faces)}: every "
                "draw would be another. Give it the same faces, or begin a run with others --from "
                f"{path.with_name(WEIGHTS_NAME)}."
            )
        changed = self.plan.differences(state["plan"])
        if changed:
            raise CheckpointError(
                f"{path} was trained with another {', '.join(changed)}: "
                + "; ".join(f"{k} was {before}, now {now}" for k, (before, now) in changed.items())
                + ". Repeat the earlier options, or train into another folder."
            )
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.adversary:
            self.adversary.load_state_dict(state["adversary"])
        self.steps_done = state["steps_done"]
