"""Jobs whose input or result is a URL: planned by name, done in a folder of this machine."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from .. import urls
from ..errors import GPENError, ImageError
from ..names import IMAGE_SUFFIXES, WRITABLE
from .inputs import Problem, find_inputs
from .jobs import Job, Name, plan_from_options, plan_jobs
from .targets import make_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .restore_options import RestoreOptions
    from .restorer import Restorer
    from .running import OnJobProgress, Outcome


@dataclass(frozen=True)
class UrlJob:
    """An input and the place of its result, of which one or both are URLs; see `Job`."""

    source: Name
    root: str
    place: str
    number: int

    @property
    def is_film(self) -> bool:
        """Films have no URLs."""
        return False

    @property
    def target(self) -> Name:
        """The path or URL of the result."""
        return Name(f"{self.root.rstrip('/')}/{self.place}")


class TakeOutput(argparse.Action):
    """Takes `-o`: a path, or a URL, which goes to `output_url`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        name = urls.strip_file_scheme(values)
        namespace.output = Path(name)
        namespace.output_url = name if urls.is_url(name) else None


def plan_any(
    args: RestoreOptions, extras: Sequence[str], *, overwrite: bool = False
) -> tuple[Sequence[Job | UrlJob], list[Problem]]:
    """Plan the jobs that the options ask for, by path or URL.

    Args:
        args: the options.
        extras: see `plan_jobs`.
        overwrite: results may replace files without --overwrite.

    Raises:
        GPENError: see `plan_from_options` and `plan_urls`.
    """
    args.inputs = [urls.strip_file_scheme(word) for word in args.inputs]
    if args.output_url is not None or any(map(urls.is_url, args.inputs)):
        return plan_urls(args, overwrite=overwrite or args.overwrite)
    if not overwrite:
        return plan_from_options(args, extras, films=True)
    output = args.output.absolute()
    return plan_jobs(
        args.inputs, output, overwrite=True, extras=extras, suffix=args.ext, films=True
    )


def plan_urls(args: RestoreOptions, *, overwrite: bool) -> tuple[list[UrlJob], list[Problem]]:
    """Plan the jobs that the options ask for, with URLs among them.

    Args:
        args: the options.
        overwrite: results may replace files.

    Returns:
        The jobs, and the files that failed already or are skipped.

    Raises:
        GPENError: an option has no effect with URLs, or a store cannot be reached.
    """
    _refuse_unused(args)
    output = args.output_url or str(args.output.absolute())
    matches, problems = _find_inputs(args, output)
    root, place, is_single = _choose_root(args, output)
    jobs = [
        UrlJob(Name(source), root, place if is_single else _make_place(below, args.ext), number)
        for number, (source, below) in enumerate(dict(matches).items())
    ]
    counts = Counter(job.target for job in jobs)
    sources = {str(job.source) for job in jobs}
    allowed = []
    for job in jobs:
        if counts[job.target] > 1:
            rivals = [str(other.source) for other in jobs if other.target == job.target]
            reason = f"{job.target} would be the result of each of {', '.join(rivals)}"
            problems.append(Problem(str(job.source), f"{reason}; restore them into two folders"))
        elif str(job.target) in sources:
            problems.append(Problem(str(job.source), "the result would replace an input"))
        elif not overwrite and urls.find_length(job.target) is not None:
            skip = args.skip_existing
            mend = "exists, skipped" if skip else "exists; pass --overwrite to replace it"
            problems.append(Problem(str(job.source), f"{job.target} {mend}", is_skipped=skip))
        else:
            allowed.append(job)
    return allowed, problems


def _refuse_unused(args: RestoreOptions) -> None:
    if args.overwrite and args.skip_existing:
        raise GPENError("--overwrite and --skip-existing contradict each other. Leave one out.")
    for name in ("save_faces", "compare") if args.output_url else ():
        if getattr(args, name):
            raise GPENError(
                f"--{name.replace('_', '-')} writes files beside the result, which belong together "
                f"and cannot be written to {args.output_url} at once. Leave it out, or restore "
                "into a folder."
            )
    for name in ("report", "sidecar"):
        if getattr(args, name):
            raise GPENError(
                f"--{name} has no effect on files behind URLs. Leave it out, or copy them first."
            )


def _find_inputs(args: RestoreOptions, output: str) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Return each input's path or URL with its place below the output, and the problems."""
    matches: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for word in args.inputs:
        if not urls.is_url(word):
            found, bad = find_inputs([word], args.output)
            matches += [(str(path.absolute()), place.as_posix()) for path, place in found]
            problems += bad
            continue
        inside = f"{output.rstrip('/')}/"
        some = [
            (url, place)
            for url, place in _expand(word)
            if PurePosixPath(place).suffix.lower() in IMAGE_SUFFIXES and not url.startswith(inside)
        ]
        matches += some
        if not some:
            problems.append(
                Problem(word, "no image is there. Films are restored from and to local files only")
            )
    return matches, problems


def _expand(word: str) -> Iterator[tuple[str, str]]:
    """Yield the files that a URL means, and their places below it."""
    # Without the name of an image it is a folder, for which S3 may hold an empty file.
    is_image = PurePosixPath(word).suffix.lower() in IMAGE_SUFFIXES
    single = urls.find_file(word) if is_image and not urls.is_pattern(word) else None
    if single is not None:
        yield single.url, single.url.rpartition("/")[2]
        return
    fixed = word
    while urls.is_pattern(fixed):
        fixed = fixed.rpartition("/")[0]
    start = len(fixed.rstrip("/")) + 1
    for file in urls.list_files(word):
        place = file.url[start:]
        if not any(part.startswith(".") for part in place.split("/")):
            yield file.url, place


def _choose_root(args: RestoreOptions, output: str) -> tuple[str, str, bool]:
    """Return the folder of the results, the result's name, and whether there is only one."""
    suffix = PurePosixPath(output).suffix.lower()
    if suffix not in IMAGE_SUFFIXES or (not args.output_url and args.output.is_dir()):
        return output, "", False
    if len(args.inputs) != 1 or PurePosixPath(args.inputs[0]).suffix.lower() not in IMAGE_SUFFIXES:
        raise GPENError(f"-o {output} names an image file, but the input is not a single file.")
    if suffix not in WRITABLE:
        raise GPENError(f"-o {output}: {suffix} is not written. Name one of {' '.join(WRITABLE)}.")
    folder, _, name = Name(output).replace(os.sep, "/").rpartition("/")
    return folder, name, True


def _make_place(place: str, suffix: str | None) -> str:
    return make_writable(Path(place), suffix).as_posix()


class AnyRestorer:
    """Restores files by path or URL. Those behind URLs pass through a folder of this machine.

    Args:
        restorer: restores files by path; it sends notices to `names`.
        names: the names of files as the user knows them.
    """

    def __init__(self, restorer: Restorer, names: Names) -> None:
        self._restorer, self._names = restorer, names

    @classmethod
    def load(cls, options: RestoreOptions, on_notice: Callable[[str, str], None]) -> AnyRestorer:
        """Load the networks that the options name; see `Restorer.load`."""
        from .restorer import Restorer  # imports PyTorch

        names = Names(on_notice)
        return cls(Restorer.load(options, names.notify), names)

    def replacing(self) -> AnyRestorer:
        """Return one with the same networks that replaces existing results."""
        return AnyRestorer(self._restorer.replacing(), self._names)

    def restore(self, job: Job | UrlJob, on_progress: OnJobProgress) -> Outcome:
        """Restore a file; see `Restorer.restore`."""
        if isinstance(job, Job):
            return self._restorer.restore(job, on_progress)
        with tempfile.TemporaryDirectory(prefix="gpen-") as folder:
            local = _bring(job, Path(folder))
            self._names.known = {str(local.source): job.source, str(local.target): job.target}
            try:
                outcome = self._restorer.restore(local, on_progress)
            except GPENError as error:
                raise ImageError(self._names.replace(str(error))) from error
            if urls.is_url(job.root):
                if not self._restorer.options.overwrite:
                    _refuse_existing(job)
                urls.write(job.target, local.target.read_bytes())
            return outcome._replace(text=self._names.replace(outcome.text))


class Names:
    """Passes notices on with the names that the user knows.

    Attributes:
        known: the user's names by those of this machine.
    """

    def __init__(self, on_notice: Callable[[str, str], None]) -> None:
        self._on_notice = on_notice
        self.known: dict[str, str] = {}

    def notify(self, name: str, message: str) -> None:
        """Tell the user something of a file."""
        self._on_notice(self.replace(name), self.replace(message))

    def replace(self, text: str) -> str:
        """Replace the names of this machine."""
        for here, name in self.known.items():
            text = text.replace(here, name)
        return text


def _bring(job: UrlJob, folder: Path) -> Job:
    """Fetch an input; return the job with paths of this machine."""
    source, root = Path(job.source), Path(job.root)
    if urls.is_url(job.source):
        source = folder / f"input{PurePosixPath(job.source).suffix}"
        source.write_bytes(urls.read(job.source))
    if urls.is_url(job.root):
        root = folder / "out"
    return Job(source, root, Path(job.place), job.number)


def _refuse_existing(job: UrlJob) -> None:
    if urls.find_length(job.target) is not None:
        raise ImageError(f"{job.target} exists; pass --overwrite to replace it.")
