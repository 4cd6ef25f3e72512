"""A pool of one worker in this very process, and what it lost and did."""

from __future__ import annotations

from gpen_core.batch.driver import Completed, Finished


class InlinePool:
    """Does each chunk when its events are asked for."""

    threads, workers, device = 1, 1, None

    def __init__(self, load):
        self._load, self._work, self._chunk = load, None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def has_room(self):
        return self._chunk is None

    def submit(self, chunk):
        self._chunk = chunk

    def wait(self, timeout):
        self._work = self._work or self._load()
        chunk, self._chunk = self._chunk, None
        events = [Finished(chunk.number, self._work(task)) for task in chunk.tasks]
        return [*events, Completed(chunk.number)]
