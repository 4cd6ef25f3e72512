"""The catalogue of known weights: names, publishers, hashes, and where the files are on this disk.

Only `download` uses the network, and it runs only when a user asks for it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..cache import find_folder as cache_folder
from ..errors import CheckpointError
from ..files import exists, sha256
from ..names import MODEL_SUFFIXES, RESTORE
from ..settings import read_setting

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..progress import OnBytes


BUILTIN = "builtin"
"""The name of the model that comes with this package."""


@dataclass(frozen=True)
class Entry:
    """One file of known weights.

    Attributes:
        name: the name that users type.
        file: the file name on disk.
        kind: "gpen", "detector" or "parser".
        about: one line that describes the file.
        licence: the licence that its authors stated.
        folder: the folder below ComfyUI's `models` where its users put the file.
        url: the address where the file is published; "" if it comes with this package, or if we
            know of none.
        bytes: the size, or None if no size is published.
        sha256: the hash in hexadecimal, or None if no hash is published.
        also: other names of the same file.
        pixels: the size of the faces that a GPEN restores; None for other kinds.
        task: one of `names.TASKS`: what a GPEN was trained for.
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
    pixels: int | None = None
    task: str = RESTORE

    @property
    def files(self) -> tuple[str, ...]:
        """File names to look for, in this order: converted copies, then the published names."""
        published = (self.file, *self.also)
        converted = (
            Path(file).with_suffix(".safetensors").name
            for file in published
            if Path(file).suffix in MODEL_SUFFIXES
            and (self.kind == "gpen" or not file.endswith(".onnx"))  # YuNet is not converted
        )
        return tuple(dict.fromkeys([*converted, *published]))


@cache
def entries() -> tuple[Entry, ...]:
    """Read all entries of `weights/catalog.toml`, in the order of the file."""
    with (weights_folder() / "catalog.toml").open("rb") as file:
        tables = tomllib.load(file)["weights"]
    return tuple(Entry(**{**table, "also": tuple(table.get("also", ()))}) for table in tables)


def find(name: str) -> Entry:
    """Find an entry by its name or file name, in upper or lower case, with or without suffix.

    Raises:
        CheckpointError: no entry has this name; the message lists the names.
    """
    entry = look_up(name)
    if entry is None:
        raise CheckpointError(
            f"No weights are called {name!r}. Known: {', '.join(e.name for e in entries())}. "
            "Give any other file by its path."
        )
    return entry


def look_up(name: str) -> Entry | None:
    """Find an entry as `find` does, but return None if there is none."""
    wanted = name.lower()
    for entry in entries():
        files = [file.lower() for file in entry.files]
        if wanted in (entry.name.lower(), *files, *(Path(file).stem for file in files)):
            return entry
    return None


def recognise(sha256: str) -> Entry | None:
    """Return the entry whose published file has this hash, or None."""
    return next((entry for entry in entries() if entry.sha256 == sha256.lower()), None)


def find_task(path: Path) -> str | None:
    """Return the task of a published GPEN file, or None for a file that is not known.

    A hash decides where one is published, so that a renamed file is known, too. It is computed only
    for a file of a published size. Otherwise the file's name decides.
    """
    size = path.stat().st_size
    known = recognise(sha256(path)) if any(e.bytes == size for e in entries()) else None
    entry = known or look_up(path.name)
    return entry.task if entry is not None and entry.kind == "gpen" else None


def weights_folder() -> Path:
    """Return the folder of the weights that come with this package."""
    package = Path(__file__).parents[1]
    # A wheel holds the folder inside the package; the repository (and so ComfyUI) beside it.
    installed = package / "weights"
    return installed if installed.is_dir() else package.parent / "weights"


def search_folders() -> tuple[Path, ...]:
    """Return the folders to search: this package's, `$GPEN_WEIGHTS`, the user's cache."""
    chosen = read_setting("GPEN_WEIGHTS")
    folders = [weights_folder(), *([Path(chosen).expanduser()] if chosen else []), cache_folder()]
    return tuple(folders)


def download_folder() -> Path:
    """Return the folder for downloads: `$GPEN_WEIGHTS` if it is set, else the user's cache."""
    return search_folders()[1]


def locate(name: str, folders: Sequence[Path] = ()) -> Path | None:
    """Search `folders`, then `search_folders()`, for named weights; return None if not found.

    Raises:
        CheckpointError: no weights have this name.
    """
    entry = find(name)
    for folder in (*folders, *search_folders()):
        try:
            found = {path.name.lower(): path for path in folder.iterdir()}
        except OSError:  # the folder does not exist, or we may not read it
            continue
        for file in entry.files:
            if file.lower() in found:
                return found[file.lower()]
    return None


def resolve(source: str | Path) -> Path:
    """Return the file that `source` means: a path, or a name of the catalogue.

    The path of a file that does not exist is returned as it is: the reader reports it.

    Raises:
        CheckpointError: `source` is neither, or the named file is not on this disk; the message
            says where to get the file and where to put it.
    """
    if isinstance(source, Path):
        return source
    # The name of an entry comes before a file of that name, a file before an entry's file name.
    named = any(entry.name.lower() == source.lower() for entry in entries())
    if not named and exists(source):
        return Path(source)
    is_path = Path(source).suffix or Path(source).name != source
    if is_path and look_up(source) is None:
        return Path(source)
    entry = find(source)
    found = locate(entry.name)
    if found is None:
        raise CheckpointError(explain_missing(entry))
    return found


def explain_missing(entry: Entry) -> str:
    """Say how to get the file of `entry`, which was not found."""
    if entry.name == BUILTIN:
        return (
            f"`{entry.file}` comes with this package but is missing from `{weights_folder()}`. "
            "Install the package again."
        )
    facts = [entry.licence] if entry.bytes is None else [f"{entry.bytes:,} bytes", entry.licence]
    folders = " or ".join(f"`{folder}`" for folder in search_folders())
    place = (
        f"`{entry.file}` ({entry.name}) was not found. Put it into {folders} (in ComfyUI: "
        f"`models/{entry.folder}`)"
    )
    if not entry.url:
        return f"{place}. We know no address where it is published ({'; '.join(facts)})."
    return (
        f"{place}, or run `gpen download {entry.name}`. It is published at {entry.url} "
        f"({'; '.join(facts)})."
    )


def download(
    name: str,
    folder: str | Path | None = None,
    *,
    on_progress: OnBytes | None = None,
) -> Path:
    """Download named weights unless the folder holds them already; verify them in both cases.

    An interrupted download continues where it stopped, and two downloads of one file wait for each
    other. The file is accepted only if it is the kind of network that the catalogue names, and if
    it has the published hash. If no hash is published, the hash of the first download is stored
    beside the file, and later calls compare the file with it.

    Args:
        name: a name of the catalogue.
        folder: the target folder; None means `download_folder()`.
        on_progress: called with the bytes received and the total (None if the server does not
            tell it).

    Returns:
        The path of the file.

    Raises:
        CheckpointError: no weights have this name, or the file differs from the published one.
        DownloadError: the server cannot be reached, or the file cannot be written.
    """
    entry = find(name)
    if not entry.url:
        if folder:
            reason = "comes with this package and is not downloaded"
            if entry.name != BUILTIN:
                reason = "cannot be downloaded: we know no address where it is published"
            raise CheckpointError(f"`{entry.file}` {reason}. Leave the folder out to get its path.")
        found = locate(name)
        if found is None:
            raise CheckpointError(explain_missing(entry))
        return found
    from . import download as _download  # not in the ComfyUI registry's archive

    target = Path(folder or download_folder()) / entry.file

    def check(path: Path) -> None:
        from .accepting import check_file  # imports PyTorch

        check_file(path, name=entry.file, kind=entry.kind, pixels=entry.pixels)

    _download.fetch(
        entry.url,
        target,
        size=entry.bytes,
        expected=entry.sha256,
        check=check,
        on_progress=on_progress,
    )
    return target
