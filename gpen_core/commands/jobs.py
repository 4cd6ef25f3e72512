"""Choose a path for the result of each input file of a command."""

from __future__ import annotations

import glob
import hashlib
import os
import sys
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import GPENError
from ..files import exists, is_file, is_folder
from ..names import IMAGE_SUFFIXES, VIDEO_SUFFIXES, VIDEO_WRITABLE, WRITABLE
from .inputs import Problem, explain_no_match, find_inputs, identify, is_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LONGEST_NAME = 255  # bytes, in most file systems


class FileOptions(Protocol):
    """The options of a command that reads and writes image files."""

    inputs: list[str]
    output: Path
    overwrite: bool
    skip_existing: bool
    ext: str | None
    strict: bool
    allow_large: bool


class OnJobProgress(Protocol):
    """Called with how far a job is. It may raise to stop the work."""

    def __call__(self, done: int, total: int, words: str | None = None, /) -> None:
        """Take what is done of all, and say it in words; without them, faces are counted."""
        ...


@dataclass(frozen=True)
class Job:
    """One input file and the paths of its results.

    Attributes:
        source: the input.
        target: the output.
        comparison: the picture of before | after.
        crop_stem: the path of its restored faces without "-1.png", "-2.png" …; see `crop_path`.
        number: the input's index among all inputs, from 0.
    """

    source: Path
    target: Path
    comparison: Path
    crop_stem: Path
    number: int

    @property
    def is_film(self) -> bool:
        """Whether the input is a film by its name."""
        return self.source.suffix.lower() in VIDEO_SUFFIXES

    def crop_path(self, number: int) -> Path:
        """Return the path of the restored face of that number, from 1."""
        return _append(self.crop_stem, f"-{number}.png")


def plan_from_options(
    options: FileOptions, extras: Sequence[str] = (), *, films: bool = False
) -> tuple[list[Job], list[Problem]]:
    """Plan the jobs that a command's options ask for, and print how many files are skipped.

    Returns:
        The jobs, and the files or patterns that failed already. Skipped ones are in neither.

    Raises:
        GPENError: options contradict each other, or `plan_jobs` raises it.
    """
    if options.overwrite and options.skip_existing:
        raise GPENError("--overwrite and --skip-existing contradict each other. Leave one out.")
    jobs, problems = plan_jobs(
        options.inputs,
        options.output,
        overwrite=options.overwrite,
        extras=extras,
        skip_existing=options.skip_existing,
        suffix=options.ext,
        films=films,
    )
    failed = [problem for problem in problems if not problem.is_skipped]
    if len(failed) < len(problems):
        print(f"{len(problems) - len(failed)} skipped: their results exist.")
    return jobs, failed


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
    single = (films and _is_single_film(inputs, output)) or _is_single(inputs, output)
    if single and suffix and output.suffix.lower() != suffix:
        raise GPENError(f"-o {output} and --ext {suffix} name two kinds. Leave out --ext.")
    suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES if films else IMAGE_SUFFIXES
    matches, problems = find_inputs(inputs, output, suffixes)
    root = output.parent if single else output
    paths = _Paths(
        inputs={identify(source): source for source, _ in reversed(matches)},
        extras={identify(root / name): root / name for name in extras},
        overwrite=overwrite or skip_existing,
    )
    paths.refuse_inputs_in_extras()
    jobs = []
    for number, (source, place) in enumerate(_drop_repeated(matches)):
        place = Path(output.name) if single else _make_writable(place, suffix)
        comparison, crop_stem = root / "compare" / _append(place, ".jpg"), root / "faces" / place
        job = Job(source, root / place, comparison, crop_stem, number)
        if reason := paths.claim(job):
            problems.append(Problem(str(source), reason))
        elif skip_existing and exists(job.target):
            problems.append(Problem(str(source), f"{job.target} exists, skipped", is_skipped=True))
        else:
            jobs.append(job)
    return jobs, problems


def _is_single_film(inputs: Sequence[str], output: Path) -> bool:
    """Whether `output` is one film; raise GPENError if it is not possible for the inputs."""
    is_film = len(inputs) == 1 and Path(inputs[0]).suffix.lower() in VIDEO_SUFFIXES
    suffix = output.suffix.lower()
    if is_folder(output) or suffix not in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
        return False
    if is_film and not exists(inputs[0]) and not glob.has_magic(inputs[0]):
        raise GPENError(f"{inputs[0]} {explain_no_match(inputs[0])}.")
    if suffix in IMAGE_SUFFIXES:
        if is_film:
            raise GPENError(f"-o {output} names an image, but {inputs[0]} is a film. Name a film.")
        return False
    if not is_film or not is_file(inputs[0]):
        raise GPENError(f"-o {output} names a film, but the input is not a single film.")
    if suffix not in VIDEO_WRITABLE:
        raise GPENError(
            f"-o {output}: {output.suffix} is not written. Name one of {' '.join(VIDEO_WRITABLE)}."
        )
    return True


def _is_single(inputs: Sequence[str], output: Path) -> bool:
    """Whether `output` is one image file; raise GPENError if it is not possible for the inputs."""
    if output.suffix.lower() not in IMAGE_SUFFIXES or is_folder(output):
        if is_file(output):
            raise GPENError(f"-o {output} is a file, and no image by its name. Name a folder.")
        return False
    if len(inputs) == 1 and not exists(inputs[0]) and not glob.has_magic(inputs[0]):
        raise GPENError(f"{inputs[0]} {explain_no_match(inputs[0])}.")
    if len(inputs) != 1 or not is_file(inputs[0]):
        raise GPENError(
            f"-o {output} names an image file, but the input is not a single file. Name a folder."
        )
    if output.suffix.lower() not in WRITABLE:
        raise GPENError(
            f"-o {output}: {output.suffix} is not written. Name one of {' '.join(WRITABLE)}."
        )
    return True


@dataclass
class _Paths:
    """The paths that are taken, so that no result replaces an input or another result.

    Attributes:
        inputs: every input by its identity: links are followed.
        extras: folders for other results, by their identity.
        overwrite: results may replace existing files.
        results: the source of each result so far, by `_fold_case` of the result's identity.
    """

    inputs: dict[str, Path]
    extras: dict[str, Path]
    overwrite: bool
    results: dict[str, Path] = field(default_factory=dict)

    def refuse_inputs_in_extras(self) -> None:
        for identity, source in self.inputs.items():
            if folder := self._find_extra(identity):
                raise GPENError(
                    f"{source} is an input and lies in {folder}, where it could be replaced. Name "
                    "another output folder."
                )

    def claim(self, job: Job) -> str | None:
        """Take the path of a result; return the reason if it cannot be written there."""
        target = identify(job.target)
        if target in self.inputs:
            return f"the result would replace {self.inputs[target]}, which is an input"
        if folder := self._find_extra(target):
            return (
                f"the result would lie in {folder}, where other results go; restore it into "
                "another folder"
            )
        other = self.results.get(_fold_case(target))
        if other is not None:
            return f"the result would replace that of {other}; restore them into two folders"
        if exists(job.target) and not self.overwrite:
            return f"{job.target} exists; pass --overwrite to replace it"
        self.results[_fold_case(target)] = job.source
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


def _make_writable(place: Path, suffix: str | None) -> Path:
    """Replace the suffix by the one asked for, or else add .png (.mp4) to one that is not written.

    So a.gif and a.png keep different names unless the user asks for one suffix.
    """
    if place.suffix.lower() in VIDEO_SUFFIXES:
        return place if place.suffix.lower() in VIDEO_WRITABLE else _append(place, ".mp4")
    if suffix is None:
        return place if place.suffix.lower() in WRITABLE else _append(place, ".png")
    stem = place.with_suffix("") if place.suffix.lower() in IMAGE_SUFFIXES else place
    return _append(stem, suffix)


def _append(path: Path, ending: str) -> Path:
    """Append to a file's name, of which a part is replaced by its hash where it gets too long."""
    name = path.name + ending
    if len(name.encode(errors="surrogateescape")) > _LONGEST_NAME:
        mark = f"~{hashlib.sha256(path.name.encode(errors='surrogateescape')).hexdigest()[:8]}"
        room = _LONGEST_NAME - len(mark) - len(ending.encode())
        kept = path.name.encode(errors="surrogateescape")[:room].decode(errors="ignore")
        name = kept + mark + ending
    return path.with_name(name)


def _fold_case(identity: str) -> str:
    """Return a string that is equal for names that Windows and macOS do not distinguish."""
    if sys.platform not in ("win32", "darwin"):
        return identity
    return unicodedata.normalize("NFC", identity).casefold()
