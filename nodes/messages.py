"""The library's messages in ComfyUI's words: there is no command `gpen` in ComfyUI."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..gpen_core.errors import GPENError

if TYPE_CHECKING:
    from collections.abc import Iterator

REPLACED = (
    ("; `gpen convert` makes one of an ONNX file that holds a GPEN", ""),
    ("`gpen models` lists files that work", "The help page of Load GPEN lists files that work"),
    (
        "`gpen models` lists the files of detectors",
        "The help page of Load Face Detector lists the files of detectors",
    ),
    (
        "`gpen models` says where both are published",
        "The pack's weights/catalog.toml says where both are published",
    ),
    (
        "If it is an upscaler, `gpen restore --upscaler` takes it for the background",
        "If it is an upscaler, ComfyUI's node Load Upscale Model loads it",
    ),
    ("`gpen restore --model` runs it", "The node Load Face Restorer loads it"),
    (", or pass --hdr to restore its coded values as they are", ""),
    (", or pass --audio none", ""),
    (" Convert the sound to AAC first, or pass --audio none.", " Convert the sound to AAC first."),
    ("`gpen convert --sharpen` writes one", "Choose another file of this model"),
)
"""Parts of messages of gpen_core, and what they say in ComfyUI. A test holds the list complete."""


def translate(message: str) -> str:
    """Replace advice for the command line by a step that works in ComfyUI."""
    for ours, theirs in REPLACED:
        message = message.replace(ours, theirs)
    return message


@contextmanager
def speaking_to_comfyui() -> Iterator[None]:
    """Translate the message of a GPENError that is raised in this block."""
    try:
        yield
    except GPENError as error:
        message = translate(str(error))
        if message == str(error):
            raise
        raise type(error)(message) from error
