"""Which files to restore, and under which names the results are written."""

from __future__ import annotations

import glob
import itertools
import os
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GPENError
from ..files import exists, is_file, is_folder
from ..names import IMAGE_SUFFIXES, WRITABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Job:
    """One file to restore.

    Attributes:
        source: the input.
        target: the output.
        faces: where its faces go, as faces/NAME-1.png, faces/NAME-2.png …: this without "-1.png".
        compare: where the picture of before and after goes.
        number: of the input among those found, from 0.
    """

    source: Path
    target: Path
    faces: Path
    compare: Path
    number: int


@dataclass(frozen=True)
class Problem:
    """A file or pattern that cannot be restored, and why."""

    name: str
    reason: str


def plan(
    inputs: Sequence[str], output: Path, *, overwrite: bool, extras: Sequence[str] = ()
) -> tuple[list[Job], list[Problem]]:
    """Find the files that `inputs` mean and name their results.

    Args:
        inputs: files, folders (searched in depth) and patterns (Windows' shells do not expand
            them).
        output: a file for a single input file, else a folder, made when needed. What lies in a
            folder keeps its place below it.
        overwrite: existing results may be replaced; an input never is.
        extras: which of the folders "compare" and "faces" are filled beside the results; no input
            and no result may lie in them.

    Raises:
        GPENError: `output` names an image file, but the input is not one file, or one that is not
            written; it names another file; or an input lies in a folder of the extras.
    """
    as_file = output.suffix.lower() in IMAGE_SUFFIXES and not is_folder(output)
    if as_file and not (len(inputs) == 1 and is_file(inputs[0])):
        raise GPENError(
            f"-o {output} names an image file, but the input is not a single file. Name a folder."
        )
    if as_file and output.suffix.lower() not in WRITABLE:
        raise GPENError(
            f"-o {output}: {output.suffix} is not written. Name one of {' '.join(WRITABLE)}."
        )
    if not as_file and is_file(output):
        raise GPENError(f"-o {output} is a file, and no image by its name. Name a folder.")
    problems: list[Problem] = []
    unread: list[OSError] = []  # folders that may not be listed
    found: dict[str, tuple[Path, Path]] = {}  # each source once, with its place below the output
    inputs_by_identity: dict[str, Path] = {}  # links followed: what a result must not replace
    for word in inputs:
        refused = len(unread)
        matches = list(_expand(word, output, unread, several=len(inputs) > 1))
        if not matches and len(unread) == refused:
            problems.append(Problem(word, _why_nothing(word)))
        for source, place in matches:
            # A link is a source of its own, whose result has its name.
            name = os.path.normcase(os.path.abspath(source))  # noqa: PTH100  takes ".." out
            found.setdefault(name, (source, place))
            inputs_by_identity.setdefault(_identity(source), source)
    problems += [Problem(str(error.filename), f"{error.strerror}, skipped") for error in unread]
    root = output.parent if as_file else output
    reserved = {_identity(root / name): root / name for name in extras}
    for identity, source in inputs_by_identity.items():
        if folder := _above(reserved, identity):
            raise GPENError(
                f"{source} is an input and lies in {folder}, where it could be replaced. Name "
                "another output folder."
            )
    jobs: list[Job] = []
    taken: dict[str, Path] = {}
    for number, (source, place) in enumerate(found.values()):
        job = _job(number, source, root, Path(output.name) if as_file else _writable(place))
        target = _identity(job.target)
        if target in inputs_by_identity:
            reason = f"the result would replace {inputs_by_identity[target]}, which is an input"
        elif folder := _above(reserved, target):
            reason = f"the result would lie in {folder}, where others go; restore it elsewhere"
        elif (other := taken.get(_folded(target))) is not None:
            reason = f"the result would replace that of {other}; restore them into two folders"
        elif exists(job.target) and not overwrite:
            reason = f"{job.target} exists; pass --overwrite to replace it"
        else:
            taken[_folded(target)] = source
            jobs.append(job)
            continue
        problems.append(Problem(str(source), reason))
    return jobs, problems


def _above(folders: dict[str, Path], identity: str) -> Path | None:
    """The first of the folders in which a file lies."""
    return next((path for folder, path in folders.items() if _is_below(identity, folder)), None)


def _job(number: int, source: Path, root: Path, place: Path) -> Job:
    compare = place.with_name(f"{place.name}.jpg")
    return Job(source, root / place, root / "faces" / place, root / "compare" / compare, number)


def _writable(place: Path) -> Path:
    """The place with a suffix that can be written; added, so that names stay different."""
    return place if place.suffix.lower() in WRITABLE else place.with_name(f"{place.name}.png")


def _expand(
    word: str, output: Path, unread: list[OSError], *, several: bool
) -> Iterator[tuple[Path, Path]]:
    """(file, its place below the output folder) of everything that an input means.

    Errors of folders that cannot be listed are added to `unread`.
    """
    path = Path(word)
    if is_folder(path):
        # One folder's files go straight below the output, several folders' each below their own.
        below = Path(path.resolve().name) if several else Path()
        for file in _images_below(path, output, unread):
            yield file, below / file.relative_to(path)
    elif exists(path):
        yield path, Path(path.name)
    elif glob.has_magic(word):
        base = _before_magic(path)
        pattern = str(Path(glob.escape(str(base))) / path.relative_to(base))
        results = _identity(output)
        among_results = _is_below(_identity(base), results)
        # Path.glob takes no absolute pattern.
        for match in map(Path, sorted(glob.glob(pattern, recursive=True))):  # noqa: PTH207
            for file in _images_below(match, output, unread) if is_folder(match) else [match]:
                if file.suffix.lower() in IMAGE_SUFFIXES and (
                    among_results or not _is_below(_identity(file), results)
                ):
                    yield file, file.relative_to(base)


def _before_magic(pattern: Path) -> Path:
    """The folder that a pattern begins with, whose own name may hold brackets."""
    folders = itertools.takewhile(is_folder, reversed(pattern.parents))
    return max(folders, key=lambda folder: len(folder.parts), default=Path())


def _images_below(folder: Path, output: Path, unread: list[OSError]) -> Iterator[Path]:
    """Image files in a folder and its folders, without hidden ones and results of ours."""
    results = _identity(output)
    for place, folders, files in os.walk(folder, onerror=unread.append, followlinks=True):
        above = Path(place).relative_to(folder).parents
        # A link to a folder that it lies in would have no end.
        entered = {results, _identity(Path(place)), *(_identity(folder / step) for step in above)}
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and _identity(Path(place, name)) not in entered
        )
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(place, name)


def _identity(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


def _is_below(identity: str, folder: str) -> bool:
    """Whether a path is the folder or lies in it."""
    return identity == folder or identity.startswith(folder.rstrip(os.sep) + os.sep)


def _folded(identity: str) -> str:
    """Equal for names that Windows and macOS take for the same."""
    if sys.platform not in ("win32", "darwin"):
        return identity
    return unicodedata.normalize("NFC", identity).casefold()


def _why_nothing(word: str) -> str:
    if is_folder(word):
        return f"the folder holds no image ({' '.join(sorted(IMAGE_SUFFIXES))})"
    return "no image matches" if glob.has_magic(word) else "does not exist, or may not be read"
