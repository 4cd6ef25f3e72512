"""Reads the options of `gpen train`: makes the plan and loads the networks that they name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..arch import GPENConfig
from ..checkpoints import catalog
from ..checkpoints.loading import read_checkpoint
from ..degradation.presets import find_preset
from ..errors import MismatchError
from ..files import sha256
from ..names import COLORIZE, INPAINT, RESTORE
from ..training.discriminator import Discriminator, load_discriminator
from ..training.perceptual import PerceptualLoss, load_perceptual_loss
from ..training.plan import TrainingPlan
from ..training.widen import widen

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from ..arch import GPEN

MAX_SMALL_SIZE = 256  # px; larger networks need a GPU, which can train the published widths
_DEGRADATIONS = {RESTORE: "paper", COLORIZE: "traces", INPAINT: "traces"}
"""The default degradation of each task."""
NETWORK_OPTIONS = ("size", "network", "style_dim", "mapping_layers")


def configure_small(size: int) -> GPENConfig:
    """Configure a network that a CPU can train: 3.5 million parameters at 256 px.

    Its widths are a quarter of the published ones with a channel multiplier of 1, and at least 8:
    to start as the identity a network needs 6 channels.
    """
    base = GPENConfig.published(size, channel_multiplier=1, narrow=0.25)
    widths = tuple(max(8, width) for width in base.widths)
    return GPENConfig(size, size, widths, style_dim=128, mapping_layers=4)


@dataclass(frozen=True)
class TrainingRequest:
    """The plan of a run and the networks that it needs.

    Attributes:
        plan: the plan.
        model: the network to start with; None for a fresh one.
        discriminator: the discriminator to start with; None for a fresh one, or for none.
        perceptual: the perceptual loss, if a VGG was given.
        teacher: the teacher, if one was given.
    """

    plan: TrainingPlan
    model: GPEN | None
    discriminator: Discriminator | None
    perceptual: PerceptualLoss | None
    teacher: GPEN | None


def read_request(args: argparse.Namespace) -> TrainingRequest:
    """Read the options of `add_train_arguments`.

    Raises:
        CheckpointError: a given file cannot be used.
        MismatchError: options contradict each other.
    """
    config, start, model = _choose_network(args)
    teacher_name, teacher = _load_network(args.teacher) if args.teacher else (None, None)
    discriminator = load_discriminator(args.discriminator) if args.discriminator else None
    plan = TrainingPlan(
        config=config,
        steps=args.steps,
        batch_size=args.batch_size,
        optimizer=args.optimizer,
        learning_rate=args.learning_rate,
        decay=args.decay,
        ssim_weight=args.ssim_weight,
        sharpness_weight=args.sharpness_weight,
        teacher=teacher_name,
        target_sharpening=args.sharpen_targets,
        sharpness_limit=args.sharpness_limit,
        adversarial_weight=args.adversarial_weight,
        feature_weight=args.feature_weight,
        perceptual_weight=args.perceptual_weight if args.perceptual else 0,
        perceptual=_describe(args.perceptual) if args.perceptual else None,
        discriminator_widths=discriminator.widths if discriminator else args.discriminator_widths,
        discriminator_learning_rate=args.discriminator_learning_rate,
        r1_weight=args.r1_weight,
        ema_decay=args.ema_decay,
        seed=args.seed,
        bf16=args.bf16,
        compiled=args.compile,
        start=start,
        degradation=find_preset(args.degradation or _DEGRADATIONS[args.task]),
        task=args.task,
    )
    _check_options(args, plan)
    perceptual = load_perceptual_loss(args.perceptual) if args.perceptual else None
    return TrainingRequest(plan, model, discriminator, perceptual, teacher)


def _check_options(args: argparse.Namespace, plan: TrainingPlan) -> None:
    """Refuse options that the plan would ignore."""
    if args.discriminator and not plan.has_adversary:
        raise MismatchError(
            "--discriminator was given, but no loss uses it: add --adversarial-weight, "
            "--feature-weight or both."
        )
    if args.discriminator_widths and not plan.has_adversary:
        raise MismatchError(
            "--discriminator-widths was given, but there is no discriminator: add "
            "--adversarial-weight, --feature-weight or both."
        )
    if plan.sharpness_limit != 1 and not (plan.teacher and plan.target_sharpening):
        raise MismatchError(
            "--sharpness-limit was given, but it only bounds how a teacher's faces are sharpened: "
            "add --teacher and --sharpen-targets."
        )


def _choose_network(args: argparse.Namespace) -> tuple[GPENConfig, str, GPEN | None]:
    """Return the configuration, the name of the start, and the network if it is in a file."""
    if args.start is None:
        return _choose_config(args), "identity", None
    given = [
        f"--{name.replace('_', '-')}" for name in NETWORK_OPTIONS if getattr(args, name) is not None
    ]
    if given:
        raise MismatchError(
            f"{', '.join(given)} cannot be chosen with --from: the weights set the network; only "
            "--widths can change it, to more channels."
        )
    name, model = _load_network(args.start)
    if args.widths and args.widths != model.config.widths:
        model = widen(model, args.widths, seed=args.seed)
        name += ", widened"
    return model.config, name, model


def _load_network(source: str) -> tuple[str, GPEN]:
    """Load a network from a file or by its name in the catalog; return a name for it, too."""
    checkpoint = read_checkpoint(catalog.resolve(source))
    return _describe(checkpoint.path), checkpoint.build()


def _describe(path: Path) -> str:
    """Return a file's name with its hash, which tells it from others of that name."""
    return f"{path.name} (SHA-256 {sha256(path)[:16]}…)"


def _choose_config(args: argparse.Namespace) -> GPENConfig:
    """Choose the configuration of a fresh network."""
    size = args.size or 256
    network = args.network or ("small" if size <= MAX_SMALL_SIZE else "published")
    config = configure_small(size) if network == "small" else GPENConfig.released(size)
    return GPENConfig(
        in_size=size,
        out_size=size,
        widths=args.widths or config.widths,
        style_dim=args.style_dim or config.style_dim,
        mapping_layers=args.mapping_layers or config.mapping_layers,
    )
