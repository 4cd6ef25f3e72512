"""Memory that training keeps."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from gpen_core.arch.cpu.workspace import keep_all_freed_memory
if sys.argv[1:]:
    keep_all_freed_memory()
for _ in range(4):
    torch.zeros(64 << 20, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    torch.zeros(64 << 20, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*words: str) -> int:
    """Of allocating 64 MiB four times, once they were allocated before."""
    command = (sys.executable, "-c", FAULTS, *words)
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap is meant")
def test_freed_memory_is_kept_whatever_its_size() -> None:
    pages = 4 * (64 << 20) // 4096
    if page_faults() < pages // 2:
        pytest.skip("this C library keeps it by itself, or pages are huge")
    assert page_faults("keep") < 64
