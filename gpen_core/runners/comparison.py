"""The process that compares an ONNX file with the network read from it; see `verification`."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ..checkpoints.loading import read_checkpoint
from ..errors import GPENError
from .onnxruntime import OnnxRunner
from .probes import make_probe, relative_difference
from .sessions import CPU


def main(path: str) -> None:
    """Print `{"difference": …}`, or `{"error": …}` if the file cannot be compared."""
    try:
        answer: dict[str, object] = {"difference": compare(Path(path))}
    except (GPENError, MemoryError) as error:
        answer = {"error": str(error) or "memory ran out"}
    print(json.dumps(answer))


@torch.inference_mode()
def compare(path: Path) -> float:
    """Return the relative difference between our network and ONNX Runtime for one fixed face.

    Raises:
        GPENError: the file cannot be read, or ONNX Runtime cannot run it.
    """
    network = read_checkpoint(path).build()
    face = make_probe(1, network.config.in_size)
    ours = network(face)
    del network  # ONNX Runtime needs the memory
    theirs = OnnxRunner(path, torch.device("cpu"), providers=[CPU])(face)
    return relative_difference(ours, theirs)
