"""Configurations: the published ones, read from shapes, and refused."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest
from golden import CASES, ODD, shapes

from gpen_core.arch import GPENConfig, read_config
from gpen_core.errors import CheckpointError

# Number of tensors, float32 bytes, and the SHA-256 of the sorted lines `name [shape]`.
PUBLISHED = {
    "gpen-256": (144, 75_517_192, "7a8bd9c02b43501a"),
    "gpen-512": (163, 284_022_236, "5da9edb9e88069c6"),
    "gpen-1024": (182, 284_843_696, "cb6d85911fb8cd94"),
    "gpen-2048": (201, 285_180_804, "c6cb9178e896be3d"),
}


@pytest.mark.weights
@pytest.mark.parametrize("name", CASES)
def test_names_and_shapes_are_the_published_ones(name: str, shared: Path) -> None:
    manifest = json.loads((shared / "golden" / "manifests" / f"{name}.json").read_text())
    assert shapes(CASES[name]) == manifest
    assert read_config(manifest) == CASES[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_have_these_tensors_and_bytes(name: str) -> None:
    tensors, size, digest = PUBLISHED[name]
    found = shapes(CASES[name])
    lines = "\n".join(f"{key} {shape}" for key, shape in sorted(found.items()))
    assert len(found) == tensors
    assert sum(4 * math.prod(shape) for shape in found.values()) == size
    assert hashlib.sha256(lines.encode()).hexdigest().startswith(digest)


@pytest.mark.parametrize("kind", ODD)
def test_config_is_read_from_shapes_alone(kind: str) -> None:
    assert read_config(shapes(ODD[kind])) == ODD[kind]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_size": 24}, "power of two"),
        ({"in_size": 4}, "power of two"),
        ({"in_size": 64}, "exceeds"),
        ({"widths": (8, 8)}, "widths"),
        ({"widths": (8, 8, 8, 0)}, "widths"),
        ({"noise": "multiply"}, "noise"),
    ],
)
def test_impossible_configs_are_refused(changes: dict[str, object], message: str) -> None:
    fields = {"in_size": 32, "out_size": 32, "widths": (8, 8, 8, 8)} | changes
    with pytest.raises(ValueError, match=message):
        GPENConfig(**fields)  # pyright: ignore[reportArgumentType]


def test_tensors_of_another_network_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"`generator.input.input` is missing \(6 of 6"):
        read_config({"conv_first.weight": [64, 3, 3, 3]})
