"""From the options of `gpen train` to what is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..arch import GPENConfig
from ..checkpoints import catalog
from ..checkpoints.loading import read_checkpoint
from ..degradation.presets import find_preset
from ..errors import MismatchError
from ..files import sha256
from ..training.discriminator import Discriminator, load_discriminator
from ..training.perceptual import PerceptualLoss, load_perceptual_loss
from ..training.plan import TrainingPlan
from ..training.widen import widen

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from ..arch import GPEN

SMALL_UP_TO = 256  # px; a larger network is for who has a GPU, and then the published one
NETWORK_OPTIONS = ("size", "network", "style_dim", "mapping_layers")


def small_network(size: int) -> GPENConfig:
    """A network to learn on a CPU, 3.5 million parameters at 256 px.

    A quarter of the widths that the published ones multiply, and at least 8: the start as the
    identity takes 6 channels.
    """
    base = GPENConfig.published(size, channel_multiplier=1, narrow=0.25)
    widths = tuple(max(8, width) for width in base.widths)
    return GPENConfig(size, size, widths, style_dim=128, mapping_layers=4)


def published_network(size: int) -> GPENConfig:
    """The network of `GPEN-BFR-…` of that size."""
    return GPENConfig.released(size)


@dataclass(frozen=True)
class Request:
    """What the options ask for.

    Attributes:
        plan: what is trained.
        model: the network that training begins with; None for a fresh one.
        discriminator: likewise.
        perceptual: the loss in a VGG's features, if a file of one was given.
        teacher: the network whose faces are to be learned, if one was given.
    """

    plan: TrainingPlan
    model: GPEN | None
    discriminator: Discriminator | None
    perceptual: PerceptualLoss | None
    teacher: GPEN | None


def read_request(args: argparse.Namespace) -> Request:
    """Return what the options of `add_train_arguments` ask for.

    Raises:
        CheckpointError: a file that was given cannot be used.
        MismatchError: options do not fit each other.
    """
    config, start, model = _network(args)
    described, teacher = _read(args.teacher) if args.teacher else (None, None)
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
        teacher=described,
        target_sharpening=args.sharpen_targets,
        sharpness_limit=args.sharpness_limit,
        adversarial_weight=args.adversarial_weight,
        feature_weight=args.feature_weight,
        perceptual_weight=args.perceptual_weight if args.perceptual else 0,
        perceptual=_described(args.perceptual) if args.perceptual else None,
        discriminator_widths=discriminator.widths if discriminator else args.discriminator_widths,
        discriminator_learning_rate=args.discriminator_learning_rate,
        r1_weight=args.r1_weight,
        ema_decay=args.ema_decay,
        seed=args.seed,
        bf16=args.bf16,
        compiled=args.compile,
        start=start,
        degradation=find_preset(args.degradation),
    )
    if discriminator and not plan.has_adversary:
        raise MismatchError(
            "--discriminator was given, but nothing is learned from it: add --adversarial-weight, "
            "--feature-weight or both."
        )
    if args.discriminator_widths and not plan.has_adversary:
        raise MismatchError(
            "--discriminator-widths was given, but there is no discriminator: add "
            "--adversarial-weight, --feature-weight or both."
        )
    if plan.sharpness_limit != 1 and not (plan.teacher and plan.target_sharpening):
        raise MismatchError(
            "--sharpness-limit was given, but it tells how to sharpen what a teacher restores: add "
            "--teacher and --sharpen-targets."
        )
    perceptual = load_perceptual_loss(args.perceptual) if args.perceptual else None
    return Request(plan, model, discriminator, perceptual, teacher)


def _network(args: argparse.Namespace) -> tuple[GPENConfig, str, GPEN | None]:
    """Configuration, where the weights come from in words, and the weights, if from a file."""
    if args.start is None:
        return _fresh_config(args), "identity", None
    given = [
        f"--{name.replace('_', '-')}" for name in NETWORK_OPTIONS if getattr(args, name) is not None
    ]
    if given:
        raise MismatchError(
            f"{', '.join(given)} cannot be chosen with --from: the network is that of the weights, "
            "which --widths can widen."
        )
    described, model = _read(args.start)
    if args.widths and args.widths != model.config.widths:
        model = widen(model, args.widths, seed=args.seed)
        described += ", widened"
    return model.config, described, model


def _read(source: str) -> tuple[str, GPEN]:
    """A network from a file or a name of the catalog, and the file in words."""
    checkpoint = read_checkpoint(catalog.resolve(source))
    return _described(checkpoint.path), checkpoint.build()


def _described(path: Path) -> str:
    """A file in words that tell it from others of its name."""
    return f"{path.name} (SHA-256 {sha256(path)[:16]}…)"


def _fresh_config(args: argparse.Namespace) -> GPENConfig:
    size = args.size or 256
    network = args.network or ("small" if size <= SMALL_UP_TO else "published")
    config = small_network(size) if network == "small" else published_network(size)
    return GPENConfig(
        in_size=size,
        out_size=size,
        widths=args.widths or config.widths,
        style_dim=args.style_dim or config.style_dim,
        mapping_layers=args.mapping_layers or config.mapping_layers,
    )
