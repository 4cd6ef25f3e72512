"""Start the process in which `comparison` compares an ONNX file; read its answer.

The archive that the ComfyUI registry serves leaves this module out: nothing starts a process there.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from ..printable import printable

TIMEOUT = 300
"""Seconds after which a comparison is given up."""

START = (
    "import sys; root = sys.argv.pop(1); sys.path[:] = [root, *filter(None, sys.path)]; "
    "from gpen_core.runners.comparison import main; main(sys.argv[1])"
)
"""The program of the process. ComfyUI knows this package by another name, so its folder is given.
The current folder, which Python would search first, is left out."""


def compare_apart(path: Path) -> float:
    """Run `comparison` in a process of its own; return the difference.

    Raises:
        CheckpointError: the comparison did not come to an end.
    """
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "",  # on the CPU, exactly, beside whatever the GPU does
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        "PYTHONIOENCODING": "utf-8",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", START, str(root), str(path.resolve())],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CheckpointError(f"`{path}` could not be compared with itself: {error}.") from error
    answer = _parse(done.stdout)
    difference = answer.get("difference")
    if isinstance(difference, float) and not math.isnan(difference):
        return difference
    said = answer.get("error") or (done.stderr.strip().splitlines() or [""])[-1]
    raise CheckpointError(
        f"`{path}` could not be compared with ONNX Runtime: "
        f"{printable(str(said), 300) or f'its process ended with {done.returncode}'}"
    )


def _parse(output: str) -> dict[str, Any]:
    """Return the object in the last line of an output; an empty one if there is none."""
    try:
        answer = json.loads((output.strip().splitlines() or [""])[-1])
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
