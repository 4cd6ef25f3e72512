"""What a model on a CPU keeps from one forward pass to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from .cpu.workspace import Workspace
from .weight_cache import Prepared


@dataclass
class Kept:
    """Memory, and what was computed from weights.

    Attributes:
        workspace: large buffers; copies are empty.
        prepared: weights laid out once; copies are empty.
    """

    workspace: Workspace = field(default_factory=Workspace)
    prepared: Prepared = field(default_factory=Prepared)
