"""Folders of aligned faces: their image files, and what tables say about each file."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ImageError
from ..names import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

INDEX_NAME = "INDEX.tsv"


def find_faces(folder: Path, *, split: str | None = None) -> list[Path]:
    """Return the image files in `folder` and its subfolders, sorted.

    Args:
        folder: the folder to search.
        split: keep only the files of this split; the column `split` of the folder's index names
            it (`read_index`). None keeps all.

    Raises:
        ImageError: a folder is missing or cannot be listed, the index is missing or unusable, or
            no file is left.
    """
    walk = os.walk(folder, onerror=_refuse_folder)
    found = (Path(parent) / name for parent, _, names in walk for name in names)
    files = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
    if split is not None:
        files = _keep_split(folder, files, split)
    if not files:
        raise ImageError(
            f"No image under {folder}"
            + (f" in split {split!r}" if split else "")
            + f"; expected {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return files


def read_index(folder: Path) -> dict[Path, dict[str, str]]:
    """Return the rows of the INDEX.tsv in `folder` or its parent, by absolute path of the file.

    The first line names the columns. Column `file` is relative to the table; `split` and `source`
    are optional. Without a table the result is empty.

    Raises:
        ImageError: the table cannot be read, has no column `file`, or is not UTF-8.
    """
    folder = folder.absolute()
    for path in (folder / INDEX_NAME, folder.parent / INDEX_NAME):
        if path.is_file():
            return read_table(path, path.parent)
    return {}


def read_table(path: Path, folder: Path) -> dict[Path, dict[str, str]]:
    """Return the rows of a table about image files, by absolute path of the file.

    Args:
        path: values separated by tabs; the first line names the columns, one of them `file`.
        folder: the column `file` is relative to this folder.

    Raises:
        ImageError: the table cannot be read, has no column `file`, or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as table:
            rows = list(csv.DictReader(table, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{path} cannot be read as a table in UTF-8: {error}") from error
    if not all(row.get("file") for row in rows):
        raise ImageError(f"{path} must have a column `file`, separated by tabs, on each line.")
    return {folder.absolute() / row["file"]: row for row in rows}


def group_by_source(folder: Path, files: Sequence[Path]) -> dict[str, list[str]]:
    """Group files by the column `source` of the folder's index.

    Returns:
        {"source": the source of each file, "unknown" where the index has none}, or {} if the index
        names no source at all.

    Raises:
        ImageError: the index is unusable (`read_index`).
    """
    index = read_index(folder)
    sources = [index.get(path.absolute(), {}).get("source") for path in files]
    return {"source": [source or "unknown" for source in sources]} if any(sources) else {}


def group_by_table(path: Path, folder: Path, files: Sequence[Path]) -> dict[str, list[str]]:
    """Group files by every column of a table.

    Args:
        path: the table (`read_table`).
        folder: the column `file` is relative to this folder.
        files: the files to group.

    Returns:
        The group of each file, "" for none, by name of the column.

    Raises:
        ImageError: the table is unusable, or puts no file in a group.
    """
    table = read_table(path, folder)
    rows = [table.get(file.absolute(), {}) for file in files]
    columns = sorted({column for row in rows for column in row if column and row[column]})
    groups = {by: [row.get(by) or "" for row in rows] for by in columns if by != "file"}
    if not groups:
        raise ImageError(
            f"{path} puts none of the {len(files)} faces of {folder} in a group. Its column `file` "
            "must name them relative to that folder, and another column must name their groups."
        )
    return groups


def _keep_split(folder: Path, files: list[Path], split: str) -> list[Path]:
    index = read_index(folder)
    if not any("split" in row for row in index.values()):
        raise ImageError(
            f"Split {split!r} was asked for, but neither {folder} nor its parent holds an "
            f"{INDEX_NAME} with columns `file` and `split`."
        )
    return [path for path in files if index.get(path.absolute(), {}).get("split") == split]


def _refuse_folder(error: OSError) -> None:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        raise ImageError(
            f"{error.filename} is not a folder; --data takes a folder of aligned faces."
        ) from error
    raise ImageError(
        f"{error.filename} cannot be listed: {error.strerror}. Change its permissions, or move it "
        "out of the folder."
    ) from error
