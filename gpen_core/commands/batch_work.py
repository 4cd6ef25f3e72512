"""What a worker of a batch does: it loads the networks once and restores files.

A worker's process imports this module before PyTorch, so it imports nothing heavy by itself.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..batch.local import PLACE_VARIABLE
from ..batch.work import DONE, Result, Task
from ..urls import find_length, is_url
from .jobs import Job, Name
from .running import do_task
from .url_jobs import AnyRestorer, UrlJob

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..batch.work import Work
    from .restore_options import RestoreOptions


def pack_job(job: Job | UrlJob) -> tuple[str, str, str, int]:
    """Turn a job into values that JSON can hold. A worker may run in another folder."""
    return make_absolute(job.source), make_absolute(job.root), str(job.place), job.number


def make_absolute(name: str | os.PathLike[str]) -> str:
    """Return an absolute path; a URL stays itself. Links are not followed."""
    text = os.fspath(name)
    return text if is_url(text) else os.path.abspath(text)  # noqa: PTH100


def unpack_job(payload: Sequence[Any]) -> Job | UrlJob:
    """Undo `pack_job`."""
    source, root, place, number = payload
    if is_url(source) or is_url(root):
        return UrlJob(Name(source), root, place, number)
    return Job(Path(source), Path(root), Path(place), number)


def load_work(options: Mapping[str, Any], places: Mapping[str, str] | None = None) -> Work:
    """Load the networks that the options of `gpen restore` name; return what restores a file.

    Args:
        options: the options.
        places: the paths of copies of some files that they name.

    Raises:
        GPENError: a network cannot be loaded.
    """
    notices: list[tuple[str, str]] = []
    args = _unpack_options(options, places)
    restorer = AnyRestorer.load(args, lambda name, message: notices.append((name, message)))
    replacing = restorer.replacing()

    def work(task: Task) -> Result:
        chosen = replacing if task.again else restorer
        result = do_task(task, lambda: _restore(chosen, task))
        # The user knows the file by the name that the command line gave it.
        given, name = str(unpack_job(task.payload).source), task.source
        told = tuple((n.replace(given, name), text.replace(given, name)) for n, text in notices)
        notices.clear()
        return result._replace(notices=told, text=result.text.replace(given, name))

    return work


def load_segments(options: Mapping[str, Any], places: Mapping[str, str] | None = None) -> Work:
    """Load the networks that render films; return what renders a segment. See `load_work`."""
    from .film_segments import SegmentRenderer  # imports PyTorch and PyAV

    notices: list[tuple[str, str]] = []
    args = _unpack_options(options, places)
    renderer = SegmentRenderer(args, lambda name, message: notices.append((name, message)))

    def work(task: Task) -> Result:
        result = renderer.work(task)._replace(notices=tuple(notices))
        notices.clear()
        return result

    return work


def is_segment(payload: Any) -> bool:
    """Tell whether the payload of a task is for `load_segments`, not for `load_work`."""
    return isinstance(payload, dict)


def _unpack_options(options: Mapping[str, Any], places: Mapping[str, str] | None) -> RestoreOptions:
    moved = places or {}
    given = {n: moved.get(v, v) if isinstance(v, str) else v for n, v in options.items()}
    args: Any = argparse.Namespace(**given)
    args.device = _choose_device(args.device)
    return args


def _restore(restorer: AnyRestorer, task: Task) -> Result:
    job = unpack_job(task.payload)
    outcome = restorer.restore(job, lambda done, total, words=None, /: None)
    length = find_length(str(job.target))
    return Result(task.name, task.source, DONE, outcome.text, bytes=length, faces=outcome.faces)


def _choose_device(device: str) -> str:
    """Give each worker of a machine with several GPUs its own."""
    import torch

    count = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    place = os.environ.get(PLACE_VARIABLE, "")
    return f"cuda:{int(place) % count}" if count > 1 and place.isdecimal() else device
