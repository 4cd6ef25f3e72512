"""The options of `gpen train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..names import COLORIZE, DEGRADATIONS, INPAINT, RESTORE
from .arguments import count, fraction, not_negative, positive, widths

if TYPE_CHECKING:
    import argparse


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen train`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of aligned faces")
    parser.add_argument("--split", help="use only this split of the folder's INDEX.tsv")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the state, the weights and the records"
    )
    _add_network_options(parser.add_argument_group("network"))
    _add_loss_options(parser.add_argument_group("losses, added to the mean absolute difference"))
    _add_run_options(parser.add_argument_group("run"))
    _add_journal_options(parser.add_argument_group("records"))


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--from",
        dest="start",
        metavar="WEIGHTS",
        help="fine-tune these weights, a file or a name that `gpen models` lists; they set size "
        "and widths (default: a fresh network that starts as the identity)",
    )
    group.add_argument("--size", type=int, metavar="PX", help="side of the faces (default 256)")
    group.add_argument(
        "--network",
        choices=("small", "published"),
        help="small: widths that a CPU can train; published: the widths of GPEN-BFR (default: "
        "small up to 256 px, published above)",
    )
    group.add_argument(
        "--widths",
        type=widths,
        help="channels at 4, 8, 16 … SIZE px, instead of --network; with --from, more channels "
        "from 8 px up for the same function at the start",
    )
    group.add_argument("--style-dim", type=positive, help="length of the latent")
    group.add_argument("--mapping-layers", type=positive, help="layers that map the latent")


def _add_loss_options(group: argparse._ArgumentGroup) -> None:
    def weight(name: str, default: float, loss: str) -> None:
        group.add_argument(
            name,
            type=not_negative,
            default=default,
            metavar="WEIGHT",
            help=f"weight of {loss} (default {default:g})",
        )

    weight("--ssim-weight", 0.1, "1 − SSIM of the luma")
    weight("--sharpness-weight", 0, "the difference in mean gradient, in boxes of 8 px")
    group.add_argument(
        "--teacher",
        metavar="WEIGHTS",
        help="L1 and SSIM compare with the faces that this network restores, not with the clean "
        "ones, so that the new network learns to do the same; a file or a name that `gpen models` "
        "lists",
    )
    group.add_argument(
        "--sharpen-targets",
        type=not_negative,
        default=0.0,
        metavar="AMOUNT",
        help="amount of an unsharp mask (luma, σ 0.7 px) on the faces that L1 and SSIM compare "
        "with (default 0)",
    )
    group.add_argument(
        "--sharpness-limit",
        type=not_negative,
        default=1.0,
        metavar="FACTOR",
        help="with --teacher and --sharpen-targets: how many times as sharp as the clean faces the "
        "targets may become (default 1)",
    )
    weight("--adversarial-weight", 0, "the logistic loss against a discriminator")
    weight("--feature-weight", 0, "the difference in the discriminator's features")
    group.add_argument(
        "--perceptual",
        type=Path,
        metavar="FILE",
        help="also compare the features of this VGG: torchvision's vgg16-397923af.pth, or its "
        "vgg11, vgg13 or vgg19",
    )
    weight("--perceptual-weight", 0.1, "the difference in the VGG's features")
    group.add_argument(
        "--discriminator",
        type=Path,
        metavar="FILE",
        help="continue with this discriminator: a published …-D.pth, or the state.pt of another "
        "run (default: a fresh one)",
    )
    group.add_argument(
        "--discriminator-widths",
        type=widths,
        help="channels of the discriminator at 4, 8, 16 … SIZE px (default: those of the network)",
    )
    group.add_argument(
        "--discriminator-learning-rate",
        type=not_negative,
        default=2e-3,
        help="learning rate of the discriminator (default 0.002)",
    )
    group.add_argument(
        "--r1-weight",
        type=not_negative,
        default=1.0,
        help="γ of the R1 penalty γ/2·‖∇D‖², computed every 16 steps (default 1)",
    )


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--steps", type=positive, default=3000, help="total number of steps (default 3000)"
    )
    group.add_argument(
        "--batch-size", type=positive, default=16, help="faces per step (default 16)"
    )
    group.add_argument(
        "--learning-rate",
        type=not_negative,
        default=2e-3,
        help="learning rate; it falls to zero at the end (default 0.002)",
    )
    group.add_argument(
        "--decay",
        type=fraction,
        default=0.4,
        metavar="SHARE",
        help="share of the steps, at the end, over which the learning rate falls to zero "
        "(default 0.4)",
    )
    group.add_argument(
        "--ema-decay",
        type=fraction,
        default=0.998,
        help="decay of the running mean of the weights, which is exported; for a few hundred steps "
        "try 0.99 (default 0.998)",
    )
    group.add_argument(
        "--optimizer",
        choices=("adam", "muon"),
        default="adam",
        help="muon: Muon for convolutions and Adam for all else; in as many steps our small "
        "networks learned more with it, at the same learning rate (default adam)",
    )
    group.add_argument(
        "--degradation",
        help=f"how to degrade the faces: {', '.join(DEGRADATIONS)} (default: paper; traces for "
        "--task colorize and inpaint)",
    )
    group.add_argument(
        "--task",
        choices=(RESTORE, COLORIZE, INPAINT),
        default=RESTORE,
        help="colorize: the input is grey; inpaint: the input has white holes (default restore)",
    )
    group.add_argument("--seed", type=int, default=0, help="seed of every random draw (default 0)")
    group.add_argument(
        "--minutes", type=float, help="stop after this long; repeat the command to resume"
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="threads that draw and degrade the faces of the next steps; they do not change the "
        "result (default: up to 4 with cuda, otherwise 0: each step makes its faces)",
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
        help="steps whose mean losses make a line of OUT/losses.tsv (default 50)",
    )
    group.add_argument(
        "--sample-every",
        type=positive,
        default=500,
        metavar="STEPS",
        help="steps after which some faces are restored into OUT/samples and scored in "
        "OUT/scores.tsv (default 500)",
    )
    group.add_argument(
        "--samples",
        type=count,
        default=8,
        metavar="N",
        help="number of these faces; 0 is none (default 8)",
    )
    group.add_argument(
        "--sample-split",
        metavar="SPLIT",
        help="take them from this split of INDEX.tsv (default: from the training faces)",
    )
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write OUT/tensorboard (needs the extra `train`)",
    )
