from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gpen_core.files import (
    DAY,
    clear_mark,
    hold_alone,
    hold_lock,
    is_unfinished,
    mark_unfinished,
    name_special,
    write_atomically,
)
from gpen_core.printable import printable


def test_stale_scratch_files_of_ours_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    stale, fresh, other = (
        tmp_path / name
        for name in (f".gpen-{'a' * 16}.tmp", f".gpen-{'b' * 16}.tmp", ".0123456789abcdef.tmp")
    )
    for path in (stale, fresh, other):
        path.touch()
    for path in (stale, other):
        os.utime(path, (time.time() - DAY - 60,) * 2)
    with write_atomically(tmp_path / "new", overwrite=False) as scratch:
        assert scratch.name.startswith(".gpen-")
        scratch.write_text("x")
    assert {path.name for path in tmp_path.iterdir()} == {fresh.name, other.name, "new"}


def test_a_mark_stays_until_it_is_cleared(tmp_path: Path) -> None:
    target = tmp_path / ("a" * 250 + ".png")
    assert not is_unfinished(target)
    mark_unfinished(target)
    assert is_unfinished(target) and not is_unfinished(tmp_path / "b.png")
    for _ in range(2):
        clear_mark(target)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_leaves_no_file(tmp_path: Path) -> None:
    for _ in range(2):
        with hold_lock(tmp_path / "lock"):
            assert (tmp_path / "lock").exists()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
def test_special_files_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    assert name_special(tmp_path / "fifo") == "a FIFO"
    assert name_special("/dev/null") == "a device"
    assert name_special(tmp_path) is name_special(tmp_path / "file") is None


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb\r", "\x00\x7f\x9b", "\u202egnp.exe", "\ud800"])
def test_control_characters_are_escaped(text: str) -> None:
    assert printable(text).isprintable()


def test_ordinary_text_stays_and_long_text_is_cut() -> None:
    assert printable("顔 модель 😀 é") == "顔 модель 😀 é"
    assert len(printable("x" * 10**6)) < 120


def test_a_lock_is_held_by_one_and_free_again_when_its_file_is_closed(tmp_path):
    path = tmp_path / "lock"
    file = hold_alone(path)
    assert file is not None
    assert hold_alone(path) is None
    file.close()
    again = hold_alone(path)
    assert again is not None
    again.close()


def test_a_lock_whose_file_was_deleted_holds_nobody(tmp_path):
    path = tmp_path / "lock"
    file = hold_alone(path)
    assert file is not None
    path.unlink()
    again = hold_alone(path)
    assert again is not None
    assert hold_alone(path) is None
    file.close()
    again.close()
