"""Find the input files of a command, and choose a path for each result."""

from __future__ import annotations

import glob
import itertools
import os
import sys
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GPENError
from ..files import exists, is_file, is_folder
from ..names import IMAGE_SUFFIXES, WRITABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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

    def crop_path(self, number: int) -> Path:
        """Return the path of the restored face of that number, from 1."""
        return self.crop_stem.with_name(f"{self.crop_stem.name}-{number}.png")


@dataclass(frozen=True)
class Problem:
    """A file or pattern for which there is no job, and the reason."""

    name: str
    reason: str


def plan_jobs(
    inputs: Sequence[str], output: Path, *, overwrite: bool, extras: Sequence[str] = ()
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

    Raises:
        GPENError: `output` is not a possible file or folder for these inputs, or an input lies in
            a folder of `extras`.
    """
    single = _is_single(inputs, output)
    matches, problems = _find_inputs(inputs, output)
    root = output.parent if single else output
    paths = _Paths(
        inputs={_identify(source): source for source, _ in reversed(matches)},
        extras={_identify(root / name): root / name for name in extras},
        overwrite=overwrite,
    )
    paths.refuse_inputs_in_extras()
    jobs = []
    for number, (source, place) in enumerate(_drop_repeated(matches)):
        place = Path(output.name) if single else _make_writable(place)
        job = Job(
            source,
            root / place,
            root / "compare" / place.with_name(f"{place.name}.jpg"),
            root / "faces" / place,
            number,
        )
        reason = paths.claim(job)
        if reason is None:
            jobs.append(job)
        else:
            problems.append(Problem(str(source), reason))
    return jobs, problems


def _is_single(inputs: Sequence[str], output: Path) -> bool:
    """Whether `output` is one image file; raise GPENError if it is not possible for the inputs."""
    if output.suffix.lower() not in IMAGE_SUFFIXES or is_folder(output):
        if is_file(output):
            raise GPENError(f"-o {output} is a file, and no image by its name. Name a folder.")
        return False
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
        target = _identify(job.target)
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
        below = (path for folder, path in self.extras.items() if _is_below(identity, folder))
        return next(below, None)


def _find_inputs(
    inputs: Sequence[str], output: Path
) -> tuple[list[tuple[Path, Path]], list[Problem]]:
    """Expand all inputs to (file, its place below the output folder); files may be repeated."""
    matches: list[tuple[Path, Path]] = []
    problems: list[Problem] = []
    unreadable: list[OSError] = []
    for word in inputs:
        before = len(matches), len(unreadable)
        matches += _expand(word, output, unreadable, several=len(inputs) > 1)
        if before == (len(matches), len(unreadable)):
            problems.append(Problem(word, _explain_no_match(word)))
    problems += [Problem(str(error.filename), f"{error.strerror}, skipped") for error in unreadable]
    return matches, problems


def _drop_repeated(matches: Sequence[tuple[Path, Path]]) -> Iterator[tuple[Path, Path]]:
    """Yield each source once. A link and its target are two sources: their names differ."""
    seen = set()
    for source, place in matches:
        name = os.path.normcase(os.path.abspath(source))  # noqa: PTH100  resolves "..", not links
        if name not in seen:
            seen.add(name)
            yield source, place


def _make_writable(place: Path) -> Path:
    """Add .png to a suffix that is not written. So a.gif and a.png keep different names."""
    return place if place.suffix.lower() in WRITABLE else place.with_name(f"{place.name}.png")


def _expand(
    word: str, output: Path, unreadable: list[OSError], *, several: bool
) -> Iterator[tuple[Path, Path]]:
    """Yield (file, its place below the output folder) for every file that an input means.

    Errors of folders that cannot be listed are added to `unreadable`.
    """
    path = Path(word)
    if is_folder(path):
        # The files of a single folder go directly below the output, else below the folder's name.
        below = Path(path.resolve().name) if several else Path()
        for file in _walk_images(path, output, unreadable):
            yield file, below / file.relative_to(path)
    elif exists(path):
        yield path, Path(path.name)
    elif glob.has_magic(word):
        base = _find_base(path)
        pattern = str(Path(glob.escape(str(base))) / path.relative_to(base))
        results = _identify(output)
        among_results = _is_below(_identify(base), results)
        # Path.glob takes no absolute pattern.
        for match in map(Path, sorted(glob.glob(pattern, recursive=True))):  # noqa: PTH207
            for file in _walk_images(match, output, unreadable) if is_folder(match) else [match]:
                if file.suffix.lower() in IMAGE_SUFFIXES and (
                    among_results or not _is_below(_identify(file), results)
                ):
                    yield file, file.relative_to(base)


def _find_base(pattern: Path) -> Path:
    """Find the existing folder with which a pattern begins; its name may contain brackets."""
    folders = itertools.takewhile(is_folder, reversed(pattern.parents))
    return max(folders, key=lambda folder: len(folder.parts), default=Path())


def _walk_images(folder: Path, output: Path, unreadable: list[OSError]) -> Iterator[Path]:
    """Yield the image files in a folder, in depth, without hidden files and without results."""
    results = _identify(output)
    for place, folders, files in os.walk(folder, onerror=unreadable.append, followlinks=True):
        above = Path(place).relative_to(folder).parents
        # A link to a folder above it would never end.
        entered = {results, _identify(Path(place)), *(_identify(folder / step) for step in above)}
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and _identify(Path(place, name)) not in entered
        )
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(place, name)


def _identify(path: Path) -> str:
    """Return a string that is equal for all paths and links of one file."""
    return os.path.normcase(os.path.realpath(path))


def _is_below(identity: str, folder: str) -> bool:
    """Whether a path is the folder or lies in it."""
    return identity == folder or identity.startswith(folder.rstrip(os.sep) + os.sep)


def _fold_case(identity: str) -> str:
    """Return a string that is equal for names that Windows and macOS do not distinguish."""
    if sys.platform not in ("win32", "darwin"):
        return identity
    return unicodedata.normalize("NFC", identity).casefold()


def _explain_no_match(word: str) -> str:
    if is_folder(word):
        return f"the folder holds no image ({' '.join(sorted(IMAGE_SUFFIXES))})"
    return "no image matches" if glob.has_magic(word) else "does not exist, or may not be read"
