"""Folders of faces: the image files in them, and what an INDEX.tsv says of each."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from ..errors import ImageError
from ..names import IMAGE_SUFFIXES

INDEX_NAME = "INDEX.tsv"


def find_faces(folder: Path, *, split: str | None = None) -> list[Path]:
    """Return the image files under `folder`, sorted.

    Args:
        folder: searched with its sub-folders.
        split: keep only files of this split, as the column `split` of the folder's index says
            (`read_index`). None keeps all.

    Raises:
        ImageError: a folder is absent or cannot be listed, the index is absent or cannot be
            used, or nothing is left.
    """
    names = (Path(at) / name for at, _, found in os.walk(folder, onerror=_refuse) for name in found)
    files = sorted(path for path in names if path.suffix.lower() in IMAGE_SUFFIXES)
    if split is not None:
        index = read_index(folder)
        if not any("split" in row for row in index.values()):
            raise ImageError(
                f"Split {split!r} was asked for, but neither {folder} nor its parent holds an "
                f"{INDEX_NAME} with columns `file` and `split`."
            )
        files = [path for path in files if index.get(path.absolute(), {}).get("split") == split]
    if not files:
        raise ImageError(
            f"No image to train on under {folder}"
            + (f" in split {split!r}" if split else "")
            + f"; expected {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return files


def _refuse(error: OSError) -> None:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        raise ImageError(
            f"{error.filename} is not a folder; --data takes a folder of aligned faces."
        ) from error
    raise ImageError(
        f"{error.filename} cannot be listed: {error.strerror}. Allow it to be read, or move it out."
    ) from error


def read_index(folder: Path) -> dict[Path, dict[str, str]]:
    """Return what an INDEX.tsv in `folder` or in its parent says of each file, by absolute path.

    The table has a line of names; column `file` is relative to the table, `split` and `source`
    are optional. Without a table the result is empty.

    Raises:
        ImageError: the table has no column `file` or is not text in UTF-8.
    """
    folder = folder.absolute()
    for path in (folder / INDEX_NAME, folder.parent / INDEX_NAME):
        if path.is_file():
            return read_table(path, path.parent)
    return {}


def read_table(path: Path, folder: Path) -> dict[Path, dict[str, str]]:
    """Return what a table says of each file, by absolute path.

    Args:
        path: values separated by tabs, the first line their names, one of them `file`.
        folder: what the files' names are relative to.

    Raises:
        ImageError: the table cannot be read, has no column `file`, or is not text in UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as table:
            rows = list(csv.DictReader(table, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{path} cannot be read as a table in UTF-8: {error}") from error
    if not all(row.get("file") for row in rows):
        raise ImageError(f"{path} must have a column `file`, separated by tabs, on each line.")
    return {folder.absolute() / row["file"]: row for row in rows}
