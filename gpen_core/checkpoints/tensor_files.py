"""Reads files of tensors, and never runs what a file says.

A pickle is a program. Files here are opened only when their first bytes are those of a format that
stores tensors, and pickles only by PyTorch's restricted unpickler (`weights_only=True`).
"""

from __future__ import annotations

import argparse
import pickle
import re
import struct
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from ..errors import CheckpointError
from ..files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""How files of `torch.save` began before PyTorch 1.6."""

DAMAGED_PICKLE_ERRORS = (
    pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, IndexError, TypeError,
    AttributeError, AssertionError, OverflowError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
"""What torch.load was seen to raise for cut and altered files (tests alter them at random)."""

_ALLOWING = threading.Lock()

AGAIN = "Fetch the file again: the download was cut off or altered."


@dataclass(frozen=True)
class TensorFile:
    """What a file holds.

    Attributes:
        contents: the saved object, tensors on the CPU in the dtype they are stored in.
        format: "safetensors", "torch zip" or "torch legacy".
        metadata: what a safetensors file says beside its tensors.
    """

    contents: Any
    format: str
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_tensor_file(path: str | Path) -> TensorFile:
    """Read a `.safetensors` file or what `torch.save` wrote, whatever the file is called.

    Raises:
        CheckpointError: the file is missing, unreadable, damaged, of another format, or a pickle
            that holds more than tensors, numbers and an `argparse.Namespace`.
    """
    path = Path(path)
    try:
        found = _identify(path)
        if found == "safetensors":
            # load_file maps the file; a copy stays valid when the file is replaced.
            tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
            with safe_open(path, "pt") as file:
                return TensorFile(tensors, found, file.metadata() or {})
        with path.open("rb") as file:
            return TensorFile(_unpickle(file, path), found)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file `{path}`.") from error
    except SafetensorError as error:
        raise CheckpointError(
            f"`{path}` is a damaged or truncated safetensors file ({error}). {AGAIN}"
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
    """Write tensors, and what else is to be said of them, to `target`, whole or not at all.

    Raises:
        CheckpointError: `target` exists and `overwrite` is false, or it cannot be written.
    """
    target = Path(target)
    try:
        with write_atomically(target, overwrite=overwrite) as scratch:
            # safetensors refuses tensors that share memory, as the blurs of a model may; and its
            # own save_file makes files that only their owner can read.
            apart = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
            scratch.write_bytes(save(apart, metadata={"format": "pt", **(metadata or {})}))
    except FileExistsError as error:
        raise CheckpointError(
            f"`{target}` exists already. Choose another name, or allow it to be overwritten."
        ) from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"`{target}` cannot be written: {error}.") from error


def _identify(path: Path) -> str:
    """Name the file's format from its first bytes, or say what it is instead."""
    if path.is_dir():
        inside = sorted(
            p.name for p in path.iterdir() if p.suffix in (".pth", ".pt", ".safetensors")
        )
        hint = f" It holds {', '.join(inside[:5])}." if inside else ""
        raise CheckpointError(f"`{path}` is a folder; name the checkpoint file in it.{hint}")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise CheckpointError(f"`{path}` is empty (0 bytes). {AGAIN}")
    if path.suffix.lower() == ".onnx":
        raise CheckpointError(_onnx_message(path))
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"`{path}` is a Git LFS pointer, not the file itself. Run `git lfs pull` where it was "
            "cloned, or download the file from its web page."
        )
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"`{path}` is a web page saved under that name. Fetch the file behind the page's "
            "download button."
        )
    if head.startswith(b"PK\x03\x04"):
        return _identify_zip(path)
    if head.startswith(LEGACY_MAGIC):
        return "torch legacy"
    if LEGACY_MAGIC.startswith(head):
        raise CheckpointError(f"`{path}` is a truncated PyTorch file ({size} bytes). {AGAIN}")
    # A safetensors header may be 128 bytes long, or 384 …: 0x80 then stands first there too.
    if head.startswith(b"\x80") and head[8:9] != b"{":
        raise CheckpointError(
            f"`{path}` is a Python pickle that PyTorch did not write. It was not opened: a pickle "
            "can run any code. Ask its author for a .safetensors file."
        )
    if path.suffix.lower() == ".safetensors" or head[8:9] == b"{":
        if len(head) < 8 or size < 8 + int.from_bytes(head[:8], "little"):
            raise CheckpointError(
                f"`{path}` is a truncated safetensors file ({size} bytes), or not one. {AGAIN}"
            )
        return "safetensors"
    raise CheckpointError(
        f"`{path}` is neither a .safetensors file nor what `torch.save` writes (.pth, .pt): it "
        f"begins with {head[:8]!r}. `gpen models` lists files that work."
    )


def _identify_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        raise CheckpointError(
            f"`{path}` is a truncated or damaged archive ({path.stat().st_size} bytes, no list of "
            f"contents at its end). {AGAIN}"
        ) from error
    entries = {name.partition("/")[2] for name in names}
    if "constants.pkl" in entries:
        raise CheckpointError(
            f"`{path}` is a TorchScript program, which is code. Use the .pth or .safetensors file "
            "of its weights."
        )
    if "data.pkl" not in entries:
        raise CheckpointError(
            f"`{path}` is a zip archive, but not one that PyTorch wrote (it holds "
            f"{', '.join(names[:3]) or 'nothing'}). If the checkpoint is inside, unpack it first."
        )
    return "torch zip"


def _unpickle(file: BinaryIO, path: Path) -> Any:
    try:
        with _namespaces_allowed():
            return torch.load(file, map_location="cpu", weights_only=True)
    except DAMAGED_PICKLE_ERRORS as error:
        # PyTorch's own message advises to switch the protection off; it must not reach a user.
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
        raise CheckpointError(f"`{path}` is a damaged PyTorch file ({detail}). {AGAIN}") from error


@contextmanager
def _namespaces_allowed() -> Iterator[None]:
    """Where PyTorch reads the command lines that self-trained GPENs keep beside their weights.

    What it allows holds for the whole process: threads take turns, and what was allowed before
    stays so.
    """
    with _ALLOWING:
        if argparse.Namespace in torch.serialization.get_safe_globals():
            yield
            return
        with torch.serialization.safe_globals([argparse.Namespace]):
            yield


def _onnx_message(path: Path) -> str:
    size = re.search(r"gpen\D*(256|512|1024|2048)", path.name, re.IGNORECASE)
    instead = f"GPEN-BFR-{size[1]}.pth" if size else "the .pth file"
    return (
        f"`{path}` is an ONNX file, which cannot be loaded here: its graph is fixed to one face at "
        f"a time. Use {instead} of the same model, or a .safetensors file made from it by "
        "`gpen convert`; `gpen models` says where it is published."
    )
