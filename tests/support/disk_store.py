"""A store of fsspec on disk, disk://…, that cannot rename and fails when it is told to."""

from __future__ import annotations

import random
from pathlib import Path
from typing import ClassVar

from fsspec import AbstractFileSystem, register_implementation


class DiskStore(AbstractFileSystem):
    """Keeps each file whole or not at all, as object stores do, and has no rename.

    A folder that holds `.marker` looks like an empty file, as one does that S3's console made.

    Attributes:
        folder: holds the files.
        failing: the share of requests that fail: before they are done, in the middle, or with the
            answer lost.
        asked: what was asked of it, as (name of the request, path).
    """

    protocol = "disk"
    cachable = False
    folder: ClassVar[Path]
    failing: ClassVar[float] = 0.0
    random: ClassVar[random.Random] = random.Random(0)
    asked: ClassVar[list[tuple[str, str]]] = []

    @classmethod
    def start(cls, folder: Path, failing: float = 0.0) -> None:
        """Begin with the files of a folder."""
        cls.folder, cls.failing, cls.random, cls.asked = folder, failing, random.Random(4), []
        register_implementation("disk", cls, clobber=True)

    def _ask(self, request: str, path: str) -> None:
        self.asked.append((request, path))
        self._fail()

    def _fail(self) -> None:
        if self.random.random() < self.failing / 2:
            raise OSError("503 slow down")

    def info(self, path, **options):
        path = self._strip_protocol(path)
        self._ask("info", path)
        return self._describe(path)

    def _describe(self, path):
        place = self.folder / path
        if place.is_dir() and not (place / ".marker").exists():
            return {"name": path, "size": 0, "type": "directory"}
        status = (place / ".marker" if place.is_dir() else place).stat()
        return {
            "name": path, "size": status.st_size, "type": "file", "mtime": status.st_mtime_ns
        }  # fmt: skip

    def ls(self, path, detail=True, **options):
        path = self._strip_protocol(path)
        self._ask("ls", path)
        if not (self.folder / path).is_dir():
            raise FileNotFoundError(path)
        found = sorted((self.folder / path).iterdir())
        rows = [self._describe(f"{path}/{one.name}".lstrip("/")) for one in found]
        if (self.folder / path / ".marker").exists():
            rows.append(self._describe(path))
        return rows if detail else [row["name"] for row in rows]

    def cat_file(self, path, start=None, end=None, **options):
        path = self._strip_protocol(path)
        self._ask("get", path)
        contents = (self.folder / path).read_bytes()
        self._fail()
        return contents

    def pipe_file(self, path, value, mode="overwrite", **options):
        path = self._strip_protocol(path)
        self._ask("put", path)
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(value)
        self._fail()  # the answer is lost

    def cp_file(self, path1, path2, **options):
        raise NotImplementedError("no copy, no rename")
