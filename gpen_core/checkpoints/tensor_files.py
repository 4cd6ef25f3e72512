"""Read and write files of tensors without ever running code that a file contains.

A pickle is a program. So this module checks the first bytes of a file before it opens it, and reads
pickles only with PyTorch's restricted unpickler (`weights_only=True`).
"""

from __future__ import annotations

import argparse
import pickle
import re
import struct
import threading
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from ..errors import CheckpointError
from ..files import write_atomically
from .catalog import MODEL_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ZIP_MAGIC = b"PK\x03\x04"
"""The first bytes of a zip archive, which `torch.save` has written since PyTorch 1.6."""

LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""The first bytes of what `torch.save` wrote before PyTorch 1.6."""

DOWNLOAD_AGAIN = "Download the file again: it was cut off or altered."

OTHER_FILES: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (lambda head: not head, "empty", DOWNLOAD_AGAIN),
    (
        lambda head: head.startswith(b"version https://git-lfs"),
        "a Git LFS pointer, not the file itself",
        "Run `git lfs pull` in the clone, or download the file from its web page.",
    ),
    (
        lambda head: head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")),
        "a web page that was saved under this name",
        "Use the download button of that page to get the file.",
    ),
    (lambda head: LEGACY_MAGIC.startswith(head), "a truncated PyTorch file", DOWNLOAD_AGAIN),
    (
        # A safetensors header of 128 or 384 … bytes begins with 0x80 too, but "{" follows it.
        lambda head: head.startswith(b"\x80") and head[8:9] != b"{",
        "a Python pickle that PyTorch did not write",
        "It was not opened: a pickle can run any code. Ask its author for a .safetensors file.",
    ),
)
"""Files that are no complete file of tensors: a test of the first bytes, what the file is, how to
mend it. The first test that holds counts."""

DAMAGED_PICKLE_ERRORS = (
    pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, IndexError, TypeError,
    AttributeError, AssertionError, OverflowError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
"""Errors that torch.load raised for truncated and randomly altered files; a test alters files."""

_ALLOWING = threading.Lock()


@dataclass(frozen=True)
class TensorFile:
    """The contents of a file of tensors.

    Attributes:
        contents: the saved object; its tensors are on the CPU, in the dtype of the file.
        format: "safetensors", "torch zip" or "torch legacy".
        metadata: the metadata of a safetensors file; empty for the other formats.
    """

    contents: Any
    format: str
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_tensor_file(path: str | Path) -> TensorFile:
    """Read a `.safetensors` file or a file of `torch.save`, whatever its suffix is.

    Raises:
        CheckpointError: the file is missing, unreadable, damaged, of another format, or a pickle
            that holds more than tensors, numbers and an `argparse.Namespace`.
    """
    path = Path(path)
    try:
        found = _identify(path)
        if found == "safetensors":
            # load_file maps the file; copies stay valid when the file is replaced.
            tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
            with safe_open(path, "pt") as file:
                return TensorFile(tensors, found, file.metadata() or {})
        with path.open("rb") as file:
            return TensorFile(_unpickle(file, path), found)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file `{path}`.") from error
    except SafetensorError as error:
        raise CheckpointError(
            f"`{path}` is a damaged or truncated safetensors file ({error}). {DOWNLOAD_AGAIN}"
        ) from error
    except OSError as error:
        raise CheckpointError(f"`{path}` cannot be read: {error.strerror or error}.") from error


def write_safetensors(
    tensors: Mapping[str, torch.Tensor],
    target: str | Path,
    *,
    overwrite: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors and metadata to `target`, completely or not at all.

    Raises:
        CheckpointError: `target` exists and `overwrite` is false, or it cannot be written.
    """
    target = Path(target)
    try:
        with write_atomically(target, overwrite=overwrite) as scratch:
            # safetensors refuses tensors that share memory, as the blurs of a model may. Its
            # save_file makes files that only their owner can read, so we write the bytes.
            apart = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
            scratch.write_bytes(save(apart, metadata={"format": "pt", **(metadata or {})}))
    except FileExistsError as error:
        raise CheckpointError(
            f"`{target}` exists already. Choose another name, or allow it to be overwritten."
        ) from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"`{target}` cannot be written: {error}.") from error


def _identify(path: Path) -> str:
    """Return the format of a file of tensors, or raise an error that says what the file is."""
    if path.is_dir():
        raise CheckpointError(_explain_folder(path))
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if path.suffix.lower() == ".onnx" and head:
        raise CheckpointError(_explain_onnx(path))
    if head.startswith(ZIP_MAGIC):
        _check_zip(path)
        return "torch zip"
    if head.startswith(LEGACY_MAGIC):
        return "torch legacy"
    for matches, kind, remedy in OTHER_FILES:
        if matches(head):
            raise CheckpointError(f"`{path}` is {kind} ({size:,} bytes). {remedy}")
    if path.suffix.lower() != ".safetensors" and head[8:9] != b"{":
        raise CheckpointError(
            f"`{path}` is neither a .safetensors file nor a file of `torch.save` (.pth, .pt): it "
            f"begins with {head[:8]!r}. `gpen models` lists files that work."
        )
    if len(head) < 8 or size < 8 + int.from_bytes(head[:8], "little"):
        raise CheckpointError(
            f"`{path}` is a truncated safetensors file ({size:,} bytes), or not one. "
            f"{DOWNLOAD_AGAIN}"
        )
    return "safetensors"


def _check_zip(path: Path) -> None:
    """Raise CheckpointError unless PyTorch wrote this zip archive and it holds no program."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        raise CheckpointError(
            f"`{path}` is a truncated or damaged archive ({path.stat().st_size:,} bytes, no list "
            f"of contents at its end). {DOWNLOAD_AGAIN}"
        ) from error
    entries = {name.partition("/")[2] for name in names}
    if "constants.pkl" in entries:
        raise CheckpointError(
            f"`{path}` is a TorchScript program, which is code. Use the .pth or .safetensors file "
            "of its weights."
        )
    if "data.pkl" not in entries:
        raise CheckpointError(
            f"`{path}` is a zip archive, but PyTorch did not write it (it holds "
            f"{', '.join(names[:3]) or 'nothing'}). If the checkpoint is inside, unpack it first."
        )


def _unpickle(file: BinaryIO, path: Path) -> Any:
    try:
        with _allow_namespaces():
            return torch.load(file, map_location="cpu", weights_only=True)
    except DAMAGED_PICKLE_ERRORS as error:
        # PyTorch's message advises to turn the protection off, so users must not see it.
        asked_for = re.search(r"GLOBAL (\S+)", str(error))
        if asked_for:
            raise CheckpointError(
                f"`{path}` was refused: its pickle asks for `{asked_for[1]}`, which could run "
                "code; a checkpoint needs nothing but tensors. Nothing was run. Ask its author "
                "for a .safetensors file."
            ) from None
        detail = type(error).__name__
        if not isinstance(error, pickle.UnpicklingError):
            detail += f": {str(error).partition(chr(10))[0][:200]}"
        raise CheckpointError(
            f"`{path}` is a damaged PyTorch file ({detail}). {DOWNLOAD_AGAIN}"
        ) from error


@contextmanager
def _allow_namespaces() -> Iterator[None]:
    """Let PyTorch read `argparse.Namespace`: self-trained GPENs store their command line so.

    PyTorch's list of allowed types belongs to the whole process. So threads take turns, and a
    Namespace that was allowed before stays allowed.
    """
    with _ALLOWING:
        if argparse.Namespace in torch.serialization.get_safe_globals():
            yield
            return
        with torch.serialization.safe_globals([argparse.Namespace]):
            yield


def _explain_folder(path: Path) -> str:
    inside = sorted(file.name for file in path.iterdir() if file.suffix in MODEL_SUFFIXES)
    hint = f" It holds {', '.join(inside[:5])}." if inside else ""
    return f"`{path}` is a folder; name the checkpoint file in it.{hint}"


def _explain_onnx(path: Path) -> str:
    size = re.search(r"gpen\D*(256|512|1024|2048)", path.name, re.IGNORECASE)
    instead = f"GPEN-BFR-{size[1]}.pth" if size else "the .pth file"
    return (
        f"`{path}` is an ONNX file, which cannot be loaded: its graph is fixed to one face at a "
        f"time. Use {instead} of the same model, or a .safetensors file that `gpen convert` made "
        "from it; `gpen models` says where it is published."
    )
