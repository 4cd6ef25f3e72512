"""Networks from tensors in memory."""

from __future__ import annotations

from typing import Any

from gpen_core.arch import GPEN
from gpen_core.checkpoints.loading import build_network
from gpen_core.checkpoints.state_dicts import read_state_dict


def build_gpen(contents: Any) -> GPEN:
    """Build a float32 GPEN from tensors by name, bare or in a container that files use."""
    tensors, config, _ = read_state_dict(contents)
    return build_network(tensors, config)
