from __future__ import annotations

from pathlib import Path

import pytest

from gpen_core.arch import GPENConfig
from gpen_core.errors import CheckpointError
from gpen_core.runners import comparing, verification
from gpen_core.runners.verification import recall, verify, verify_once

CONFIG = GPENConfig(64, 64, (8, 8, 8, 8, 8))
ROOT = Path(__file__).resolve().parents[2]
HASH = "ab" * 32


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "модель.onnx"
    path.write_bytes(b"\x08\x08")
    return path


def count_comparisons(monkeypatch: pytest.MonkeyPatch, difference: float) -> list[Path]:
    """Replace the comparison; return the list of files that it was asked to compare."""
    compared: list[Path] = []
    monkeypatch.setattr(verification, "_compare", lambda path: compared.append(path) or difference)
    return compared


def test_a_file_is_compared_once(file, monkeypatch):
    compared = count_comparisons(monkeypatch, 2e-7)
    assert recall(HASH, "fp32").describe() == "no: it was not compared yet"
    for _ in range(2):
        found = verify_once(file, HASH, "fp32", CONFIG)
        assert (found.difference, found.is_wrong) == (2e-7, False)
    assert recall(HASH, "fp32").describe() == "yes, it differs from ONNX Runtime by 2e-07"
    verify_once(file, "cd" * 32, "fp32", CONFIG)
    assert len(compared) == 2


@pytest.mark.parametrize(
    ("dtype", "difference", "wrong"),
    [
        ("fp32", 9e-4, False), ("fp32", 1.1e-3, True), ("fp32", float("inf"), True),
        ("fp16", 3e-3, False), ("fp16", 5e-3, True),
    ],
)  # fmt: skip
def test_a_large_difference_shows_a_wrong_reading(dtype, difference, wrong, file, monkeypatch):
    count_comparisons(monkeypatch, difference)
    assert verify_once(file, HASH, dtype, CONFIG).is_wrong == wrong
    assert recall(HASH, dtype).is_wrong == wrong


def test_files_are_compared_again_when_the_reader_changes(file, monkeypatch):
    compared = count_comparisons(monkeypatch, 2e-7)
    verify_once(file, HASH, "fp32", CONFIG)
    monkeypatch.setattr(verification, "_stamp_reader", lambda: "another reader")
    verify_once(file, HASH, "fp32", CONFIG)
    assert len(compared) == 2


def test_without_onnxruntime_nothing_is_compared(file, monkeypatch, cache):
    monkeypatch.setattr(verification, "is_installed", lambda: False)
    compared = count_comparisons(monkeypatch, 0.0)
    assert verify_once(file, HASH, "fp32", CONFIG).reason == "onnxruntime is not installed"
    assert not compared and not cache.exists()


def test_a_comparison_takes_less_than_half_of_the_free_memory(file, monkeypatch):
    compared = count_comparisons(monkeypatch, 0.0)
    need = verification.estimate_memory(CONFIG, 1, 2)
    monkeypatch.setattr(verification, "free_system_memory", lambda: 2 * need - 2)
    assert (
        "would take 0.0 GB of the 0.0 GB that are free"
        in verify_once(file, HASH, "fp32", CONFIG).describe()
    )
    assert not compared
    verify(file, HASH, "fp32")  # the user asked for it
    assert compared


def test_a_file_that_onnxruntime_cannot_run_is_tried_once(file, monkeypatch):
    tried = []

    def fail(path):
        tried.append(path)
        raise CheckpointError("ONNX Runtime cannot open it")

    monkeypatch.setattr(verification, "_compare", fail)
    for _ in range(2):
        found = verify_once(file, HASH, "fp32", CONFIG)
        assert (found.difference, found.reason) == (None, "ONNX Runtime cannot open it")
    assert len(tried) == 1
    with pytest.raises(CheckpointError, match="cannot open it"):
        verify(file, HASH, "fp32")


@pytest.mark.parametrize(
    ("program", "difference"),
    [
        ("print('noise'); print('{\"difference\": 0.25}')", 0.25),
        ("print('{\"difference\": Infinity}')", float("inf")),
    ],
)
def test_the_answer_of_the_process_is_read(program, difference, file, monkeypatch):
    monkeypatch.setattr(comparing, "START", program)
    assert comparing.compare_apart(file) == difference


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import json; print(json.dumps({'error': 'odd \\x1b[2J'}))", r"Runtime: odd \\x1b\[2J"),
        ("import os; os._exit(9)", "its process ended with 9"),
        ("raise RuntimeError('no torch here')", "RuntimeError: no torch here"),
        ("print('[1]')", "its process ended with 0"),
        ("print('{\"difference\": NaN}')", "its process ended with 0"),
    ],
)
def test_a_process_that_gives_no_answer_is_explained(program, reason, file, monkeypatch):
    monkeypatch.setattr(comparing, "START", program)
    with pytest.raises(CheckpointError, match=reason):
        comparing.compare_apart(file)


def test_the_process_finds_this_package_and_not_the_current_folder(tmp_path, monkeypatch):
    for name in ("gpen_core", "tqdm"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    setting_the_path, _, _ = comparing.START.partition("from gpen_core")
    program = "import json, gpen_core, tqdm; print(json.dumps({'error': gpen_core.__file__}))"
    monkeypatch.setattr(comparing, "START", setting_the_path + program)
    with pytest.raises(CheckpointError) as caught:
        comparing.compare_apart(tmp_path / "model.onnx")
    assert str(ROOT / "gpen_core" / "__init__.py") in str(caught.value)
