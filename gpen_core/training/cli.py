"""`gpen train`: its options, and what it prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..commands.arguments import not_negative, positive, widths

if TYPE_CHECKING:
    import argparse

    import torch

    from ..arch import GPEN, GPENConfig
    from .plan import TrainingPlan
    from .ranks import Ranks
    from .trainer import Trainer

DEFAULT_WIDTHS = (128, 128, 128, 128, 64, 32, 16)  # 3.5 M parameters at 256 px


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen train`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of aligned faces")
    parser.add_argument("--split", help="keep this split of the folder's INDEX.tsv")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for state, weights and losses.tsv"
    )
    _add_network_options(parser.add_argument_group("network"))
    _add_loss_options(parser.add_argument_group("losses, beside the mean absolute difference"))
    _add_run_options(parser.add_argument_group("run"))


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--from",
        dest="start",
        metavar="WEIGHTS",
        help="fine-tune these weights, a file or a name of `gpen models`; size and widths are "
        "theirs. Without, a fresh network starts as the identity",
    )
    group.add_argument("--size", type=int, help="side in px (default 256)")
    group.add_argument(
        "--widths",
        type=widths,
        help="channels at 4, 8, 16 … SIZE px (default "
        f"{','.join(map(str, DEFAULT_WIDTHS))}, which is for 256 px)",
    )
    group.add_argument("--style-dim", type=positive, help="length of the latent (default 128)")
    group.add_argument("--mapping-layers", type=positive, help="(default 4)")


def _add_loss_options(group: argparse._ArgumentGroup) -> None:
    def weight(name: str, default: float, what: str) -> None:
        group.add_argument(
            name,
            type=not_negative,
            default=default,
            metavar="WEIGHT",
            help=f"{what} (default {default:g})",
        )

    weight("--ssim-weight", 0.1, "of 1 − SSIM of the luma")
    weight("--sharpness-weight", 0, "of the difference in mean gradient of 8 px boxes; 0 is off")
    weight("--adversarial-weight", 0, "of the logistic loss against a discriminator; 0 is off")
    weight("--feature-weight", 0, "of the difference in the discriminator's features; 0 is off")
    group.add_argument(
        "--discriminator",
        type=Path,
        metavar="FILE",
        help="go on with this discriminator: a published …-D.pth, or the state.pt of another run "
        "(default: a fresh one)",
    )
    group.add_argument(
        "--discriminator-widths",
        type=widths,
        help="its channels at 4, 8, 16 … SIZE px (default: the network's)",
    )
    group.add_argument(
        "--discriminator-learning-rate", type=not_negative, default=2e-3, help="(default 0.002)"
    )
    group.add_argument(
        "--r1-weight",
        type=not_negative,
        default=1.0,
        help="γ of the R1 penalty γ/2·‖∇D‖², computed every 16 steps (default 1)",
    )


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--steps", type=positive, default=3000, help="in all (default 3000)")
    group.add_argument("--batch-size", type=positive, default=16, help="faces (default 16)")
    group.add_argument(
        "--learning-rate",
        type=not_negative,
        default=2e-3,
        help="of Adam; falls to zero over the last 40 %% of the steps (default 0.002)",
    )
    group.add_argument(
        "--degradation",
        default="paper",
        help="what is done to the faces: paper, second-order, mixed, traces (default paper)",
    )
    group.add_argument("--seed", type=int, default=0, help="of every random draw (default 0)")
    group.add_argument("--minutes", type=float, help="stop after this long; go on by repeating")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument(
        "--bf16", action="store_true", help="convolve in bfloat16 (fast with AVX512-BF16)"
    )
    group.add_argument(
        "--compile", action="store_true", help="use torch.compile (needs a C++ compiler)"
    )


def train(args: argparse.Namespace) -> int:
    """Train, or go on training in `args.out`; return the exit status."""
    from ..devices import resolve_device
    from .ranks import join

    with join(resolve_device(args.device)) as (ranks, device):
        return _train(args, device, ranks)


def _train(args: argparse.Namespace, device: torch.device, ranks: Ranks) -> int:
    from .data import find_faces, load_faces
    from .discriminator import load_discriminator
    from .trainer import WEIGHTS_NAME, Trainer

    discriminator = load_discriminator(args.discriminator) if args.discriminator else None
    plan, model = _plan(args, discriminator.widths if discriminator else None)
    size = plan.config.in_size
    faces, complaints = load_faces(find_faces(args.data, split=args.split), size)
    trainer = Trainer(plan, faces, device, model=model, discriminator=discriminator, ranks=ranks)
    resumed = trainer.resume(args.out)

    def say(line: str, file: TextIO | None = None) -> None:
        if ranks.first:
            print(line, file=file)

    for line in complaints:
        say(f"left out {line}", file=sys.stderr)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    say(
        f"{len(faces)} faces, {size} px, {parameters / 1e6:.2f} M parameters, "
        + (f"going on at step {trainer.steps_done}" if resumed else f"from {plan.start}")
    )
    try:
        _run(trainer, args)
    except KeyboardInterrupt:
        say(f"stopped at step {trainer.steps_done}; repeat the command to go on")
        return 130
    say(f"{trainer.steps_done} steps done; weights in {args.out / WEIGHTS_NAME}")
    return 0


def _run(trainer: Trainer, args: argparse.Namespace) -> None:
    """Run behind a progress bar that shows running means of the losses."""
    from tqdm import tqdm

    from .loop import run

    means: dict[str, float] = {}
    with tqdm(
        total=trainer.plan.steps,
        initial=trainer.steps_done,
        unit="step",
        disable=not trainer.ranks.first,
    ) as bar:

        def show(step: int, losses: dict[str, float]) -> None:
            for name, value in losses.items():
                means[name] = 0.98 * means.get(name, value) + 0.02 * value
            bar.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
            bar.update(step - bar.n)

        run(trainer, args.out, minutes=args.minutes, on_step=show)


def _plan(
    args: argparse.Namespace, discriminator_widths: tuple[int, ...] | None
) -> tuple[TrainingPlan, GPEN | None]:
    """The plan that the options describe, and the network that training begins with, if any."""
    from .degrade import find_preset
    from .plan import TrainingPlan

    degradation = find_preset(args.degradation)
    config, start, model = _network(args)
    plan = TrainingPlan(
        config=config,
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        ssim_weight=args.ssim_weight,
        sharpness_weight=args.sharpness_weight,
        adversarial_weight=args.adversarial_weight,
        feature_weight=args.feature_weight,
        discriminator_widths=discriminator_widths or args.discriminator_widths,
        discriminator_learning_rate=args.discriminator_learning_rate,
        r1_weight=args.r1_weight,
        seed=args.seed,
        bf16=args.bf16,
        compiled=args.compile,
        start=start,
        degradation=degradation,
    )
    return plan, model


def _network(args: argparse.Namespace) -> tuple[GPENConfig, str, GPEN | None]:
    """Configuration, where the weights come from in words, and the weights, if from a file."""
    from .. import catalog
    from ..arch import GPENConfig
    from ..checkpoint import build_gpen, read_checkpoint
    from ..errors import MismatchError

    own = ("size", "widths", "style_dim", "mapping_layers")
    if args.start is None:
        size = args.size or 256
        config = GPENConfig(
            in_size=size,
            out_size=size,
            widths=args.widths or DEFAULT_WIDTHS,
            style_dim=args.style_dim or 128,
            mapping_layers=args.mapping_layers or 4,
        )
        return config, "identity", None
    given = [f"--{name.replace('_', '-')}" for name in own if getattr(args, name) is not None]
    if given:
        raise MismatchError(
            f"{', '.join(given)} cannot be chosen with --from: the network is that of the weights."
        )
    checkpoint = read_checkpoint(catalog.resolve(args.start))
    start = f"{checkpoint.path.name} (SHA-256 {checkpoint.sha256[:16]}…)"
    return checkpoint.config, start, build_gpen(checkpoint.state_dict)
