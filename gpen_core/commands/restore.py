"""`gpen restore`: image files in, image files with restored faces out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GPENError
from ..names import AUTO, DETECTORS, TEMPLATES
from .arguments import fraction, named, not_negative, positive, reason_of
from .jobs import plan

if TYPE_CHECKING:
    from tqdm import tqdm

    from .jobs import Job
    from .restorer import Restorer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `gpen restore`."""
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="image files, folders or patterns such as *.jpg"
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", type=Path, required=True,
        help="a file for one input file, else a folder, which keeps the inputs' names and folders",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")

    model = parser.add_argument_group("model")
    model.add_argument(
        "--model", metavar="FILE", default="builtin",
        help="a checkpoint, or a name of `gpen models` (default: the built-in one)",
    )  # fmt: skip
    model.add_argument(
        "--size", metavar="PX", type=int, help="fail unless the model restores at this size"
    )
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    model.add_argument("--dtype", default="auto", help="auto, fp32, bf16, fp16")
    model.add_argument(
        "--batch-size", metavar="N", type=positive, help="faces per pass (default: what fits)"
    )

    find = parser.add_argument_group("finding faces")
    find.add_argument("--detector", choices=(AUTO, *DETECTORS), default=AUTO)
    find.add_argument("--detector-weights", metavar="FILE", help="the detector's file")
    find.add_argument(
        "--threshold", metavar="0…1", type=fraction, help="lowest score (default: the detector's)"
    )
    find.add_argument(
        "--min-size", metavar="PX", type=not_negative, default=0, help="leave out smaller faces"
    )
    find.add_argument(
        "--max-faces", metavar="N", type=positive, help="at most so many faces in an image"
    )
    find.add_argument("--template", choices=TEMPLATES, default="gpen", help="how faces are cut")
    find.add_argument(
        "--aligned", action="store_true",
        help="each input is one aligned square face; the output has the model's size",
    )  # fmt: skip

    result = parser.add_argument_group("result")
    result.add_argument(
        "--strength", metavar="0…1", type=fraction, default=1.0,
        help="how much of the restored face to take; the rest is the photograph (default: 1)",
    )  # fmt: skip
    result.add_argument(
        "--detail", metavar="auto|0…1", type=_detail, default="auto",
        help="how much of the photograph's detail finer than the crop to keep",
    )  # fmt: skip
    result.add_argument(
        "--feather", metavar="0…0.5", type=_feather,
        help="width of the soft edge, as a share of the crop's side (default: 0.15)",
    )  # fmt: skip
    result.add_argument(
        "--scale", type=int, choices=(1, 2, 4), default=1, help="enlarge the image (default: 1)"
    )
    result.add_argument(
        "--upscaler", metavar="FILE",
        help="enlarge the background with this model (needs spandrel) instead of bicubic",
    )  # fmt: skip
    result.add_argument(
        "--save-faces", action="store_true", help="write each restored face too, into OUT/faces"
    )
    result.add_argument(
        "--compare", action="store_true", help="write before | after too, into OUT/compare"
    )


def run(args: argparse.Namespace) -> int:
    """Restore every file; report those that fail and go on."""
    from tqdm import tqdm

    if args.aligned:
        _refuse_unused(args)
    if args.upscaler and args.scale == 1:
        raise GPENError("--upscaler enlarges nothing without --scale 2 or --scale 4.")
    folders = {"compare": args.compare, "faces": args.save_faces}
    extras = [name for name, filled in folders.items() if filled]
    jobs, problems = plan(args.inputs, args.output, overwrite=args.overwrite, extras=extras)
    for problem in problems:
        _report(problem.name, problem.reason)
    failed = len(problems)
    if jobs:
        from .restorer import Restorer  # loads PyTorch

        restorer = Restorer.load(args)
        layout = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"
        with tqdm(total=len(jobs), disable=None, bar_format=layout) as bar:
            for number, job in enumerate(jobs):
                failed += not _attempt(restorer, job, bar, number)
                bar.update(number + 1 - bar.n)
    total = len(jobs) + len(problems)
    if failed:
        print(f"gpen: {failed} of {total} failed, {total - failed} done.", file=sys.stderr)
    return 1 if failed else 0


def _refuse_unused(args: argparse.Namespace) -> None:
    """Raise for an option that does nothing where each input is a face."""
    unused = {
        "scale": 1, "save_faces": False, "detector": "auto", "detector_weights": None,
        "threshold": None, "min_size": 0, "max_faces": None, "template": "gpen", "detail": "auto",
        "feather": None,
    }  # fmt: skip
    given = [name for name, default in unused.items() if getattr(args, name) != default]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise GPENError(
            "--aligned restores each input as it is, at the model's own size; nothing is found, "
            f"cut or pasted. Leave out: {options}."
        )


def _attempt(restorer: Restorer, job: Job, bar: tqdm, number: int) -> bool:
    def on_progress(done: int, total: int) -> None:
        bar.set_postfix_str(f"{job.source.name}: face {done} of {total}", refresh=False)
        bar.update(number + done / total - bar.n)

    try:
        outcome = restorer.restore(job, on_progress)
    except Exception as error:
        reason = reason_of(error, out_of_memory="try a smaller --scale or --device cpu")
        if reason is None:
            raise
        _report(str(job.source), reason)
        return False
    bar.write(f"{job.source} → {job.target}: {outcome}", file=sys.stdout)
    return True


def _report(name: str, reason: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"gpen: {named(name, reason)}", file=sys.stderr)


def _feather(text: str) -> float:
    value = fraction(text)
    if not 0 < value <= 0.5:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 0.5, found {text}")
    return value


def _detail(text: str) -> float | str:
    return text if text == "auto" else fraction(text)
