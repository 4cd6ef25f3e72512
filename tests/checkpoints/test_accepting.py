from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gpen_core.checkpoints import catalog
from gpen_core.checkpoints.accepting import check_file
from gpen_core.errors import CheckpointError

Tensors = dict[str, torch.Tensor]


def refusal(path: Path, kind: str, *, name: str = "X.pth", pixels: int | None = None) -> str:
    with pytest.raises(CheckpointError, match=f"`{name}` is not the published file") as caught:
        check_file(path, name=name, kind=kind, pixels=pixels)
    return str(caught.value)


def test_a_gpen_of_the_right_size_is_accepted(tensors: Tensors, tmp_path: Path) -> None:
    torch.save({"g_ema": tensors}, tmp_path / "X.pth.part")
    save_file(tensors, tmp_path / "X.safetensors.part")
    for path in tmp_path.iterdir():
        check_file(path, name="X.pth", kind="gpen", pixels=32)
        assert "at 32 px; the catalogue says 512 px" in refusal(path, "gpen", pixels=512)
        assert "is no RetinaFace" in refusal(path, "detector")
        assert "is no face parser" in refusal(path, "parser")


def test_detectors_and_parsers_are_told_by_their_tensors(tmp_path: Path) -> None:
    path = tmp_path / "X.pth.part"
    torch.save({"module.ClassHead.0.conv1x1.weight": torch.zeros(1)}, path)
    check_file(path, name="X.pth", kind="detector", pixels=None)
    assert "Not a GPEN checkpoint" in refusal(path, "gpen")
    torch.save({"out_mask_conv.conv2d.weight": torch.zeros(1)}, path)
    check_file(path, name="X.pth", kind="parser", pixels=None)
    assert "is no RetinaFace" in refusal(path, "detector")
    path.write_bytes(b"\x08\x07\x12\x07pytorch")
    check_file(path, name="X.onnx", kind="detector", pixels=None)


@pytest.mark.parametrize("kind", ["gpen", "detector", "parser"])
@pytest.mark.parametrize(
    "body", [b"", b"{}", json.dumps({"error": "no"}).encode(), b"<!DOCTYPE html>", b"PK\x03\x04"]
)
def test_no_answer_of_a_broken_server_is_accepted(body: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "X.pth.part"
    path.write_bytes(body)
    assert ".part" not in refusal(path, kind)
    assert "is no ONNX file" in refusal(path, "detector", name="X.onnx")


def test_a_file_that_was_cut_off_is_refused(tensors: Tensors, tmp_path: Path) -> None:
    path = tmp_path / "X.pth.part"
    torch.save({"g_ema": tensors}, path)
    path.write_bytes(path.read_bytes()[:-1])
    assert "truncated" in refusal(path, "gpen")


def test_every_entry_says_what_its_file_is() -> None:
    for entry in catalog.entries():
        assert (entry.pixels is not None) == (entry.kind == "gpen"), entry.name
        assert entry.kind in ("gpen", "detector", "parser")


def test_the_built_in_model_is_what_its_entry_says() -> None:
    entry = catalog.find("builtin")
    path = catalog.weights_folder() / entry.file
    check_file(path, name=entry.file, kind=entry.kind, pixels=entry.pixels)
