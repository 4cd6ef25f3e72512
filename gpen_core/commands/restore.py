"""`gpen restore`: restore the faces in image files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GPENError
from ..names import AUTO, COLOURS, DTYPES, ENGINES, MASK_KINDS
from .arguments import add_file_options, fraction, positive
from .batch_options import RAY, ChooseEngine, add_batch_options, check_batch_options, is_batch
from .find_options import FIND_DEFAULTS, add_find_options
from .mask_options import add_mask_options, check_mask_options
from .pasting_options import add_pasting_options
from .running import report, run_jobs
from .url_jobs import AnyRestorer, TakeOutput, plan_any
from .video_options import add_video_options, check_video_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .restore_options import RestoreOptions
    from .running import Work


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen restore`."""
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+",
        help="image files, films, folders or patterns such as *.jpg",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="OUT", action=TakeOutput, required=True,
        help="a file if there is one input file, else a folder: results keep the names and "
        "subfolders of the inputs",
    )  # fmt: skip
    parser.set_defaults(output_url=None)
    add_file_options(parser)
    add_model_options(parser, clusters=[RAY])
    find = add_find_options(parser)
    find.add_argument(
        "--aligned", action="store_true",
        help="each input is one aligned square face; the result has the size of the model",
    )  # fmt: skip
    _add_result_options(parser)
    add_batch_options(parser)
    add_video_options(parser)


def add_model_options(
    parser: argparse.ArgumentParser, default: str = "builtin", clusters: Sequence[str] = ()
) -> None:
    """Add the options that choose a model, and how it computes; `clusters` are other engines."""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model", metavar="FILE", default=default,
        help=f"a checkpoint file, or a name that `gpen models` lists (default: {default}). Files "
        "of GFPGAN, CodeFormer and RestoreFormer restore, too, if spandrel is installed",
    )  # fmt: skip
    model.add_argument(
        "--size", metavar="PX", type=int,
        help="stop unless the model restores faces at this size",
    )  # fmt: skip
    model.add_argument(
        "--device", default=AUTO, help="auto, cpu, cuda, cuda:1 or mps (default: auto)"
    )
    model.add_argument(
        "--dtype", default=AUTO, help=f"{', '.join((AUTO, *DTYPES))} (default: auto)"
    )
    model.add_argument(
        "--engine", choices=(AUTO, *ENGINES, *clusters), default=AUTO, action=ChooseEngine,
        help="what runs an ONNX file: gpen, this program's network, or onnxruntime, which is "
        "slower (default: auto, gpen where it can read the file)"
        f"{'; besides, ray: spread the files over a Ray cluster' if clusters else ''}",
    )  # fmt: skip
    model.add_argument(
        "--no-verify",
        action="store_true",
        help="do not compare an ONNX file with ONNX Runtime once, at its first use",
    )
    model.add_argument(
        "--batch-size", metavar="N", type=positive,
        help="faces per forward pass (default: as many as fit on a GPU, 1 on a CPU)",
    )  # fmt: skip
    model.add_argument(
        "--fidelity", metavar="0…1", type=fraction,
        help="for CodeFormer only: 0 draws the cleanest face, 1 stays closest to the photograph "
        "(default: 0.5)",
    )  # fmt: skip


def _add_result_options(parser: argparse.ArgumentParser) -> None:
    result = parser.add_argument_group("result")
    result.add_argument(
        "--strength", metavar="0…1", type=fraction, default=1.0,
        help="opacity of the restored face over the photograph (default: 1)",
    )  # fmt: skip
    result.add_argument(
        "--strengths", metavar="0…1,0…1,…", type=_parse_strengths,
        help="one strength for each face instead, such as 1,0.5, in the order of the faces that "
        "--save-faces numbers",
    )  # fmt: skip
    result.add_argument(
        "--detail", metavar="auto|0…1", type=_parse_detail, default=AUTO,
        help="how much detail of the photograph that is finer than the crop to keep (default: "
        "auto, which keeps detail and drops noise)",
    )  # fmt: skip
    result.add_argument(
        "--colour", choices=COLOURS, default=COLOURS[0],
        help="match: a restored face has the colours of the photograph; grey: those that the "
        "network painted, but a grey face stays grey; keep: those that the network painted "
        "(default: match)",
    )  # fmt: skip
    result.add_argument(
        "--feather", metavar="0…0.5", type=_parse_feather,
        help="width of the soft edge as a part of the crop's side (default: 0.15)",
    )  # fmt: skip
    add_mask_options(result)
    add_pasting_options(result)
    result.add_argument(
        "--scale", type=int, choices=(1, 2, 4), default=1, help="enlarge the image (default: 1)"
    )
    result.add_argument(
        "--upscaler", metavar="FILE",
        help="enlarge the background with this model instead of bicubic interpolation (needs "
        "spandrel)",
    )  # fmt: skip
    result.add_argument(
        "--find-in", choices=("photograph", "background"), default="photograph",
        help="find and cut the faces in the photograph, or in the background after it was enlarged "
        "(default: photograph)",
    )  # fmt: skip
    result.add_argument(
        "--save-faces", action="store_true", help="also write each restored face to OUT/faces"
    )
    result.add_argument(
        "--compare", action="store_true", help="also write before | after to OUT/compare"
    )
    result.add_argument(
        "--report", metavar="DIR", type=Path,
        help="also write to DIR what was done to each face, and how much of it the network made "
        "up: a page and its figures (JSON) for each image",
    )  # fmt: skip
    result.add_argument(
        "--sidecar", action="store_true",
        help="also write a JSON file beside each result: model, options and the same figures",
    )  # fmt: skip


def run(args: RestoreOptions) -> int:
    """Restore every file, report those that fail, and return the exit code."""
    extras = check_options(args)
    if is_batch(args):
        from .batch import run_batch

        return run_batch(args, extras)
    jobs, problems = plan_any(args, extras)
    check_video_options(args, jobs)

    def load() -> Work:
        return AnyRestorer.load(args, report).restore

    return run_jobs(jobs, problems, load, as_json=args.json)


def check_options(args: RestoreOptions) -> list[str]:
    """Return which folders are written beside the results.

    Raises:
        GPENError: options contradict each other or have no effect.
    """
    if args.aligned:
        _refuse_unused(args)
    if args.find_in == "background" and args.scale == 1 and not args.upscaler:
        raise GPENError(
            "--find-in background needs a background: add --scale 2, --scale 4 or --upscaler."
        )
    check_mask_options(args)
    check_batch_options(args)
    folders = {"compare": args.compare, "faces": args.save_faces}
    return [name for name, asked in folders.items() if asked]


def _refuse_unused(args: RestoreOptions) -> None:
    """Raise GPENError for options that have no effect together with --aligned."""
    unused = {
        **FIND_DEFAULTS, "scale": 1, "save_faces": False, "detail": AUTO, "feather": None,
        "strengths": None, "upscaler": None, "find_in": "photograph", "mask_kind": MASK_KINDS[0],
        "regions": None, "parser": None, "report": None, "sidecar": False, "grain": 0.0,
    }  # fmt: skip
    given = [name for name, default in unused.items() if getattr(args, name) != default]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise GPENError(
            "--aligned restores each input as one face at the model's size; nothing is found, cut "
            f"or pasted. Leave out: {options}."
        )


def _parse_strengths(text: str) -> list[float] | None:
    from ..pasting.options import parse_strengths  # imports PyTorch

    try:
        return parse_strengths(text)
    except GPENError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parse_feather(text: str) -> float:
    value = fraction(text)
    if not 0 < value <= 0.5:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 0.5, found {text}")
    return value


def _parse_detail(text: str) -> float | str:
    return text if text == AUTO else fraction(text)
