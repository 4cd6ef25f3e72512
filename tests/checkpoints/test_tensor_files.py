from __future__ import annotations

import argparse
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from gpen_core.checkpoints.tensor_files import read_tensor_file
from gpen_core.errors import CheckpointError

Tensors = dict[str, torch.Tensor]


def save(path: Path, contents: Any, *, legacy: bool = False) -> Path:
    torch.save(contents, path, _use_new_zipfile_serialization=not legacy)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_tensor_file(path)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "none.pth")


def test_a_folder_is_refused_and_its_checkpoints_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside.pth").touch()
    message = refusal(tmp_path / "folder")
    assert "is a folder" in message
    assert "inside.pth" in message


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "locked.pth", {})

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read: Permission denied" in refusal(path)


@pytest.mark.parametrize(
    ("name", "contents", "said"),
    [
        ("empty.pth", b"", "is empty (0 bytes)"),
        ("empty.safetensors", b"", "is empty (0 bytes)"),
        ("text.pth", b"hello, this is no model", "begins with b'hello, t'"),
        ("short.safetensors", b"abc", "truncated safetensors"),
        ("page.pth", b"\n<!DOCTYPE html><html>Not found</html>", "is a web page"),
        (
            "pointer.pth",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 284085738\n",
            "Git LFS pointer",
        ),
        ("GPEN-BFR-512.onnx", b"\x08\x07\x12\x07pytorch", "a file of tensors is needed here"),
        ("words.onnx", b"hello world, no model", "named like an ONNX file, but it is none"),
        ("page.onnx", b"\n<!DOCTYPE html><html>Not found</html>", "is a web page"),
    ],
)
def test_files_of_another_kind_are_identified(
    name: str, contents: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(contents)
    assert said in refusal(tmp_path / name)


def test_a_zip_that_pytorch_did_not_write_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.pth", "w") as archive:
        archive.writestr("holiday.jpg", b"...")
    message = refusal(tmp_path / "photos.pth")
    assert "PyTorch did not write it" in message
    assert "holiday.jpg" in message


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        for entry in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"script/{entry}", b"")
    assert "TorchScript program" in refusal(tmp_path / "script.pt")


@pytest.mark.parametrize("part", [0.001, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_truncated_file_is_refused(
    kind: str, part: float, tensors: Tensors, tmp_path: Path
) -> None:
    path = tmp_path / "cut.pth"
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        save(path, tensors, legacy=kind == "legacy")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    message = refusal(path)
    assert "truncated" in message or "damaged" in message
    assert "Download the file again" in message


@pytest.mark.filterwarnings("ignore")  # PyTorch warns of pickle protocols that do not exist
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_an_altered_file_is_read_or_refused_but_never_crashes(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "altered.pth"
    contents = {"a.weight": torch.randn(10, 10), "b": torch.randn(3), "c": torch.ones(2).half()}
    if kind == "safetensors":
        save_file(contents, path)
    else:
        save(path, {"g_ema": contents, "args": argparse.Namespace(a=1)}, legacy=kind == "legacy")
    whole = path.read_bytes()
    dice = random.Random(11)
    refused = 0
    for _ in range(300):
        altered = bytearray(whole)
        for _ in range(dice.choice([1, 2, 8, 50])):
            altered[dice.randrange(min(len(altered), dice.choice([600, 10**6])))] = dice.randrange(
                256
            )
        path.write_bytes(altered)
        try:
            read_tensor_file(path)
        except CheckpointError as error:
            refused += 1
            assert "weights_only" not in str(error)
    assert refused > 30


class RunsCode:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain pickle", "old plain pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(kind: str, tmp_path: Path) -> None:
    proof = tmp_path / "was run"
    contents = {"g_ema": {"ecd0.0.0.weight": torch.ones(1)}, "args": RunsCode(proof)}
    path = tmp_path / "evil.pth"
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps(RunsCode(proof)))
    elif kind == "old plain pickle":
        path.write_bytes(pickle.dumps(RunsCode(proof), protocol=0))
    else:
        save(path, contents, legacy=kind == "legacy")
    message = refusal(path)
    assert not proof.exists()
    assert "weights_only" not in message  # PyTorch's message says how to run the code
    if kind in ("zip", "legacy"):
        assert "mkdir" in message
        assert "Nothing was run" in message
        # Unpickled without protection, the same file does run code: this test can fail.
        torch.load(path, weights_only=False)
        assert proof.exists()


def test_a_namespace_is_allowed_beside_tensors_and_nothing_else(tmp_path: Path) -> None:
    options = argparse.Namespace(size=32, tags=["face"], note=None)
    path = save(tmp_path / "model.pth", {"args": options})
    assert read_tensor_file(path).contents == {"args": options}
    path = save(tmp_path / "module.pth", {"net": torch.nn.Linear(2, 2)})
    assert "torch.nn.modules.linear.Linear" in refusal(path)
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_a_safetensors_header_may_begin_with_the_first_byte_of_a_pickle(tmp_path):
    path = tmp_path / "weights.safetensors"
    for length in range(1, 200):
        save_file({"a" * length: torch.ones(2)}, path)
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert read_tensor_file(path).format == "safetensors"
