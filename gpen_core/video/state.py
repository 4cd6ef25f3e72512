"""The state of a film that is being restored, in a folder beside the result."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from ..errors import ImageError
from ..files import hold_alone, write_atomically
from .plans import TrackFile

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".parts"
"""What the folder's name has after that of the result."""
_LOCK = "lock"
"""The file that a run locks as long as it works in the folder."""
_FORMAT = 1
"""The version of the folder's contents."""


def find_folder(target: Path) -> Path:
    """Return the folder that holds the state of a result."""
    return target.with_name(target.name + SUFFIX)


class State:
    """The folder of a film: its job, its track file and the segments that are done.

    Attributes:
        folder: the folder.
        job_file: what decides how the result looks, as JSON.
        tracks: the track file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job_file = folder / "job.json"
        self.tracks = TrackFile(folder / "tracks.jsonl")
        self._lock: IO[bytes] | None = None

    @classmethod
    def open(cls, folder: Path, job: dict[str, str], *, restart: bool) -> State:
        """Open the state of a result, or begin one; no other run may until it is released.

        Args:
            folder: the folder.
            job: what decides how the result looks, in words.
            restart: forget what is there.

        Raises:
            ImageError: another run is at work there, or an interrupted one made parts with other
                options, or of another film.
        """
        state = cls(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state._hold()
        try:
            state._begin(job, restart=restart)
        except BaseException:
            state.release()
            raise
        return state

    def _begin(self, job: dict[str, str], *, restart: bool) -> None:
        """Compare the job with the one that is there, or write it."""
        folder, file = self.folder, self.job_file
        if restart:
            _empty(folder)
        job = {"format": str(_FORMAT), **job}
        if not file.exists():
            with write_atomically(file, overwrite=False) as scratch:
                scratch.write_text(json.dumps(job, indent=1), encoding="utf-8")
            return
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            before = {}
        other = [name for name in {**before, **job} if before.get(name) != job.get(name)]
        if other:
            name = other[0]
            raise ImageError(
                f"{folder} holds an interrupted run with another {name}: {before.get(name)}, now "
                f"{job.get(name)}. Give the same options to go on, or --restart to begin anew."
            )

    def segment(self, number: int, suffix: str) -> Path:
        """Return the path of a segment's file."""
        return self.folder / f"{number:06d}{suffix}"

    def _hold(self) -> None:
        """Keep other runs out of the folder until it is released."""
        self._lock = hold_alone(self.folder / _LOCK)
        if self._lock is None:
            raise ImageError(
                f"{self.folder} is in use: another run restores this film. Wait until it has "
                "ended, or choose another output."
            )

    def release(self) -> None:
        """Let other runs use the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Delete the folder, and let other runs use its place."""
        _empty(self.folder)
        lock = self.folder / _LOCK
        with suppress(OSError):
            if sys.platform == "win32":  # Windows deletes no open file
                self.release()
            lock.unlink()
            self.folder.rmdir()  # fails where another run has begun already
        self.release()


def _empty(folder: Path) -> None:
    """Delete everything in a folder but the lock."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != _LOCK:
            with suppress(OSError):
                path.unlink()
