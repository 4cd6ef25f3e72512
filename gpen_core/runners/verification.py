"""Compare the network that was read from an ONNX file with the file itself, run by ONNX Runtime.

A wrong reading would give wrong faces, and no one could tell why. So each file is compared once,
where ONNX Runtime is installed; the cache keeps the result. The comparison runs in a process of its
own: it takes gigabytes that this process would not get back, and a crash would end it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..cache import read_record, write_record
from ..devices import free_system_memory
from ..errors import CheckpointError
from ..printable import printable
from ..settings import is_on
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
    return is_on("GPEN_VERIFY")


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
CANNOT_COMPARE = "the archive of the ComfyUI registry starts no process, a clone does"


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
    if not _can_compare():
        return Verification(reason=CANNOT_COMPARE)
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
    """Compare a file in a process of its own; return the difference."""
    try:
        from .comparing import compare_apart
    except ModuleNotFoundError as error:
        raise CheckpointError(f"`{path}` was not compared: {CANNOT_COMPARE}.") from error
    return compare_apart(path)


def _can_compare() -> bool:
    """Tell whether this copy of the package may start a process."""
    return importlib.util.find_spec(".comparing", __package__) is not None


@cache
def _stamp_reader() -> str:
    """Return a text that changes with the code that reads ONNX files: it outdates all results."""
    folder = Path(__file__).resolve().parents[1] / "checkpoints" / "onnx"
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
