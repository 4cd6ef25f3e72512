"""Write files whole or not at all, look for files without errors, and hash them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import sys
import time
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRATCH = re.compile(r"\.gpen-[0-9a-f]{16}\.tmp")
"""Names of scratch files."""
DAY = 24 * 60 * 60
"""Seconds after which a scratch file is stale."""


@contextmanager
def write_atomically(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield the path of a scratch file that replaces `target` once the block ends without error.

    If the block raises, `target` stays as it was and the scratch file is deleted. Scratch files of
    processes that were killed are deleted after a day, when something is written beside them.

    Raises:
        FileExistsError: `target` exists and `overwrite` is false.
    """
    if exists(target) and not overwrite:
        raise FileExistsError(target)
    # In the same folder, because only a rename within one file system is atomic.
    scratch = target.with_name(f".gpen-{secrets.token_hex(8)}.tmp")
    _delete_stale(target.parent)
    try:
        yield scratch
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


@cache
def _delete_stale(folder: Path) -> None:
    """Delete scratch files that are older than a day, once per folder and process."""
    with suppress(OSError), os.scandir(folder) as files:
        for file in files:
            with suppress(OSError):
                if SCRATCH.fullmatch(file.name) and time.time() - file.stat().st_mtime > DAY:
                    os.unlink(file.path)  # noqa: PTH108


def mark_unfinished(target: Path) -> None:
    """Mark `target` as unfinished, until `clear_mark`, with a small hidden file beside it.

    Use it before the first of several files that belong together is written, `target` last.
    """
    _find_mark(target).touch()


def is_unfinished(target: Path) -> bool:
    """Whether a run that was to write `target` ended early: what belongs to it are remains."""
    return is_file(_find_mark(target))


def clear_mark(target: Path) -> None:
    """Delete the mark of `target`, if there is one."""
    _find_mark(target).unlink(missing_ok=True)


def _find_mark(target: Path) -> Path:
    # A hash, because the name of `target` may be as long as the system allows.
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return target.with_name(f".gpen-{name}.unfinished")


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a lock that one thread of one process has at a time; wait until it is free.

    The system frees the lock of a process that ended. The file is deleted at the end.
    """
    file = _open_locked(path)
    try:
        yield
    finally:
        if sys.platform != "win32":
            path.unlink(missing_ok=True)  # before it is unlocked: nobody else has it yet
        os.close(file)
        if sys.platform == "win32":  # Windows deletes no open file
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _open_locked(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(file)
            if _is_same(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # the file was deleted while we waited


def _is_same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        while True:
            try:
                msvcrt.locking(file, msvcrt.LK_LOCK, 1)  # gives up after 10 s
                return
            except OSError as error:
                if error.errno != errno.EDEADLK:
                    raise
    else:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise  # some network drives have no locks: two downloads may disturb each other


def hold_alone(path: Path) -> IO[bytes] | None:
    """Lock a file without waiting; return it open, or None if another process holds it.

    The system frees the lock of a process that ended. The file stays.
    """
    while True:
        file = path.open("ab")
        if not _lock_now(file):
            return None
        if _is_same(file.fileno(), path):
            return file
        file.close()  # the one that held it has deleted it


def _lock_now(file: IO[bytes]) -> bool:
    """Lock an open file without waiting; close it and return False if another process holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            return True  # some network drives have no locks
        file.close()
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True


def exists(path: str | Path) -> bool:
    """Tell whether a file or folder exists; False where we may not look.

    Before Python 3.14 `Path.exists` raises if we may not enter a folder or a name is too long.
    """
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | Path) -> bool:
    """Tell whether a file exists; False where we may not look."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Tell whether a folder exists; False where we may not look."""
    return os.path.isdir(path)  # noqa: PTH112


def name_special(path: str | Path) -> str | None:
    """Say in words which special file this is; None for a regular file or a folder.

    Opening a FIFO waits for ever, and a device may never end.

    Raises:
        OSError: there is no such file, or we may not look.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
