"""Read and write files of tensors without ever running code that a file contains.

A pickle is a program. So this module checks the first bytes of a file, walks its pickle without
running it (`pickles.py`), and then reads it with PyTorch's restricted unpickler
(`weights_only=True`).
"""

from __future__ import annotations

import argparse
import os
import pickle
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from ..errors import CheckpointError
from ..files import name_special, write_atomically
from ..names import MODEL_SUFFIXES
from ..printable import printable
from .archives import check_legacy, check_zip
from .outlines import sketch
from .safetensors_header import read_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ZIP_MAGIC = b"PK\x03\x04"
"""The first bytes of a zip archive, which `torch.save` has written since PyTorch 1.6."""

LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""The first bytes of what `torch.save` wrote before PyTorch 1.6."""

ONNX_MAGIC = b"\x08"
"""The first byte of an ONNX file: its version follows."""

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


def read_tensor_file(
    path: str | Path, *, check: Callable[[Any], object] | None = None
) -> TensorFile:
    """Read a `.safetensors` file or a file of `torch.save`, whatever its suffix is.

    The file is checked before any tensor is read: it takes no more memory than a sound file of its
    length.

    Args:
        path: the file.
        check: called with the contents before the numbers are read, when all tensors are on the
            device "meta"; it may raise an error of its own, such as CheckpointError.

    Raises:
        CheckpointError: the file is missing, unreadable, damaged, of another format, or a pickle
            that holds more than tensors, numbers and an `argparse.Namespace`.
    """
    path = Path(path)
    try:
        refuse_special(path)
        with path.open("rb") as file:
            found = _identify(file, path)
            outline = _outline(file, found, path)
            if check is not None:
                check(sketch(outline))
            if found == "safetensors":
                return _read_safetensors(path)
            file.seek(0)
            return TensorFile(_unpickle(file, path), found)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file `{path}`.") from error
    except SafetensorError as error:
        raise CheckpointError(
            f"`{path}` is a damaged or truncated safetensors file ({error}). {DOWNLOAD_AGAIN}"
        ) from error
    except OSError as error:
        raise CheckpointError(f"`{path}` cannot be read: {error.strerror or error}.") from error


def read_outline(path: Path) -> Any:
    """Return the contents of a file with all tensors on the device "meta": no number is read.

    Raises:
        CheckpointError: the file is not a sound file of tensors, as far as its header and its
            length show, or it cannot be read.
    """
    try:
        refuse_special(path)
        with path.open("rb") as file:
            return sketch(_outline(file, _identify(file, path), path))
    except OSError as error:
        raise CheckpointError(f"`{path}` cannot be read: {error.strerror or error}.") from error


def _outline(file: BinaryIO, found: str, path: Path) -> Any:
    """Return the outline of the contents of a file, whose format is `found`."""
    readers = {"safetensors": read_header, "torch zip": check_zip, "torch legacy": check_legacy}
    try:
        return readers[found](file)
    except CheckpointError as error:
        raise CheckpointError(f"`{path}` {error}") from error.__cause__


def _read_safetensors(path: Path) -> TensorFile:
    # load_file maps the file; copies stay valid when the file is replaced.
    with torch.device("cpu"):  # older versions of safetensors take the host's default device
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    with safe_open(path, "pt") as file:
        return TensorFile(tensors, "safetensors", file.metadata() or {})


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


def _identify(file: BinaryIO, path: Path) -> str:
    """Return the format of a file of tensors, or raise an error that says what the file is."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(512)
    if head.startswith(ZIP_MAGIC):
        return "torch zip"
    if head.startswith(LEGACY_MAGIC):
        return "torch legacy"
    for matches, kind, remedy in OTHER_FILES:
        if matches(head):
            raise CheckpointError(f"`{path}` is {kind} ({size:,} bytes). {remedy}")
    if path.suffix.lower() == ".onnx" and head[8:9] != b"{":
        raise CheckpointError(_explain_onnx(path, head))
    if path.suffix.lower() != ".safetensors" and head[8:9] != b"{":
        raise CheckpointError(
            f"`{path}` is neither a .safetensors file nor a file of `torch.save` (.pth, .pt): it "
            f"begins with {head[:8]!r}. `gpen models` lists files that work."
        )
    return "safetensors"


def refuse_special(path: Path) -> None:
    """Raise CheckpointError for a folder, a FIFO, a device or a socket, without opening it.

    Raises:
        OSError: there is no such file, or we may not look.
    """
    if path.is_dir():
        raise CheckpointError(_explain_folder(path))
    kind = name_special(path)
    if kind is not None:
        raise CheckpointError(f"`{path}` is {kind}, not a file. Name a regular file.")


def _unpickle(file: BinaryIO, path: Path) -> Any:
    """Let PyTorch read a file whose pickle was checked."""
    try:
        with _allow_namespaces():
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except MemoryError as error:
        size = path.stat().st_size
        raise CheckpointError(
            f"`{path}` cannot be read: memory ran out. It needs about {size:,} bytes. Close other "
            "programs."
        ) from error
    except Exception as error:  # an altered file makes PyTorch raise nearly anything
        # PyTorch's message advises to turn the protection off, so users must not see it.
        detail = type(error).__name__
        if not isinstance(error, pickle.UnpicklingError):
            detail += f": {printable(str(error), 200)}"
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
    inside = sorted(
        printable(file.name) for file in path.iterdir() if file.suffix in MODEL_SUFFIXES
    )
    hint = f" It holds {', '.join(inside[:5])}." if inside else ""
    return f"`{path}` is a folder; name the checkpoint file in it.{hint}"


def _explain_onnx(path: Path, head: bytes) -> str:
    if not head.startswith(ONNX_MAGIC):
        return f"`{path}` is named like an ONNX file, but it is none. {DOWNLOAD_AGAIN}"
    return (
        f"`{path}` is an ONNX file, but a file of tensors is needed here. Use a .safetensors or "
        ".pth file; `gpen convert` makes one of an ONNX file that holds a GPEN."
    )
