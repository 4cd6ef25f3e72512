"""Decide whether a downloaded file is the network that the catalogue names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError
from .state_dicts import find_network
from .tensor_files import read_outline

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURES = {
    "detector": ("RetinaFace face detector", r"(module\.)?ClassHead\.0\.conv1x1\.weight$"),
    "parser": ("face parser", r"(module\.)?(out_mask_conv|ffm)\."),
}
"""Other networks than GPEN: the kind in words, and a pattern that the name of a tensor matches."""
ONNX_START = re.compile(rb"\x08[\x01-\x20]")
"""The first bytes of an ONNX file: the field `ir_version` and its number."""


def check_file(path: Path, *, name: str, kind: str, pixels: int | None) -> None:
    """Check that a file is a network of this kind, by its header: names, shapes and length.

    Args:
        path: the file.
        name: the name that it will have.
        kind: "gpen", "detector" or "parser".
        pixels: the size of the faces that a GPEN restores; None if it is not known.

    Raises:
        CheckpointError: it is another file.
    """
    try:
        if name.endswith(".onnx"):
            _check_onnx(path)
        elif kind == "gpen":
            _check_gpen(read_outline(path), pixels)
        else:
            _check_signature(read_outline(path), *SIGNATURES[kind])
    except CheckpointError as error:
        reason = str(error).replace(f"`{path}` ", "The file ", 1)
        raise CheckpointError(f"`{name}` is not the published file. {reason}") from error


def _check_gpen(contents: Any, pixels: int | None) -> None:
    _, config, _ = find_network(contents)
    if pixels is not None and config.out_size != pixels:
        raise CheckpointError(
            f"It restores faces at {config.out_size} px; the catalogue says {pixels} px."
        )


def _check_signature(contents: Any, words: str, pattern: str) -> None:
    names = contents if isinstance(contents, Mapping) else ()
    if not any(re.match(pattern, str(name)) for name in names):
        raise CheckpointError(f"It is no {words}: no tensor is called `{pattern}`.")


def _check_onnx(path: Path) -> None:
    with path.open("rb") as file:
        if not ONNX_START.match(file.read(2)):
            raise CheckpointError("It is no ONNX file.")
