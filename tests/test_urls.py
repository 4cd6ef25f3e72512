"""Files behind URLs, in a store without rename that fails at random."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from disk_store import DiskStore
from fsspec.implementations.memory import MemoryFileSystem

from gpen_core import urls
from gpen_core.errors import GPENError, ImageError


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(urls, "DELAY", 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://bucket/a.jpg", True),
        ("memory://a", True),
        ("GS://b/c", True),
        ("C:\\photos\\a.jpg", False),
        ("photos/a.jpg", False),
        ("a:b//c", False),
    ],
)
def test_urls_are_told_from_paths(name, expected):
    assert urls.is_url(name) is expected


def test_a_file_url_is_a_path(tmp_path):
    path = tmp_path / "a b.jpg"
    assert Path(urls.strip_file_scheme(path.as_uri())) == path
    assert urls.strip_file_scheme("s3://a/b") == "s3://a/b"


def test_a_store_without_rename_gets_one_put_under_the_final_name(tmp_path):
    DiskStore.start(tmp_path)
    urls.write("disk://b/new/a.bin", b"one")
    assert [path for request, path in DiskStore.asked if request == "put"] == ["b/new/a.bin"]
    assert urls.read("disk://b/new/a.bin") == b"one"
    found = urls.find_file("disk://b/new/a.bin")
    assert found is not None
    assert (found.url, found.size) == ("disk://b/new/a.bin", 3)
    assert urls.find_file("disk://b/none") is None
    assert urls.find_length("disk://b/new") is None
    assert [file.url for file in urls.list_files("disk://b")] == ["disk://b/new/a.bin"]
    assert [file.url for file in urls.list_files("disk://b/*/*.bin")] == ["disk://b/new/a.bin"]
    urls.write("disk://b/top.bin", b"one")
    assert [file.url for file in urls.list_files("disk://b/*.bin")] == ["disk://b/top.bin"]
    assert len(urls.list_files("disk://b/**/*.bin")) == 2
    assert urls.list_files("disk://none") == []


def test_a_store_that_renames_gets_a_scratch_file_first(monkeypatch):
    moved = []

    class Renaming(MemoryFileSystem):
        protocol = "renaming"
        cachable = False

        def mv(self, path1, path2, **options):
            moved.append((path1, path2))
            if len(moved) == 1:
                raise OSError("connection lost")
            self.store[path2] = self.store.pop(path1)

    import fsspec

    fsspec.register_implementation("renaming", Renaming, clobber=True)
    urls.write("renaming://folder/a.bin", b"one")
    assert len(moved) == 2
    assert all("/.gpen-" in scratch for scratch, _ in moved)
    assert urls.read("renaming://folder/a.bin") == b"one"
    assert [file.url for file in urls.list_files("renaming://folder")] == [
        "renaming://folder/a.bin"
    ]
    Renaming.store.clear()


def test_random_failures_are_tried_again_and_lasting_ones_are_told(tmp_path):
    DiskStore.start(tmp_path, failing=0.2)
    for number in range(40):
        urls.write(f"disk://b/{number}", bytes([number] * 9))
    assert [urls.read(f"disk://b/{number}")[0] for number in range(40)] == list(range(40))
    assert len(DiskStore.asked) > 88  # some were asked again
    for _ in range(9):  # fsspec itself would leave out what it cannot list
        assert len(urls.list_files("disk://")) == 40
    DiskStore.start(tmp_path, failing=2)
    with pytest.raises(ImageError, match=r"disk://b/1 cannot be written after 4 tries: 503"):
        urls.write("disk://b/1", b"new")
    assert (tmp_path / "b" / "1").read_bytes() == bytes([1] * 9)
    with pytest.raises(ImageError, match="cannot be read after 4 tries"):
        urls.find_file("disk://b/1")


def test_what_no_try_mends_is_told_at_once(tmp_path):
    DiskStore.start(tmp_path)
    with pytest.raises(ImageError, match="disk://b/none cannot be read"):
        urls.read("disk://b/none")
    assert len(DiskStore.asked) == 1


def test_missing_packages_and_unknown_stores_are_named(monkeypatch):
    with pytest.raises(GPENError, match=r"no store is known for nowhere://.*s3://"):
        urls.find_file("nowhere://a/b")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(GPENError, match=r's3://a/b.*pip install "gpen-restore\[remote\]"'):
        urls.find_file("s3://a/b")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(GPENError, match=r'pip install "gpen-restore\[remote\]"'):
        urls.read("memory://a")
