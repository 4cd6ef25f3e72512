"""`gpen degrade`: writes blurred, small, noisy and compressed copies of image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..names import DEGRADATIONS
from .arguments import add_file_options, fraction, positive
from .jobs import FileOptions, plan_from_options
from .running import Outcome, report, run_jobs

if TYPE_CHECKING:
    import argparse

    from ..progress import OnProgress
    from .jobs import Job


class DegradeOptions(FileOptions, Protocol):
    """The options of `gpen degrade`, as `add_arguments` defines them."""

    seed: int
    preset: str
    strength: float
    face_size: int | None
    device: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `gpen degrade`."""
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="image files, folders or patterns such as *.jpg"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        required=True,
        help="a file for a single input file, else a folder; .png loses nothing",
    )
    add_file_options(parser)
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the random draws, which also depend on an input's number (default 0)",
    )
    parser.add_argument(
        "--preset",
        default="paper",
        metavar="NAME",
        help=f"how to degrade: {', '.join(DEGRADATIONS)} (default paper)",
    )
    parser.add_argument(
        "--strength",
        type=fraction,
        default=1.0,
        metavar="0…1",
        help="strength of the preset; 0 changes nothing (default 1)",
    )
    parser.add_argument(
        "--face-size",
        type=positive,
        metavar="PX",
        help="side of the faces in the images; blurs are scaled by it (default: each image is one "
        "face)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")


def run(args: DegradeOptions) -> int:
    """Degrade every file, report those that fail, and return the exit code."""
    from ..degradation.degrade import degrade
    from ..degradation.presets import find_preset
    from ..devices import resolve_device
    from .image_files import ImageFiles

    degradation = find_preset(args.preset).weakened(args.strength)
    device = resolve_device(args.device)
    files = ImageFiles(args, report)

    def degrade_job(job: Job, _: OnProgress) -> Outcome:
        picture = files.read(job)
        degraded = degrade(
            picture.pixels.to(device),
            seed=args.seed,
            degradation=degradation,
            face_size=args.face_size,
            first=job.number,
        )
        job.target.parent.mkdir(parents=True, exist_ok=True)
        files.write(job, picture.with_pixels(degraded.cpu()))
        return Outcome("degraded")

    jobs, problems = plan_from_options(args)
    advice = "try a smaller image or --face-size"
    return run_jobs(jobs, problems, lambda: degrade_job, as_json=args.json, advice=advice)
