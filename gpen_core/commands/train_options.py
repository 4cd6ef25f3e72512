"""The options of `gpen train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..names import DEGRADATIONS
from .arguments import count, fraction, not_negative, positive, widths

if TYPE_CHECKING:
    import argparse


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen train`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of aligned faces")
    parser.add_argument("--split", help="keep this split of the folder's INDEX.tsv")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for state, weights and what is written down"
    )
    _add_network_options(parser.add_argument_group("network"))
    _add_loss_options(parser.add_argument_group("losses, beside the mean absolute difference"))
    _add_run_options(parser.add_argument_group("run"))
    _add_journal_options(parser.add_argument_group("what is written down"))


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--from",
        dest="start",
        metavar="WEIGHTS",
        help="fine-tune these weights, a file or a name of `gpen models`; size and widths are "
        "theirs. Without, a fresh network starts as the identity",
    )
    group.add_argument("--size", type=int, metavar="PX", help="side of the faces (default 256)")
    group.add_argument(
        "--network",
        choices=("small", "published"),
        help="widths that a CPU can train, or those of GPEN-BFR of that size (default: small up "
        "to 256 px, published above)",
    )
    group.add_argument(
        "--widths",
        type=widths,
        help="instead: channels at 4, 8, 16 … SIZE px; with --from, more of them from 8 px up, "
        "beginning with the same function",
    )
    group.add_argument("--style-dim", type=positive, help="length of the latent")
    group.add_argument("--mapping-layers", type=positive)


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
    group.add_argument(
        "--teacher",
        metavar="WEIGHTS",
        help="L1 and SSIM compare with what this network restores, a file or a name of `gpen "
        "models`, not with the clean faces: the network learns to do the same",
    )
    group.add_argument(
        "--sharpen-targets",
        type=not_negative,
        default=0.0,
        metavar="AMOUNT",
        help="of an unsharp mask (luma, σ 0.7 px) on what L1 and SSIM compare with (default 0)",
    )
    group.add_argument(
        "--sharpness-limit",
        type=not_negative,
        default=1.0,
        metavar="FACTOR",
        help="how many times as sharp as the clean face it may make what a teacher restores "
        "(default 1)",
    )
    weight("--adversarial-weight", 0, "of the logistic loss against a discriminator; 0 is off")
    weight("--feature-weight", 0, "of the difference in the discriminator's features; 0 is off")
    group.add_argument(
        "--perceptual",
        type=Path,
        metavar="FILE",
        help="compare what a VGG sees, too: torchvision's vgg16-397923af.pth or another like it",
    )
    weight("--perceptual-weight", 0.1, "of that")
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
        help="until it falls to zero at the end (default 0.002)",
    )
    group.add_argument(
        "--decay",
        type=fraction,
        default=0.4,
        metavar="SHARE",
        help="last part of the steps, over which the learning rate falls to zero (default 0.4)",
    )
    group.add_argument(
        "--ema-decay",
        type=fraction,
        default=0.998,
        help="of the running mean of the weights, which is what is exported; for a few hundred "
        "steps try 0.99 (default 0.998)",
    )
    group.add_argument(
        "--optimizer",
        choices=("adam", "muon"),
        default="adam",
        help="muon learned more in as many steps of our small networks, with the same learning "
        "rate; all else than convolutions has Adam then, too (default adam)",
    )
    group.add_argument(
        "--degradation",
        default="paper",
        help=f"what is done to the faces: {', '.join(DEGRADATIONS)} (default paper)",
    )
    group.add_argument("--seed", type=int, default=0, help="of every random draw (default 0)")
    group.add_argument("--minutes", type=float, help="stop after this long; go on by repeating")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="threads that draw and degrade the faces of the next steps (default: up to 4 with "
        "cuda, else none, which makes them in line); what they make is the same",
    )
    group.add_argument(
        "--bf16", action="store_true", help="convolve in bfloat16 (fast with AVX512-BF16)"
    )
    group.add_argument(
        "--compile", action="store_true", help="use torch.compile (needs a C++ compiler)"
    )


def _add_journal_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--log-every",
        type=positive,
        default=50,
        metavar="STEPS",
        help="mean losses make a line of OUT/losses.tsv (default 50)",
    )
    group.add_argument(
        "--sample-every",
        type=positive,
        default=500,
        metavar="STEPS",
        help="faces are restored into OUT/samples and scored in OUT/scores.tsv (default 500)",
    )
    group.add_argument(
        "--samples", type=count, default=8, metavar="N", help="how many; 0 is none (default 8)"
    )
    group.add_argument(
        "--sample-split",
        metavar="SPLIT",
        help="take them from this split of INDEX.tsv (default: from the faces trained on)",
    )
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write OUT/tensorboard (needs the extra `train`)",
    )
