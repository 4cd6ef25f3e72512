"""What a model on a CPU keeps from one forward pass to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from .prepared import Prepared
from .workspace import Workspace


@dataclass
class Kept:
    """Memory, and what was computed from weights.

    Attributes:
        workspace: large buffers; copies are empty.
        prepared: weights laid out once; copies are empty.
    """

    workspace: Workspace = field(default_factory=Workspace)
    prepared: Prepared = field(default_factory=Prepared)
