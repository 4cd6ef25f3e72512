"""Tests with and without the C++ compiler that `torch.compile` needs."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager

import pytest
import torch._inductor.config

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")),
    reason="torch.compile needs a C++ compiler",
)


def no_compiler() -> AbstractContextManager[None]:
    """Let compilation fail within this context; code that is compiled already still runs."""
    return torch._inductor.config.patch(
        {"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}
    )
