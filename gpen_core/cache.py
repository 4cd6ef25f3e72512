"""The user's cache: the folder of downloads, and small results that cost time to compute again."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

from .files import write_atomically
from .settings import read_setting

LARGEST_RECORD = 1 << 16
"""Bytes of a record that are read at most."""


def find_folder() -> Path:
    """Return the folder of the cache: `$GPEN_CACHE`, else `gpen` in the user's cache folder."""
    chosen = read_setting("GPEN_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        root = read_setting("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = read_setting("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "gpen"


def read_record(kind: str, key: str) -> dict[str, Any]:
    """Return the values that `write_record` stored; none if there are none that can be trusted.

    Args:
        kind: the kind of record, the name of a folder.
        key: what the record is about, the name of a file: letters, digits and hyphens.
    """
    folder = open_folder(kind, make=False)
    if folder is None:
        return {}
    try:
        with (folder / f"{key}.json").open("rb") as file:
            values = json.loads(file.read(LARGEST_RECORD))
    except (OSError, ValueError, RecursionError):  # it is absent, or damaged
        return {}
    return values if isinstance(values, dict) else {}


def write_record(kind: str, key: str, values: dict[str, Any]) -> None:
    """Store values that JSON can hold, if the cache can be written: losing them costs time only."""
    folder = open_folder(kind, make=True)
    if folder is not None:
        with (
            contextlib.suppress(OSError),
            write_atomically(folder / f"{key}.json", overwrite=True) as scratch,
        ):
            scratch.write_text(json.dumps(values), "utf-8")


def open_folder(kind: str, *, make: bool) -> Path | None:
    """Return the folder of a kind of file; None if it is absent or others can write into it."""
    folder = find_folder() / kind
    try:
        if make:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return None
    return folder if stat.S_ISDIR(facts.st_mode) and _is_private(facts) else None


def _is_private(facts: os.stat_result) -> bool:
    """Tell whether a folder belongs to this user and nobody else can write into it."""
    if sys.platform == "win32":  # the folders of a user's profile are private there
        return True
    return facts.st_uid == os.geteuid() and not facts.st_mode & 0o022
