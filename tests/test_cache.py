from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from gpen_core import cache
from gpen_core.checkpoints import catalog

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_record_returns_as_it_was_stored():
    assert cache.read_record("kind", "key") == {}
    cache.write_record("kind", "key", {"difference": 2.5e-7})
    cache.write_record("kind", "key", {"difference": 1.5e-7})
    assert cache.read_record("kind", "key") == {"difference": 1.5e-7}
    assert cache.read_record("kind", "other") == {}


def test_reading_makes_no_folder(folder):
    cache.read_record("kind", "key")
    assert not folder.exists()


@posix
def test_only_its_user_can_enter_the_cache(folder):
    cache.write_record("kind", "key", {"a": 1})
    for made in (folder, folder / "kind"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


@posix
def test_a_folder_that_others_can_write_into_is_neither_read_nor_written(folder):
    cache.write_record("kind", "key", {"a": 1})
    (folder / "kind").chmod(0o777)
    assert cache.read_record("kind", "key") == {}
    cache.write_record("kind", "other", {"a": 1})
    assert [path.name for path in (folder / "kind").iterdir()] == ["key.json"]


@posix
def test_a_folder_of_another_user_is_neither_read_nor_written(folder, monkeypatch):
    cache.write_record("kind", "key", {"a": 1})
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert cache.read_record("kind", "key") == {}
    cache.write_record("kind", "other", {"a": 1})
    assert [path.name for path in (folder / "kind").iterdir()] == ["key.json"]


@posix
def test_a_link_is_not_followed(folder, tmp_path):
    cache.write_record("kind", "key", {"a": 1})
    (folder / "kind").rename(tmp_path / "elsewhere")
    (folder / "kind").symlink_to(tmp_path / "elsewhere")
    assert cache.read_record("kind", "key") == {}


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b"{" * 70_000, b"[" * 60_000])
def test_a_damaged_record_counts_as_none(content, folder):
    cache.write_record("kind", "key", {"a": 1})
    (folder / "kind" / "key.json").write_bytes(content)
    assert cache.read_record("kind", "key") == {}


def test_a_cache_that_cannot_be_made_stops_nothing(folder):
    folder.write_text("a file stands where the folder would be")
    cache.write_record("kind", "key", {"a": 1})
    assert cache.read_record("kind", "key") == {}


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("GPEN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", home)
    cache.write_record("kind", "key", {"a": 1})
    assert cache.read_record("kind", "key") == {}


def test_downloads_go_into_the_same_cache(folder, monkeypatch):
    monkeypatch.delenv("GPEN_WEIGHTS", raising=False)
    assert catalog.download_folder() == folder
    monkeypatch.delenv("GPEN_CACHE")
    assert catalog.download_folder() == cache.find_folder() != folder
