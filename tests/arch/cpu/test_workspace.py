"""Buffers that are reused, and freed memory that the C library keeps."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
import torch

from gpen_core.arch.cpu.workspace import Workspace

FAULTS = """
import resource, sys, torch
from gpen_core.arch.cpu.workspace import keep_all_freed_memory
if sys.argv[1:]:
    keep_all_freed_memory()
for _ in range(16):
    torch.zeros(64 << 20, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    torch.zeros(64 << 20, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_buffers_are_reused_and_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpen_core.arch.cpu.workspace.SMALL", 0)
    workspace = Workspace()
    large = workspace.take("x", (4, 100), torch.float32)
    smaller = workspace.take("x", (3, 50), torch.bfloat16)
    assert smaller.data_ptr() == large.data_ptr()
    assert smaller.is_contiguous() and smaller.dtype == torch.bfloat16
    for twin in (copy.deepcopy(workspace), pickle.loads(pickle.dumps(workspace))):
        assert twin.take("x", (4, 100), torch.float32).data_ptr() != large.data_ptr()


def count_page_faults(*words: str) -> int:
    """Count the page faults of allocating 64 MiB four times, after doing so before.

    Sixteen times before: a small block may settle inside a freed one, and spoil it for the next.
    """
    command = (sys.executable, "-c", FAULTS, *words)
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc's heap, so Linux")
def test_freed_blocks_of_any_size_are_reused() -> None:
    pages = 4 * (64 << 20) // 4096
    if count_page_faults() < pages // 2:
        pytest.skip("this C library reuses them by itself, or pages are huge")
    assert count_page_faults("keep") < 64
