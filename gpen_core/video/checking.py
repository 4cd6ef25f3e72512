"""Check everything about a film's job that can be checked before the work."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

from ..errors import GPENError, ImageError
from ..files import exists, is_folder
from ..names import RESTORE
from ..pipeline import check_choices
from ..restore import check_colour
from ..runner import check_task

if TYPE_CHECKING:
    from pathlib import Path

    from ..detectors import Detector
    from ..runner import Runner
    from .encoding import Encoding
    from .films import Film
    from .options import VideoOptions


def check_options(model: Runner, options: VideoOptions) -> None:
    """Raise the error of a verb that would refuse an option after a long search."""
    check_task(model, RESTORE)
    options.check()
    check_choices(model, options.template, options.max_faces, options.batch_size, 0)
    check_colour(options.colour)


def check_paths(source: Path, target: Path, options: VideoOptions) -> None:
    """Raise an error unless the source exists and the result may be written."""
    if not exists(source):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
    if not exists(target):
        return
    if os.path.samefile(source, target):  # noqa: PTH121
        raise ImageError(f"The result would replace {source}. Name another file.")
    if is_folder(target) and (not options.frames or any(target.iterdir())):
        raise ImageError(f"{target} is a folder that holds files. Name another.")
    if not is_folder(target) and (options.frames or not options.overwrite):
        mend = "Name a folder." if options.frames else "Pass --overwrite to replace it."
        raise ImageError(f"{target} exists. {mend}")


def check_space(film: Film, target: Path) -> None:
    """Raise GPENError if the disk surely does not suffice: parts and result, as large as before."""
    needed = 2 * film.path.stat().st_size
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise GPENError(
            f"{target} needs about {needed / 1e9:.1f} GB while it is made, and {free / 1e9:.1f} GB "
            "are free there. Name another disk, or make room."
        )


def describe_job(
    model: Runner, detector: Detector, film: Film, encoding: Encoding, options: VideoOptions,
    label: str,
) -> dict[str, str]:  # fmt: skip
    """Return everything that decides how the result looks, in words, for a later run."""
    stat = film.path.stat()
    paste = options.paste
    return {
        "film": str(film.path.absolute()),
        "size of the film": str(stat.st_size),
        "date of the film": str(stat.st_mtime_ns),
        "model": f"{label} {model.config.in_size} {model.config.out_size} {model.dtype}",
        "detector": f"{detector.name} {options.threshold} {options.min_size}",
        "--detect-every": str(options.detect_every),
        "--steady": str(options.steady),
        "--max-faces": str(options.max_faces),
        "--template": options.template,
        "--strength": str(paste.strength),
        "--detail": str(paste.detail),
        "--feather": str(paste.feather),
        "--mask-kind": f"{paste.mask_kind} {','.join(paste.regions)}",
        "--grain": str(paste.grain),
        "--colour": options.colour,
        "--codec": f"{encoding.encoder} {encoding.crf} {encoding.preset}",
        "--pix-fmt": encoding.layout.name,
        "part": f"{options.start} … {options.end}",
    }
