"""Files behind URLs such as s3://bucket/a.jpg: read, list and write them, whole or not at all.

fsspec, which PyTorch brings, knows the stores; each needs a package of its own, such as s3fs.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .errors import GPENError, ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TRIES = 4
"""How often a store is asked that fails."""
DELAY = 0.5
"""Seconds until the second try; each further one waits twice as long."""
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # a drive, C:, has one letter
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError)
"""Errors that another try does not mend."""

T = TypeVar("T")


def is_url(name: str) -> bool:
    """Tell whether a name is the URL of a file."""
    return _URL.match(name) is not None


def strip_file_scheme(name: str) -> str:
    """Return the path that a `file://` URL means; any other name stays itself."""
    if not name.lower().startswith("file://"):
        return name
    parts = urlsplit(name)
    host = "" if parts.netloc in ("", "localhost") else f"//{parts.netloc}"
    return host + url2pathname(parts.path)


class Stored(NamedTuple):
    """A file in a store.

    Attributes:
        url: the file.
        size: its length in bytes.
        mark: changes with the contents: a hash or a time, as the store tells it.
    """

    url: str
    size: int
    mark: str


def find_file(url: str) -> Stored | None:
    """Return the facts of a file; None if there is none.

    Raises:
        GPENError: the store cannot be reached.
    """
    store, path = _open(url)
    store.invalidate_cache()
    try:
        info = _try(url, "read", lambda: store.info(path))
    except FileNotFoundError:
        return None
    return None if info["type"] == "directory" else _describe(store, info)


def find_length(name: str) -> int | None:
    """Return the length of a file, at a path or URL; None if there is none."""
    if is_url(name):
        found = find_file(name)
        return None if found is None else found.size
    try:
        return os.stat(name).st_size  # noqa: PTH116
    except OSError:
        return None


def list_files(url: str) -> list[Stored]:
    """Return all files in a folder, in depth, or those that a pattern such as s3://b/*.jpg means.

    Raises:
        GPENError: the store cannot be reached.
    """
    store, path = _open(url)
    try:
        from fsspec.utils import glob_translate
    except ImportError as error:  # before 2024.2
        raise GPENError(_advise(url)) from error
    store.invalidate_cache()
    base, depth = path, None
    while is_pattern(base):
        base = base.rpartition("/")[0]
    if is_pattern(path) and "**" not in path:
        depth = path[len(base) :].strip("/").count("/") + 1
    fits = re.compile(glob_translate(path)).fullmatch if is_pattern(path) else bool
    try:
        return [_describe(store, one) for one in _walk(store, base, depth) if fits(one["name"])]
    except FileNotFoundError:
        return []


def is_pattern(name: str) -> bool:
    """Tell whether a name holds a mark of a pattern."""
    return any(mark in name for mark in "*?[")


def _walk(store: Any, folder: str, depth: int | None) -> Iterator[Mapping[str, Any]]:
    """Yield the files of a folder in depth. fsspec's own `walk` leaves out what it cannot list."""
    rows = _try(store.unstrip_protocol(folder), "listed", lambda: store.ls(folder, detail=True))
    for row in sorted(rows, key=lambda row: row["name"]):
        if row["name"].rstrip("/") == folder.rstrip("/"):
            continue  # some stores keep an empty file for a folder
        if row["type"] != "directory":
            yield row
        elif depth is None or depth > 1:
            yield from _walk(store, row["name"], None if depth is None else depth - 1)


def read(url: str) -> bytes:
    """Return the contents of a file.

    Raises:
        ImageError: there is none, or it cannot be read.
    """
    store, path = _open(url)
    try:
        return _try(url, "read", lambda: store.cat_file(path))
    except _FINAL as error:
        raise ImageError(f"{url} cannot be read: {_explain(error)}.") from error


def write(url: str, contents: bytes) -> None:
    """Write a file, replacing one of that name.

    Where the store cannot rename, one PUT under the final name does it, which object stores do
    wholly or not at all; elsewhere a scratch file is renamed.

    Raises:
        ImageError: it cannot be written. What was there before still is.
    """
    store, path = _open(url)

    def put() -> None:
        if not _can_rename(store):
            store.pipe_file(path, contents)
            return
        folder, _, _ = path.rpartition("/")
        scratch = f"{folder}/.gpen-{secrets.token_hex(8)}.tmp"
        store.makedirs(folder, exist_ok=True)
        try:
            store.pipe_file(scratch, contents)
            store.mv(scratch, path)
        except BaseException:
            if store.exists(scratch):
                store.rm_file(scratch)
            raise

    try:
        _try(url, "written", put)
    except _FINAL as error:
        raise ImageError(f"{url} cannot be written: {_explain(error)}.") from error
    store.invalidate_cache()


def hash_contents(url: str) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(read(url)).hexdigest()


def _open(url: str) -> tuple[Any, str]:
    """Return the store of a URL, and the path in it."""
    scheme = url.partition(":")[0]
    try:
        import fsspec
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise GPENError(_advise(url)) from error
    try:
        return url_to_fs(url)
    except ImportError as error:
        raise GPENError(f"{_advise(url)} ({error})") from error
    except ValueError as error:
        known = "s3://, gs://, file://, memory://"
        if scheme in fsspec.available_protocols():
            raise GPENError(f"{url} is no URL of a file: {error}.") from error
        raise GPENError(
            f"{url}: no store is known for {scheme}://. Use {known} or another of fsspec's."
        ) from error
    except Exception as error:  # stores connect here, and raise almost any kind
        raise GPENError(f"{url} cannot be reached: {_explain(error)}.") from error


def _advise(url: str) -> str:
    return (
        f'{url}: the package of its store is not installed: pip install "gpen-restore[remote]" '
        "(fsspec, s3fs, gcsfs)."
    )


def _can_rename(store: Any) -> bool:
    """Tell whether a store has a rename of its own; fsspec's copies and deletes."""
    from fsspec import AbstractFileSystem

    return type(store).mv is not AbstractFileSystem.mv


def _describe(store: Any, info: Mapping[str, Any]) -> Stored:
    marks = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "updated", "created")
    mark = next((info[name] for name in marks if info.get(name) is not None), "")
    return Stored(store.unstrip_protocol(info["name"]), int(info["size"] or 0), str(mark))


def _try(url: str, verb: str, ask: Callable[[], T]) -> T:
    """Ask a store, again if it fails.

    Raises:
        ImageError: it failed each time.
    """
    number = 1
    while True:
        try:
            return ask()
        except _FINAL:
            raise
        except Exception as error:  # the packages of stores raise almost any kind
            if number == TRIES:
                raise ImageError(
                    f"{url} cannot be {verb} after {TRIES} tries: {_explain(error)}."
                ) from error
            time.sleep(DELAY * 2 ** (number - 1))
            number += 1


def _explain(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
