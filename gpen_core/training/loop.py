"""The training loop: resumable to the bit, since every random draw follows from seed and step."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..arch import GPEN, GPENConfig
from ..errors import CheckpointError
from ..files import replacing
from ..tensor_files import read_tensor_file, write_safetensors
from .data import draw_batch
from .degrade import DEFAULT, Degradation, degrade
from .losses import reconstruction_loss
from .start import start_as_identity

if TYPE_CHECKING:
    from collections.abc import Callable

STATE_NAME = "state.pt"
WEIGHTS_NAME = "weights.safetensors"


@dataclass(frozen=True)
class TrainingPlan:
    """What to train and how; stored with the state, so that resuming can tell a changed plan.

    Attributes:
        config: the network.
        steps: optimizer steps in all; the learning rate falls to zero over the last `decay`.
        batch_size: faces per step.
        learning_rate: of Adam with β = (0.9, 0.99).
        decay: share of the steps over which the learning rate falls.
        ssim_weight: weight of the SSIM loss beside L1.
        ema_decay: of the running mean of the weights that is exported.
        seed: of every random draw.
        bf16: compute convolutions in bfloat16 (autocast).
        compiled: let `torch.compile` fuse the network; a minute at the start, then 1.7 × faster.
        degradation: the ranges of the degradations.
    """

    config: GPENConfig
    steps: int
    batch_size: int = 16
    learning_rate: float = 2e-3
    decay: float = 0.4
    ssim_weight: float = 0.1
    ema_decay: float = 0.998
    seed: int = 0
    bf16: bool = False
    compiled: bool = False
    degradation: Degradation = DEFAULT


class Trainer:
    """Holds network, running mean and optimizer; `step` advances them by one batch.

    Args:
        plan: what to train.
        faces: [N, 3, S, S] uint8 RGB, S the network's size.
        device: where to train.
    """

    def __init__(self, plan: TrainingPlan, faces: torch.Tensor, device: torch.device) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.faces, self.device = plan, faces, device
        self.model = GPEN(plan.config)
        start_as_identity(self.model)
        self.model.to(device)
        self.ema = deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.99)
        )
        self.forward = torch.compile(self.model) if plan.compiled else self.model
        self.steps_done = 0

    def step(self) -> float:
        """Train on one batch and return its loss."""
        plan = self.plan
        # Seeds two apart: the batch's and its degradation's streams differ in every step.
        seed = (plan.seed << 32) + 2 * self.steps_done
        target = draw_batch(self.faces, plan.batch_size, seed=seed).to(self.device)
        degraded = degrade(target, seed=seed + 1, degradation=plan.degradation)
        for group in self.optimizer.param_groups:
            group["lr"] = plan.learning_rate * self._learning_rate_factor()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=plan.bf16):
            output = self.forward((degraded * 2 - 1).contiguous(memory_format=torch.channels_last))
        loss = reconstruction_loss(output.float() / 2 + 0.5, target, ssim_weight=plan.ssim_weight)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps_done += 1
        self._update_ema()
        return loss.item()

    def _learning_rate_factor(self) -> float:
        warm_up = min(1.0, (self.steps_done + 1) / 50)
        left = 1 - self.steps_done / self.plan.steps
        return warm_up * min(1.0, left / self.plan.decay)

    @torch.no_grad()
    def _update_ema(self) -> None:
        decay = min(self.plan.ema_decay, self.steps_done / (self.steps_done + 10))
        for mean, value in zip(self.ema.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)

    def save(self, folder: Path) -> None:
        """Write the state to resume from and the weights to use, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "plan": asdict(self.plan),
            "steps_done": self.steps_done,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with replacing(folder / STATE_NAME, overwrite=True) as scratch:
            torch.save(state, scratch)
        weights = {name: value.half() for name, value in self.ema.state_dict().items()}
        write_safetensors(weights, folder / WEIGHTS_NAME, overwrite=True)

    def resume(self, folder: Path) -> bool:
        """Continue from the state in `folder`; False when there is none.

        Raises:
            CheckpointError: the state is damaged or belongs to another plan.
        """
        path = folder / STATE_NAME
        if not path.exists():
            return False
        state = read_tensor_file(path).contents
        asked, stored = asdict(self.plan), state["plan"]
        changed = [k for k in asked if k != "steps" and asked[k] != stored.get(k)]
        if changed:
            raise CheckpointError(
                f"{path} was trained with another {', '.join(changed)}: "
                + "; ".join(f"{k} was {stored.get(k)}, now {asked[k]}" for k in changed)
                + ". Repeat the earlier options, or train into another folder."
            )
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps_done = state["steps_done"]
        return True


def run(
    trainer: Trainer,
    folder: Path,
    *,
    minutes: float | None = None,
    save_every: float = 120,
    on_step: Callable[[int, float], None] | None = None,
) -> None:
    """Train until the plan's steps are done or `minutes` have passed, saving as it goes.

    Args:
        trainer: as made or resumed.
        folder: where `Trainer.save` writes, every `save_every` seconds and at the end.
        minutes: stop after this long; None never.
        on_step: called with the number of steps done and the loss; may raise to stop.
    """
    started = saved = time.monotonic()
    try:
        while trainer.steps_done < trainer.plan.steps:
            loss = trainer.step()
            if on_step:
                on_step(trainer.steps_done, loss)
            now = time.monotonic()
            if now - saved > save_every:
                trainer.save(folder)
                saved = now
            if minutes is not None and now - started > minutes * 60:
                break
    finally:
        trainer.save(folder)
