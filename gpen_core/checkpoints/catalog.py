"""Known weights: what they are, where they are published, what they hash to, where they are here.

Nothing here reaches the network but `download`, which runs only when a user asks for it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..files import exists
from . import download as _download

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..progress import OnBytes

MODEL_SUFFIXES = (".safetensors", ".pth", ".pt")


@dataclass(frozen=True)
class Entry:
    """One file of known weights.

    Attributes:
        name: what users type.
        file: what it is called on disk.
        kind: "gpen", "detector" or "parser".
        about: one line on what it is.
        licence: what its authors stated.
        folder: where ComfyUI's users put it, below ComfyUI's `models`.
        url: where it is published; "" for what comes with this package.
        bytes: its size, None where none is published.
        sha256: its hash in hexadecimal, None where none is published.
        also: other file names it goes by.
    """

    name: str
    file: str
    kind: str
    about: str
    licence: str
    folder: str
    url: str = ""
    bytes: int | None = None
    sha256: str | None = None
    also: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """File names to look for, best first: a converted copy, then the published names."""
        published = (self.file, *self.also)
        converted = (
            Path(file).with_suffix(".safetensors").name
            for file in published
            if Path(file).suffix in MODEL_SUFFIXES
        )
        return tuple(dict.fromkeys([*converted, *published]))


@cache
def entries() -> tuple[Entry, ...]:
    """Every entry of `weights/catalog.toml`, in its order."""
    with (weights_folder() / "catalog.toml").open("rb") as file:
        tables = tomllib.load(file)["weights"]
    return tuple(Entry(**{**table, "also": tuple(table.get("also", ()))}) for table in tables)


def find(name: str) -> Entry:
    """The entry of that name or file name, in any case, with or without suffix.

    Raises:
        CheckpointError: there is none; the message lists the names.
    """
    entry = look_up(name)
    if entry is None:
        raise CheckpointError(
            f"No weights are called {name!r}. Known: {', '.join(e.name for e in entries())}. "
            "Give any other file by its path."
        )
    return entry


def look_up(name: str) -> Entry | None:
    """As `find`, or None if there is none."""
    wanted = name.lower()
    for entry in entries():
        files = [file.lower() for file in entry.files]
        if wanted in (entry.name.lower(), *files, *(Path(file).stem for file in files)):
            return entry
    return None


def recognise(sha256: str) -> Entry | None:
    """The entry whose published file has that hash, if any."""
    return next((entry for entry in entries() if entry.sha256 == sha256.lower()), None)


def weights_folder() -> Path:
    """The folder of the weights that come with this package."""
    package = Path(__file__).parents[1]
    # A wheel has the folder inside the package, the repository (and so ComfyUI) beside it.
    installed = package / "weights"
    return installed if installed.is_dir() else package.parent / "weights"


def search_folders() -> tuple[Path, ...]:
    """Where named weights are looked for: this package, `$GPEN_WEIGHTS`, the user's cache."""
    chosen = os.environ.get("GPEN_WEIGHTS")
    folders = [weights_folder(), *([Path(chosen).expanduser()] if chosen else []), _cache_folder()]
    return tuple(folders)


def download_folder() -> Path:
    """Where `download` puts files: `$GPEN_WEIGHTS` if that is set, or the user's cache."""
    return search_folders()[1]


def _cache_folder() -> Path:
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "gpen"


def locate(name: str, folders: Sequence[Path] = ()) -> Path | None:
    """The file of named weights in `folders` or `search_folders()`, or None if it is not here.

    Raises:
        CheckpointError: no weights have that name.
    """
    entry = find(name)
    for folder in (*folders, *search_folders()):
        try:
            here = {path.name.lower(): path for path in folder.iterdir()}
        except OSError:  # it is not there, or is somebody else's
            continue
        for file in entry.files:
            if file.lower() in here:
                return here[file.lower()]
    return None


def resolve(source: str | Path) -> Path:
    """The file that `source` means: a path, or a name of the catalogue.

    Raises:
        CheckpointError: it is neither, or the named file is not here; the message says which file
            goes where and where it is published.
    """
    if isinstance(source, Path):
        return source
    entry = next((entry for entry in entries() if entry.name.lower() == source.lower()), None)
    if entry is None and exists(source):
        return Path(source)
    entry = entry or look_up(source)
    if entry is None and (Path(source).suffix or Path(source).name != source):
        return Path(source)  # a path of a file that is not there, which the reader reports
    entry = entry or find(source)
    found = locate(entry.name)
    if found is None:
        raise CheckpointError(missing_message(entry))
    return found


def missing_message(entry: Entry) -> str:
    """What to do when the file of `entry` is not here."""
    if not entry.url:
        return (
            f"`{entry.file}` comes with this package but is missing from `{weights_folder()}`. "
            "Install the package again."
        )
    facts = [entry.licence] if entry.bytes is None else [f"{entry.bytes:,} bytes", entry.licence]
    folders = " or ".join(f"`{folder}`" for folder in search_folders())
    return (
        f"`{entry.file}` ({entry.name}) is not here. Put it into {folders} (in ComfyUI: "
        f"`models/{entry.folder}`), or run `gpen download {entry.name}`. It is published at "
        f"{entry.url} ({'; '.join(facts)})."
    )


def download(
    name: str,
    folder: str | Path | None = None,
    *,
    on_progress: OnBytes | None = None,
) -> Path:
    """Fetch named weights, unless the folder has them, and verify them.

    An interrupted download goes on where it stopped. Where no hash is published, the hash of the
    first download is recorded beside the file and held against it from then on.

    Args:
        name: a name of the catalogue.
        folder: where to; None takes `download_folder()`.
        on_progress: called with bytes so far and in all (None if the server does not say).

    Returns:
        the path of the file.

    Raises:
        CheckpointError: no weights have that name, or what came is not the published file.
        DownloadError: the server cannot be reached or the file not be written.
    """
    entry = find(name)
    if not entry.url:
        if folder:
            raise CheckpointError(
                f"`{entry.file}` comes with this package and is not downloaded: leave the folder "
                "out, and its path is told."
            )
        found = locate(name)
        if found is None:
            raise CheckpointError(missing_message(entry))
        return found
    target = Path(folder or download_folder()) / entry.file
    _download.fetch(
        entry.url, target, size=entry.bytes, expected=entry.sha256, on_progress=on_progress
    )
    return target
