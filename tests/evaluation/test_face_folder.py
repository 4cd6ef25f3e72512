"""Folders of faces: files are found by split, tables are read, unusable ones refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpen_core import ImageError
from gpen_core.evaluation.face_folder import find_faces, group_by_source, group_by_table, read_index


def test_faces_are_found_by_split_from_any_working_folder(noise_folder, monkeypatch):
    assert len(find_faces(noise_folder)) == 6
    monkeypatch.chdir(noise_folder)
    for path in (noise_folder, Path(), Path("../faces")):
        assert [p.name for p in find_faces(path, split="val")] == ["face4.png", "face5.png"]
    with pytest.raises(ImageError, match="split 'test'"):
        find_faces(noise_folder, split="test")


def test_a_path_without_images_or_without_a_folder_is_refused(tmp_path):
    with pytest.raises(ImageError, match="No image under"):
        find_faces(tmp_path)
    (tmp_path / "file.png").write_bytes(b"nothing")
    for path in (tmp_path / "nowhere", tmp_path / "file.png"):
        with pytest.raises(ImageError, match="is not a folder"):
            find_faces(path)


def test_a_folder_that_cannot_be_listed_is_refused_by_name(noise_folder, monkeypatch):
    (noise_folder / "locked").mkdir()
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ImageError, match=r"locked cannot be listed: Permission denied"):
        find_faces(noise_folder)


def test_the_index_holds_each_file_s_source(noise_folder):
    index = read_index(noise_folder)
    assert index[(noise_folder / "face3.png").absolute()]["source"] == "studio1"
    (noise_folder.parent / "INDEX.tsv").unlink()
    assert read_index(noise_folder) == {}
    with pytest.raises(ImageError, match=r"neither .* nor its parent"):
        find_faces(noise_folder, split="val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path\tsplit\nfaces/face0.png\ttrain\n", "must have a column `file`"),
        (b"file\tsplit\nfaces/\xff.png\ttrain\n", "cannot be read as a table in UTF-8"),
        (b"file\nfaces/face0.png\n", "columns `file` and `split`"),
        (b"", "columns `file` and `split`"),
    ],
)
def test_an_unusable_index_is_refused_by_name(noise_folder, content, message):
    (noise_folder.parent / "INDEX.tsv").write_bytes(content)
    with pytest.raises(ImageError, match=message) as refused:
        find_faces(noise_folder, split="train")
    assert "INDEX.tsv" in str(refused.value)


def test_files_are_grouped_by_source_and_by_every_column_of_a_table(noise_folder):
    files = find_faces(noise_folder)[2:]
    files.append(noise_folder / "new.png")
    sources = ["studio0", "studio1", "studio0", "studio1", "unknown"]
    assert group_by_source(noise_folder, files) == {"source": sources}
    table = noise_folder.parent / "people.tsv"
    table.write_text("file\tborn\tnote\nface2.png\t1950\t\nface0.png\t\tfirst\n", "utf-8")
    assert group_by_table(table, noise_folder, files) == {"born": ["1950", "", "", "", ""]}
    (noise_folder.parent / "INDEX.tsv").unlink()
    assert group_by_source(noise_folder, files) == {}
