"""Import a public name on its first use. The ComfyUI registry's archive leaves this module out."""

import importlib
from typing import Any


def load(name: str, module: str, package: str) -> Any:
    """Return `name` of `module`, which is relative to `package`."""
    return getattr(importlib.import_module(f".{module}", package), name)
