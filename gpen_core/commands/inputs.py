"""Find the input files that the words of a command line mean."""

from __future__ import annotations

import errno
import glob
import itertools
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import exists, is_folder
from ..names import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_MOST_WAYS = 8
"""How often one folder is searched, by its own name and by links. Ten folders that link to each
other can be entered on millions of paths."""


@dataclass(frozen=True)
class Problem:
    """A file or pattern for which there is no job, and the reason.

    Attributes:
        name: the file or pattern.
        reason: why nothing is done.
        is_skipped: its result exists and was to be skipped, so that nothing went wrong.
    """

    name: str
    reason: str
    is_skipped: bool = False


def find_inputs(
    inputs: Sequence[str], output: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES
) -> tuple[list[tuple[Path, Path]], list[Problem]]:
    """Expand all inputs to (file, its place below the output folder); files may be repeated.

    Args:
        inputs: files, folders and patterns.
        output: the folder of the results, which is not searched.
        suffixes: those of the files that are taken from folders.
    """
    matches: list[tuple[Path, Path]] = []
    problems: list[Problem] = []
    unreadable: list[OSError] = []
    for word in inputs:
        before = len(matches), len(unreadable)
        matches += _expand(word, output, unreadable, suffixes, several=len(inputs) > 1)
        if before == (len(matches), len(unreadable)):
            problems.append(Problem(word, explain_no_match(word, suffixes)))
    problems += [Problem(str(error.filename), f"{error.strerror}, skipped") for error in unreadable]
    return matches, problems


def _expand(
    word: str, output: Path, unreadable: list[OSError], suffixes: frozenset[str], *, several: bool
) -> Iterator[tuple[Path, Path]]:
    """Yield (file, its place below the output folder) for every file that an input means.

    Errors of folders that cannot be listed are added to `unreadable`.
    """
    path = Path(word)
    if is_folder(path):
        # The files of a single folder go directly below the output, else below the folder's name.
        below = Path(path.resolve().name) if several else Path()
        for file in _walk(path, output, unreadable, suffixes):
            yield file, below / file.relative_to(path)
    elif exists(path):
        yield path, Path(path.name)
    elif glob.has_magic(word):
        base = _find_base(path)
        pattern = str(Path(glob.escape(str(base))) / path.relative_to(base))
        results = identify(output)
        among_results = is_below(identify(base), results)
        # Path.glob takes no absolute pattern.
        for match in map(Path, sorted(glob.glob(pattern, recursive=True))):  # noqa: PTH207
            walked = _walk(match, output, unreadable, suffixes)
            for file in walked if is_folder(match) else [match]:
                if file.suffix.lower() in suffixes and (
                    among_results or not is_below(identify(file), results)
                ):
                    yield file, file.relative_to(base)


def _find_base(pattern: Path) -> Path:
    """Find the existing folder with which a pattern begins; its name may contain brackets."""
    folders = itertools.takewhile(is_folder, reversed(pattern.parents))
    return max(folders, key=lambda folder: len(folder.parts), default=Path())


def _walk(
    folder: Path, output: Path, unreadable: list[OSError], suffixes: frozenset[str]
) -> Iterator[Path]:
    """Yield a folder's files of these suffixes, in depth, without hidden files and results."""
    results = identify(output)
    ways: Counter[str] = Counter()
    for place, folders, files in os.walk(folder, onerror=unreadable.append, followlinks=True):
        if _count_way(Path(place), ways, unreadable) > _MOST_WAYS:
            folders.clear()
            continue
        above = Path(place).relative_to(folder).parents
        # A link to a folder above it would never end.
        entered = {results, identify(Path(place)), *(identify(folder / step) for step in above)}
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and identify(Path(place, name)) not in entered
        )
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield Path(place, name)


def _count_way(place: Path, ways: Counter[str], unreadable: list[OSError]) -> int:
    """Count one more visit of a folder. The first visit too many is added to `unreadable`."""
    folder = identify(place)
    ways[folder] += 1
    if ways[folder] == _MOST_WAYS + 1:
        reason = f"searched already by {_MOST_WAYS} links or names"
        unreadable.append(OSError(errno.ELOOP, reason, str(place)))
    return ways[folder]


def identify(path: Path) -> str:
    """Return a string that is equal for all paths and links of one file."""
    return os.path.normcase(os.path.realpath(path))


def identify_below(path: Path, folders: dict[str, str]) -> str:
    """Return `identify(path)`, faster for many files of few folders.

    Args:
        path: the file.
        folders: what was found of its folder before; this call adds to it.
    """
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100
    if os.path.islink(path) or not name:  # noqa: PTH114
        return identify(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return os.path.normcase(os.path.join(folders[folder], name))  # noqa: PTH118


def is_below(identity: str, folder: str) -> bool:
    """Whether a path is the folder or lies in it."""
    return identity == folder or identity.startswith(folder.rstrip(os.sep) + os.sep)


def explain_no_match(word: str, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> str:
    """Say why an input means no file."""
    kinds = "image" if suffixes <= IMAGE_SUFFIXES else "image or film"
    if is_folder(word):
        return f"the folder holds no {kinds} ({' '.join(sorted(suffixes))})"
    return f"no {kinds} matches" if glob.has_magic(word) else "does not exist, or may not be read"
