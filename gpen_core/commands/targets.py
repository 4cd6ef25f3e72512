"""Names of results: what `-o` means, and what a result in a folder is called."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GPENError
from ..files import exists, is_file, is_folder
from ..names import IMAGE_SUFFIXES, VIDEO_SUFFIXES, VIDEO_WRITABLE, WRITABLE
from .inputs import explain_no_match

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_NAME = 255  # bytes, in most file systems


def is_single(inputs: Sequence[str], output: Path, *, films: bool) -> bool:
    """Whether `output` is one file; raise GPENError if it is not possible for the inputs.

    Args:
        inputs: files, folders and patterns.
        output: a file if there is one input file, else a folder.
        films: films are taken, too.
    """
    return (films and _is_single_film(inputs, output)) or _is_single_image(inputs, output)


def _is_single_film(inputs: Sequence[str], output: Path) -> bool:
    """Whether `output` is one film; raise GPENError if it is not possible for the inputs."""
    is_film = len(inputs) == 1 and Path(inputs[0]).suffix.lower() in VIDEO_SUFFIXES
    suffix = output.suffix.lower()
    if is_folder(output) or suffix not in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
        return False
    if is_film and not exists(inputs[0]) and not glob.has_magic(inputs[0]):
        raise GPENError(f"{inputs[0]} {explain_no_match(inputs[0])}.")
    if suffix in IMAGE_SUFFIXES:
        if is_film:
            raise GPENError(f"-o {output} names an image, but {inputs[0]} is a film. Name a film.")
        return False
    if not is_film or not is_file(inputs[0]):
        raise GPENError(f"-o {output} names a film, but the input is not a single film.")
    if suffix not in VIDEO_WRITABLE:
        raise GPENError(
            f"-o {output}: {output.suffix} is not written. Name one of {' '.join(VIDEO_WRITABLE)}."
        )
    return True


def _is_single_image(inputs: Sequence[str], output: Path) -> bool:
    """Whether `output` is one image file; raise GPENError if it is not possible for the inputs."""
    if output.suffix.lower() not in IMAGE_SUFFIXES or is_folder(output):
        if is_file(output):
            raise GPENError(f"-o {output} is a file, and no image by its name. Name a folder.")
        return False
    if len(inputs) == 1 and not exists(inputs[0]) and not glob.has_magic(inputs[0]):
        raise GPENError(f"{inputs[0]} {explain_no_match(inputs[0])}.")
    if len(inputs) != 1 or not is_file(inputs[0]):
        raise GPENError(
            f"-o {output} names an image file, but the input is not a single file. Name a folder."
        )
    if output.suffix.lower() not in WRITABLE:
        raise GPENError(
            f"-o {output}: {output.suffix} is not written. Name one of {' '.join(WRITABLE)}."
        )
    return True


def make_writable(place: Path, suffix: str | None) -> Path:
    """Replace the suffix by the one asked for, or else add .png (.mp4) to one that is not written.

    So a.gif and a.png keep different names unless the user asks for one suffix.
    """
    if place.suffix.lower() in VIDEO_SUFFIXES:
        return place if place.suffix.lower() in VIDEO_WRITABLE else append_ending(place, ".mp4")
    if suffix is None:
        return place if place.suffix.lower() in WRITABLE else append_ending(place, ".png")
    stem = place.with_suffix("") if place.suffix.lower() in IMAGE_SUFFIXES else place
    return append_ending(stem, suffix)


def append_ending(path: Path, ending: str) -> Path:
    """Append to a file's name, of which a part is replaced by its hash where it gets too long."""
    name = path.name + ending
    if len(name.encode(errors="surrogateescape")) > _LONGEST_NAME:
        mark = f"~{hashlib.sha256(path.name.encode(errors='surrogateescape')).hexdigest()[:8]}"
        room = _LONGEST_NAME - len(mark) - len(ending.encode())
        kept = path.name.encode(errors="surrogateescape")[:room].decode(errors="ignore")
        name = kept + mark + ending
    return path.with_name(name)
