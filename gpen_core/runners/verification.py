"""Compare the network that was read from an ONNX file with the file itself, run by ONNX Runtime.

A wrong reading would give wrong faces, and no one could tell why. So each file is compared once,
where ONNX Runtime is installed; the cache keeps the result. The comparison runs in a process of its
own: it takes gigabytes that this process would not get back, and a crash would end it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..cache import read_record, write_record
from ..devices import free_system_memory
from ..errors import CheckpointError
from ..printable import printable
from .sessions import estimate_memory, is_installed, require_package

if TYPE_CHECKING:
    from ..runner import RunnerConfig

_log = logging.getLogger(__name__)

RECORDS = "verified"
"""The kind of the records in the cache."""

LIMITS = {"fp32": 1e-3, "fp16": 4e-3}
"""The largest relative difference at which a reading is used, by the dtype of the file's weights.
A right reading differs by 1e-6 in float32. A file of float16 computes in float16, and our network
is compared in float32, so they differ by up to 1e-3."""

MEMORY_SHARE = 0.5
"""Share of the free memory that a comparison may take unasked."""

TIMEOUT = 300
"""Seconds after which a comparison is given up."""

START = (
    "import sys; root = sys.argv.pop(1); sys.path[:] = [root, *filter(None, sys.path)]; "
    "from gpen_core.runners.comparison import main; main(sys.argv[1])"
)
"""The program of the process. ComfyUI knows this package by another name, so its folder is given.
The current folder, which Python would search first, is left out."""


@dataclass(frozen=True)
class Verification:
    """The result of a comparison, or the reason why there is none.

    Attributes:
        difference: ‖ours − ONNX Runtime's‖ / ‖ONNX Runtime's‖; None if there was no comparison.
        limit: the largest difference at which the reading is used.
        reason: why there was no comparison; "" if there was one.
    """

    difference: float | None = None
    limit: float = LIMITS["fp32"]
    reason: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether the comparison shows that the file was read wrongly."""
        return self.difference is not None and not self.difference <= self.limit

    def describe(self) -> str:
        """Return the result in words."""
        if self.difference is None:
            return f"no: {self.reason}"
        if self.is_wrong:
            return f"no: it differs from ONNX Runtime by {self.difference:.2g}"
        return f"yes, it differs from ONNX Runtime by {self.difference:.1g}"


def is_wanted() -> bool:
    """Tell whether the user lets files be compared unasked: not with `GPEN_VERIFY=0`."""
    return os.environ.get("GPEN_VERIFY", "1").strip().lower() not in ("0", "no", "off", "false")


def recall(sha256: str, dtype: str) -> Verification:
    """Return the result that the cache keeps for a file, without comparing anything.

    Args:
        sha256: the hash of the file.
        dtype: the dtype of its weights, "fp32" or "fp16".
    """
    record = read_record(RECORDS, f"{sha256}-{_stamp_reader()}")
    difference = record.get("difference")
    if isinstance(difference, float) and difference >= 0:
        return Verification(difference, LIMITS[dtype])
    return Verification(reason=printable(str(record.get("reason") or NOT_COMPARED), 300))


NOT_COMPARED = "it was not compared yet"


def verify_once(path: Path, sha256: str, dtype: str, config: RunnerConfig) -> Verification:
    """Compare a file if it was never compared before and nothing stands against it.

    Args:
        path: an ONNX file that was read.
        sha256: its hash.
        dtype: the dtype of its weights.
        config: the network that was read from it.
    """
    known = recall(sha256, dtype)
    if known.difference is not None or known.reason != NOT_COMPARED:
        return known
    if not is_installed():
        return Verification(reason="onnxruntime is not installed")
    need, free = estimate_memory(config, 1, path.stat().st_size), free_system_memory()
    if need > free * MEMORY_SHARE:
        gigabytes = " of the ".join(f"{amount / 2**30:.1f} GB" for amount in (need, free))
        return Verification(reason=f"comparing it would take {gigabytes} that are free")
    _log.info("Comparing %s with ONNX Runtime, once: GPEN_VERIFY=0 turns this off.", path.name)
    try:
        return verify(path, sha256, dtype)
    except CheckpointError as error:
        # The file is sound, since it was read: ONNX Runtime cannot run it, or not here.
        write_record(RECORDS, f"{sha256}-{_stamp_reader()}", {"reason": str(error)})
        return Verification(reason=str(error))


def verify(path: Path, sha256: str, dtype: str) -> Verification:
    """Compare a file in any case; the cache keeps the result.

    Raises:
        CheckpointError: ONNX Runtime is not installed, or the comparison did not come to an end.
    """
    require_package("onnxruntime", "Verifying an ONNX file")
    difference = _compare(path)
    write_record(RECORDS, f"{sha256}-{_stamp_reader()}", {"difference": difference})
    return Verification(difference, LIMITS[dtype])


def _compare(path: Path) -> float:
    """Run `comparison` in a process of its own; return the difference."""
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


@cache
def _stamp_reader() -> str:
    """Return a text that changes with the code that reads ONNX files: it outdates all results."""
    folder = Path(__file__).resolve().parents[1] / "checkpoints" / "onnx"
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
