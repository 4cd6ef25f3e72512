"""The state of a film that is being restored, in a folder beside the result."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from ..errors import ImageError
from ..files import write_atomically
from .plans import TrackFile

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".parts"
"""What the folder's name has after that of the result."""
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

    @classmethod
    def open(cls, folder: Path, job: dict[str, str], *, restart: bool) -> State:
        """Open the state of a result, or begin one.

        Args:
            folder: the folder.
            job: what decides how the result looks, in words.
            restart: forget what is there.

        Raises:
            ImageError: an interrupted run made parts with other options, or of another film.
        """
        if restart:
            shutil.rmtree(folder, ignore_errors=True)
        state = cls(folder)
        folder.mkdir(parents=True, exist_ok=True)
        file = state.job_file
        job = {"format": str(_FORMAT), **job}
        if not file.exists():
            with write_atomically(file, overwrite=False) as scratch:
                scratch.write_text(json.dumps(job, indent=1), encoding="utf-8")
            return state
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
        return state

    def segment(self, number: int, suffix: str) -> Path:
        """Return the path of a segment's file."""
        return self.folder / f"{number:06d}{suffix}"

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
