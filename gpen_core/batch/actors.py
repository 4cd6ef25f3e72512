"""Workers on the machines of a Ray cluster: one actor per GPU, or per so many cores.

Only descriptions of tasks and of results go through Ray: workers read and write the files.
"""

from __future__ import annotations

import os
import secrets
import socket
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..cache import find_folder, open_folder
from ..errors import GPENError
from ..files import is_file, sha256, write_atomically
from .driver import Completed, Event, Finished, Lost
from .local import STARTS, count_cores, limit_threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .work import Chunk, Load, Result, Task, Work

IN_FLIGHT = 2
"""Chunks that an actor has at most: one in work, and one that waits."""
THREADS = 4
"""Threads of an actor on a cluster without GPUs."""


class RayPool:
    """Actors of a Ray cluster, each of which loads the networks once.

    Args:
        load: makes what does a task. It gets a mapping from names of files to the paths of their
            copies, if there are any.
        workers: how many actors; None for one per GPU, or as many as fill the cores.
        threads: threads of each, and the cores that it takes; None for `THREADS`, or for what
            shares this machine's cores out.
        address: the cluster's, such as "auto" or "10.0.0.1:6379". None starts one on this machine,
            which ends with the pool and takes no connection without its own token.
        files: files that workers need. A worker that lacks one gets a copy, once.
        on_cpu: use no GPU.

    Raises:
        GPENError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(
        self,
        load: Load,
        *,
        workers: int | None = None,
        threads: int | None = None,
        address: str | None = None,
        files: Sequence[str] = (),
        on_cpu: bool = False,
    ) -> None:
        self._load, self._files, self._on_cpu = load, files, on_cpu
        self._early_deaths = 0
        self._calls: dict[Any, _Call] = {}
        self._sent: dict[str, tuple[str, Any]] = {}
        cores = max(count_cores(), (workers or 1) * (threads or 1))
        self._ray, self._is_ours = connect(address, cores)
        self._is_remote = address is not None
        resources = self._ray.cluster_resources()
        gpus = 0 if on_cpu else int(resources.get("GPU", 0))
        cpus = int(resources.get("CPU", 1))
        self.device: str | None = "cuda" if gpus else "cpu"
        if threads is None:
            threads = THREADS if workers is None else cpus // workers
        self.threads = max(1, min(threads, cpus))
        count = min(workers or gpus or cpus, cpus // self.threads)
        self._gpus = gpus / count if gpus and workers and workers > gpus else min(1, gpus)
        self._actors: list[Any] = [None] * max(1, count)

    @property
    def workers(self) -> int:
        """The number of actors."""
        return len(self._actors)

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def has_room(self) -> bool:
        return self._find_place() is not None

    def submit(self, chunk: Chunk) -> None:
        place = self._find_place()
        if place is None:
            raise RuntimeError("no actor has room")
        if self._actors[place] is None:
            self._actors[place] = actor = self._start()
            self._calls[actor.start.remote()] = _Call(place, None)
        call = self._actors[place].do.remote(chunk.tasks)
        self._calls[call] = _Call(place, chunk.number)

    def wait(self, timeout: float) -> list[Event]:
        calls = list(self._calls)
        ready, _ = self._ray.wait(calls, num_returns=1, timeout=timeout)
        if ready:
            ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        events: list[Event] = []
        for ref in ready:
            if ref in self._calls:  # else its actor's death was noticed by another call
                events += self._read(ref)
        return events

    def _read(self, ref: Any) -> list[Event]:
        errors = self._ray.exceptions
        place, chunk = self._calls[ref]
        try:
            value = self._ray.get(ref)
        except errors.RayTaskError as error:
            reason = f"met a defect of this program ({error.cause!r})"
            del self._calls[ref]
            if chunk is None:
                raise GPENError(f"No worker can begin: it {reason}.") from error
            return [Lost(chunk, reason)]
        except errors.RayError as error:
            return self._bury(place, f"was lost ({type(error).__name__})")
        del self._calls[ref]
        if chunk is None:
            if value is not None:
                raise GPENError(value)
            self._early_deaths = 0
            return []
        return [*(Finished(chunk, result) for result in value), Completed(chunk)]

    def _bury(self, place: int, reason: str) -> list[Event]:
        """Forget a dead actor, and report all of its chunks. Only the first was in work."""
        self._ray.kill(self._actors[place])  # one that is only out of reach shall not write on
        self._actors[place] = None
        lost = [(ref, call.chunk) for ref, call in self._calls.items() if call.place == place]
        events: list[Event] = []
        for number, (ref, chunk) in enumerate(lost):
            del self._calls[ref]
            if chunk is not None:
                events.append(Lost(chunk, reason, blame=number == 0))
        if lost[0][1] is None:  # it died while it began
            self._early_deaths += 1
            if self._early_deaths >= STARTS * self.workers:
                raise GPENError(
                    f"{self._early_deaths} workers in a row ended while they loaded the model. The "
                    "memory of the machines may be too small; Ray's logs say more."
                )
        return events

    def close(self) -> None:
        """End the actors, and the cluster if it is our own."""
        for actor in self._actors:
            if actor is not None:
                self._ray.kill(actor)
        self._actors = [None] * self.workers
        self._calls.clear()
        if self._is_ours:
            self._ray.shutdown()

    def _find_place(self) -> int | None:
        counts = [0] * self.workers
        for call in self._calls.values():
            counts[call.place] += call.chunk is not None
        place = min(range(self.workers), key=counts.__getitem__)
        return place if counts[place] < IN_FLIGHT else None

    def _start(self) -> Any:
        if self._is_remote and not self._sent:
            paths = map(Path, self._files)
            self._sent = {str(p): (sha256(p), self._ray.put(p.read_bytes())) for p in paths}
        actor = self._ray.remote(Actor).options(
            num_cpus=self.threads, num_gpus=self._gpus, max_restarts=0, max_task_retries=0
        )
        return actor.remote(self._load, self.threads, list(self._sent.items()))


class _Call(NamedTuple):
    """A call of an actor: its place, and the number of the chunk, or None where it begins."""

    place: int
    chunk: int | None


class Actor:
    """Does chunks in a process of Ray."""

    def __init__(
        self, load: Load, threads: int, files: Sequence[tuple[str, tuple[str, Any]]]
    ) -> None:
        limit_threads(threads)  # before PyTorch is imported
        self._load, self._files = load, files
        self._work: Work | None = None
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def start(self) -> str | None:
        """Load the networks; return the message if one cannot be loaded."""
        try:
            places = copy_files(self._files)
            self._work = self._load(places) if places else self._load()
        except GPENError as error:
            return str(error)
        return None

    def do(self, tasks: Sequence[Task]) -> list[Result]:
        """Do the tasks of a chunk."""
        assert self._work is not None
        return [self._work(task)._replace(worker=self._name) for task in tasks]


def copy_files(files: Sequence[tuple[str, tuple[str, Any]]]) -> Mapping[str, str]:
    """Return a mapping from files that this machine lacks to copies, which it writes once."""
    places = {}
    for path, (digest, contents) in files:
        if is_file(path) and sha256(Path(path)) == digest:
            continue
        folder = open_folder("files", make=True)
        if folder is None:
            raise GPENError(
                f"{path} is missing on {socket.gethostname()}, and its copy has no place: "
                f"{find_folder()} cannot be made, or others can write into it. Set GPEN_CACHE "
                "there to a folder of your own."
            )
        copy = folder / f"{digest}{Path(path).suffix}"
        if not is_file(copy) or sha256(copy) != digest:
            import ray

            with write_atomically(copy, overwrite=True) as scratch:
                scratch.write_bytes(ray.get(contents))
        places[path] = str(copy)
    return places


@cache
def _make_token() -> str:
    """Return a token for the clusters of this process: Ray reads it only once."""
    return secrets.token_hex(32)


def connect(address: str | None, cores: int) -> tuple[Any, bool]:
    """Connect to a cluster, or start one on this machine.

    Returns:
        The module `ray`, and whether this call made the connection: this process may have one.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        # Ray listens on all interfaces. It reads these when it is imported; its workers inherit
        # them, and find this package as we do.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = _make_token()
        folders = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    try:
        import ray
    except ImportError as error:
        raise GPENError(
            'Ray is not installed: pip install "gpen-restore[ray]". Without it, --jobs uses the '
            "cores of this machine."
        ) from error
    if ray.is_initialized():
        return ray, False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"num_cpus": cores, "include_dashboard": False}
        options["object_store_memory"] = 100 << 20  # no pixels go there
    try:
        ray.init(address=address or "local", **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise GPENError(
            f"Ray cannot {'start here' if address is None else f'connect to {address}'}: {error}"
        ) from error
    return ray, True
