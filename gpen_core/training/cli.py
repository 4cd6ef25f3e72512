"""`gpen train` and `gpen evaluate`: their options, and what they print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..commands.arguments import positive, widths

if TYPE_CHECKING:
    import argparse

DEFAULT_WIDTHS = "128,128,128,128,64,32,16"  # 3.5 M parameters at 256 px


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen train`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of aligned faces")
    parser.add_argument("--split", help="keep this split of the folder's INDEX.tsv")
    parser.add_argument("--out", type=Path, required=True, help="folder for state and weights")
    parser.add_argument("--size", type=int, default=256, help="side in px (default 256)")
    parser.add_argument(
        "--widths",
        type=widths,
        default=DEFAULT_WIDTHS,
        help=f"channels at 4, 8, 16 … SIZE px (default {DEFAULT_WIDTHS})",
    )
    parser.add_argument("--style-dim", type=positive, default=128)
    parser.add_argument("--mapping-layers", type=positive, default=4)
    parser.add_argument("--steps", type=positive, default=3000)
    parser.add_argument("--batch-size", type=positive, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--ssim-weight", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="stop after this long; go on by repeating")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--bf16", action="store_true", help="convolve in bfloat16 (fast with AVX512-BF16)"
    )
    parser.add_argument(
        "--compile", action="store_true", help="use torch.compile (needs a C++ compiler)"
    )


def train(args: argparse.Namespace) -> int:
    """Train, or go on training in `args.out`; return the exit status."""
    from tqdm import tqdm

    from ..arch import GPENConfig
    from ..devices import resolve_device
    from .data import find_faces, load_faces
    from .loop import WEIGHTS_NAME, Trainer, TrainingPlan, run

    config = GPENConfig(
        in_size=args.size,
        out_size=args.size,
        widths=args.widths,
        style_dim=args.style_dim,
        mapping_layers=args.mapping_layers,
    )
    plan = TrainingPlan(
        config=config,
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        ssim_weight=args.ssim_weight,
        seed=args.seed,
        bf16=args.bf16,
        compiled=args.compile,
    )
    faces, complaints = load_faces(find_faces(args.data, split=args.split), args.size)
    for line in complaints:
        print(f"left out {line}", file=sys.stderr)
    trainer = Trainer(plan, faces, resolve_device(args.device))
    parameters = sum(p.numel() for p in trainer.model.parameters())
    resumed = trainer.resume(args.out)
    print(
        f"{len(faces)} faces, {parameters / 1e6:.2f} M parameters, "
        + (f"going on at step {trainer.steps_done}" if resumed else "a fresh start")
    )
    mean = 0.0
    with tqdm(total=plan.steps, initial=trainer.steps_done, unit="step") as bar:

        def show(step: int, loss: float) -> None:
            nonlocal mean
            mean = loss if not mean else 0.98 * mean + 0.02 * loss
            bar.set_postfix(loss=f"{mean:.4f}")
            bar.update(step - bar.n)

        try:
            run(trainer, args.out, minutes=args.minutes, on_step=show)
        except KeyboardInterrupt:
            print(f"stopped at step {trainer.steps_done}; repeat the command to go on")
            return 130
    print(f"{trainer.steps_done} steps done; weights in {args.out / WEIGHTS_NAME}")
    return 0


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen evaluate`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of clean aligned faces")
    parser.add_argument("--split", help="keep this split of the folder's INDEX.tsv")
    parser.add_argument("--model", default="builtin", help="file or catalogue name")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")


def evaluate(args: argparse.Namespace) -> int:
    """Print how much nearer to the clean faces the model's output is than its degraded input."""
    from ..checkpoint import load_gpen
    from ..restore import restore_pixels
    from .data import find_faces, load_faces
    from .evaluate import evaluate as score

    model = load_gpen(args.model, device=args.device, dtype=args.dtype)
    files = find_faces(args.data, split=args.split)
    faces, complaints = load_faces(files, model.config.in_size)
    for line in complaints:
        print(f"left out {line}", file=sys.stderr)
    print(score(lambda x: restore_pixels(model, x), faces))
    return 0
