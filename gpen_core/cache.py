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
LARGEST_PRIVATE = 1 << 24
"""Bytes of a private file that are read at most."""


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


def read_private(kind: str, name: str) -> bytes | None:
    """Return the bytes of a file; None if it is absent, or if others could have put it there.

    This is for files that are run. Neither the file nor the two folders above it may belong to
    others or be writable for them, and no link is followed.
    """
    folder = _open_private(kind, make=False)
    if folder is None:
        return None
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(folder / name, os.O_RDONLY | flags), "rb") as file:
            facts = os.fstat(file.fileno())
            if not (stat.S_ISREG(facts.st_mode) and _is_private(facts)):
                return None
            return file.read(LARGEST_PRIVATE)
    except OSError:
        return None


def write_private(kind: str, name: str, content: bytes, *, most: int) -> None:
    """Store a file that `read_private` returns, if the cache can be written.

    Args:
        kind: the kind of file, the name of a folder.
        name: the name of the file.
        content: its bytes.
        most: so many files of this kind and suffix stay; older ones are deleted.
    """
    folder = _open_private(kind, make=True)
    if folder is None:
        return
    with contextlib.suppress(OSError):
        with write_atomically(folder / name, overwrite=True) as scratch:
            scratch.touch(mode=0o600, exist_ok=False)
            scratch.write_bytes(content)
        files = folder.glob(f"*{Path(name).suffix}")
        for old in sorted(files, key=lambda file: file.stat().st_mtime)[:-most]:
            old.unlink()


def _open_private(kind: str, *, make: bool) -> Path | None:
    """Return the folder of a kind of file, if the cache itself is private, too."""
    folder = open_folder(kind, make=make)
    return folder if folder is not None and _is_private(folder.parent.stat()) else None


def open_folder(kind: str, *, make: bool) -> Path | None:
    """Return the folder of a kind of file; None if it is absent or others can write into it."""
    try:
        folder = find_folder() / kind
        if make:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return None
    return folder if stat.S_ISDIR(facts.st_mode) and _is_private(facts) else None


def _is_private(facts: os.stat_result) -> bool:
    """Tell whether a file or folder belongs to this user and nobody else can write into it."""
    if sys.platform == "win32":  # the folders of a user's profile are private there
        return True
    return facts.st_uid == os.geteuid() and not facts.st_mode & 0o022
