"""Choose a path for the result of each input file of a command."""

from __future__ import annotations

import os
import sys
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import GPENError
from ..files import exists
from ..names import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from .inputs import Problem, find_inputs, identify, identify_below, is_below
from .targets import append_ending, is_single, make_writable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class FileOptions(Protocol):
    """The options of a command that reads and writes image files."""

    inputs: list[str]
    output: Path
    overwrite: bool
    skip_existing: bool
    ext: str | None
    strict: bool
    allow_large: bool
    json: bool


class AnyJob(Protocol):
    """One input and its result, by path or URL: a `Job` or a `UrlJob`."""

    @property
    def source(self) -> Path | Name:
        """The input."""
        ...

    @property
    def target(self) -> Path | Name:
        """The result."""
        ...

    @property
    def is_film(self) -> bool:
        """Whether the input is a film by its name."""
        ...


class Name(str):
    """A path or URL, with the name of its file as a path has it."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The part after the last slash."""
        return self.replace(os.sep, "/").rpartition("/")[2]


@dataclass(frozen=True)
class Job:
    """One input file and the paths of its results.

    Attributes:
        source: the input.
        root: the folder of all results.
        place: the place of the result in it.
        number: the input's index among all inputs, from 0.
    """

    source: Path
    root: Path
    place: Path
    number: int

    @property
    def is_film(self) -> bool:
        """Whether the input is a film by its name."""
        return self.source.suffix.lower() in VIDEO_SUFFIXES

    @property
    def sidecar(self) -> Path:
        """The path of the JSON beside the result."""
        return append_ending(self.target, ".json")

    def report_path(self, folder: Path, ending: str) -> Path:
        """Return the path of a report in the folder of reports; `ending` is ".html" or such."""
        return append_ending(folder / self.place, ending)

    @property
    def target(self) -> Path:
        """The path of the result."""
        return self.root / self.place

    @property
    def comparison(self) -> Path:
        """The path of the picture of before | after."""
        return self.root / "compare" / append_ending(self.place, ".jpg")

    @property
    def crop_stem(self) -> Path:
        """The path of its restored faces without "-1.png", "-2.png" …; see `crop_path`."""
        return self.root / "faces" / self.place

    def crop_path(self, number: int) -> Path:
        """Return the path of the restored face of that number, from 1."""
        return append_ending(self.crop_stem, f"-{number}.png")


def plan_from_options(
    options: FileOptions, extras: Sequence[str] = (), *, films: bool = False
) -> tuple[list[Job], list[Problem]]:
    """Plan the jobs that a command's options ask for.

    Returns:
        The jobs, and the files or patterns that failed already or are skipped.

    Raises:
        GPENError: options contradict each other, or `plan_jobs` raises it.
    """
    if options.overwrite and options.skip_existing:
        raise GPENError("--overwrite and --skip-existing contradict each other. Leave one out.")
    return plan_jobs(
        options.inputs,
        options.output,
        overwrite=options.overwrite,
        extras=extras,
        skip_existing=options.skip_existing,
        suffix=options.ext,
        films=films,
    )


def plan_jobs(
    inputs: Sequence[str],
    output: Path,
    *,
    overwrite: bool,
    extras: Sequence[str] = (),
    skip_existing: bool = False,
    suffix: str | None = None,
    films: bool = False,
) -> tuple[list[Job], list[Problem]]:
    """Find the files that `inputs` mean and choose a path for each result.

    Args:
        inputs: files, folders (searched in depth) and patterns (shells on Windows do not expand
            them).
        output: a file if there is one input file, else a folder, which need not exist. A file in an
            input folder keeps its place below that folder.
        overwrite: results may replace existing files, but never an input.
        extras: which of the folders "compare" and "faces" are written beside the results. No input
            and no result may lie in them.
        skip_existing: leave out files whose result exists.
        suffix: the suffix of all results in a folder, such as ".png"; None keeps the inputs'.
            Films keep theirs.
        films: take films, too.

    Raises:
        GPENError: `output` is not a possible file or folder for these inputs, or an input lies in
            a folder of `extras`.
    """
    single = is_single(inputs, output, films=films)
    if single and suffix and output.suffix.lower() != suffix:
        raise GPENError(f"-o {output} and --ext {suffix} name two kinds. Leave out --ext.")
    suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES if films else IMAGE_SUFFIXES
    matches, problems = find_inputs(inputs, output, suffixes)
    root = output.parent if single else output
    known: dict[str, str] = {}
    paths = _Paths(
        inputs={identify_below(source, known): source for source, _ in reversed(matches)},
        extras={identify(root / name): root / name for name in extras},
        overwrite=overwrite or skip_existing,
    )
    paths.refuse_inputs_in_extras()
    jobs = []
    for number, (source, place) in enumerate(_drop_repeated(matches)):
        place = Path(output.name) if single else make_writable(place, suffix)
        jobs.append(Job(source, root, place, number))
    targets = [identify_below(job.target, known) for job in jobs]
    paths.find_rivals(jobs, targets)
    allowed = []
    for job, target in zip(jobs, targets, strict=True):
        name = str(job.source)
        if reason := paths.refuse(job, target):
            problems.append(Problem(name, reason))
        elif skip_existing and exists(job.target):
            problems.append(Problem(name, f"{job.target} exists, skipped", is_skipped=True))
        else:
            allowed.append(job)
    return allowed, problems


@dataclass
class _Paths:
    """The paths that are taken, so that no result replaces an input or another result.

    Attributes:
        inputs: every input by its identity: links are followed.
        extras: folders for other results, by their identity.
        overwrite: results may replace existing files.
        results: the first source of each result, by `_fold_case` of the result's identity.
        rivals: all sources of a result that has several.
    """

    inputs: dict[str, Path]
    extras: dict[str, Path]
    overwrite: bool
    results: dict[str, Path] = field(default_factory=dict)
    rivals: dict[str, list[Path]] = field(default_factory=dict)

    def find_rivals(self, jobs: Sequence[Job], targets: Sequence[str]) -> None:
        """Note the jobs that would write one file: none of them is done, whichever came first.

        Args:
            jobs: the jobs.
            targets: the identities of their results.
        """
        for job, target in zip(jobs, map(_fold_case, targets), strict=True):
            first = self.results.setdefault(target, job.source)
            if first is not job.source:
                self.rivals.setdefault(target, [first]).append(job.source)

    def refuse_inputs_in_extras(self) -> None:
        for identity, source in self.inputs.items():
            if folder := self._find_extra(identity):
                raise GPENError(
                    f"{source} is an input and lies in {folder}, where it could be replaced. Name "
                    "another output folder."
                )

    def refuse(self, job: Job, target: str) -> str | None:
        """Return the reason if the result of a job cannot be written; `target` identifies it."""
        if target in self.inputs:
            return f"the result would replace {self.inputs[target]}, which is an input"
        if folder := self._find_extra(target):
            return (
                f"the result would lie in {folder}, where other results go; restore it into "
                "another folder"
            )
        others = [path for path in self.rivals.get(_fold_case(target), []) if path != job.source]
        if others:
            return (
                f"the result would have the path of that of {', '.join(map(str, others))}: "
                f"{job.target}. Neither is done; restore them into two folders"
            )
        if exists(job.target) and not self.overwrite:
            return f"{job.target} exists; pass --overwrite to replace it"
        return None

    def _find_extra(self, identity: str) -> Path | None:
        """Find the folder of extras in which a file lies."""
        below = (path for folder, path in self.extras.items() if is_below(identity, folder))
        return next(below, None)


def _drop_repeated(matches: Sequence[tuple[Path, Path]]) -> Iterator[tuple[Path, Path]]:
    """Yield each source once. A link and its target are two sources: their names differ."""
    seen = set()
    for source, place in matches:
        name = os.path.normcase(os.path.abspath(source))  # noqa: PTH100  resolves "..", not links
        if name not in seen:
            seen.add(name)
            yield source, place


def _fold_case(identity: str) -> str:
    """Return a string that is equal for names that Windows and macOS do not distinguish."""
    if sys.platform not in ("win32", "darwin"):
        return identity
    return unicodedata.normalize("NFC", identity).casefold()
