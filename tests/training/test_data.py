"""Faces for training: found by split, bad files named, large sets decoded when asked for."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training_faces import write_faces

from gpen_core import ImageError, write_image
from gpen_core.evaluation.face_folder import find_faces, read_index
from gpen_core.evaluation.lazy_faces import LazyFaces
from gpen_core.training.data import draw_batch, load_faces

SIZE = 32


def noise_faces(count: int, height: int = SIZE, width: int = SIZE) -> torch.Tensor:
    draw = torch.Generator().manual_seed(7)
    return torch.randint(256, (count, 3, height, width), generator=draw, dtype=torch.uint8)


@pytest.fixture
def folder(tmp_path):
    """A folder of six images with an index (`write_faces`)."""
    return write_faces(tmp_path, noise_faces(6))


def bad_file(kind: str, folder: Path) -> Path:
    """Write a file that no training can use, and return its path."""
    path = folder / f"bad {kind} ü.jpg"
    if kind == "truncated":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:700])
    elif kind == "corrupt":
        path.write_bytes(b"\xff\xd8\xff\xe0 and nothing like a picture")
    elif kind == "text":
        path.write_text("<html>404 Not Found</html>", encoding="utf-8")
    elif kind == "empty":
        path.touch()
    elif kind == "tiny":
        write_image(path, torch.rand(1, 3, 8, 8))
    elif kind == "oblong":
        write_image(path, torch.rand(1, 3, 40, 64))
    elif kind == "animated":
        path = path.with_suffix(".webp")
        frames = [Image.new("RGB", (SIZE, SIZE), (shade, 0, 0)) for shade in (0, 200)]
        frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


BAD = {
    "truncated": "damaged",
    "corrupt": "damaged",
    "text": "not an image",
    "empty": "empty",
    "tiny": "8 × 8; at least 16 px",
    "oblong": "64 × 40; aligned faces are square",
    "animated": "2 frames",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_left_out_by_name(kind, folder):
    path = bad_file(kind, folder)
    faces, complaints = load_faces(find_faces(folder), SIZE)
    assert len(faces) == 6
    (complaint,) = complaints
    assert str(path) in complaint
    assert BAD[kind] in complaint


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_met_late_is_named_once_and_replaced_by_the_next(kind, folder, caplog):
    path = bad_file(kind, folder)  # sorted before the faces
    files = find_faces(folder)
    assert files[0] == path
    faces = LazyFaces(files, SIZE, budget=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert torch.equal(faces[0:2], noise_faces(1).expand(2, -1, -1, -1))
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert BAD[kind] in record.getMessage()


def test_an_unreadable_file_is_left_out_by_name(folder, monkeypatch):
    read = Path.read_bytes

    def refuse(path):
        if path.name == "face2.png":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    faces, complaints = load_faces(find_faces(folder), SIZE)
    assert len(faces) == 5
    assert len(complaints) == 1
    assert "face2.png cannot be read" in complaints[0]
    assert "Permission denied" in complaints[0]


def test_a_folder_that_cannot_be_listed_is_refused_by_name(folder, monkeypatch):
    (folder / "locked").mkdir()
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ImageError, match=r"locked cannot be listed: Permission denied"):
        find_faces(folder)


def test_folders_without_a_usable_image_are_refused(tmp_path):
    with pytest.raises(ImageError, match="No image to train on"):
        find_faces(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"No usable training image.*broken\.png"):
        load_faces(find_faces(tmp_path), SIZE)
    lazy = LazyFaces(find_faces(tmp_path), SIZE, budget=0)
    with pytest.raises(ImageError, match=r"None of the 1 images.*broken\.png"):
        lazy[0:1]
    for path in (tmp_path / "nowhere", tmp_path / "broken.png"):
        with pytest.raises(ImageError, match="is not a folder"):
            find_faces(path)


def test_faces_are_found_by_split_from_anywhere(folder, monkeypatch):
    assert len(find_faces(folder)) == 6
    monkeypatch.chdir(folder)
    for path in (folder, Path(), Path("../faces")):
        assert [p.name for p in find_faces(path, split="val")] == ["face4.png", "face5.png"]
    with pytest.raises(ImageError, match="split 'test'"):
        find_faces(folder, split="test")


def test_the_index_tells_each_file_s_source(folder):
    index = read_index(folder)
    assert index[(folder / "face3.png").absolute()]["source"] == "studio1"
    (folder.parent / "INDEX.tsv").unlink()
    assert read_index(folder) == {}
    with pytest.raises(ImageError, match=r"neither .* nor its parent"):
        find_faces(folder, split="val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path\tsplit\nfaces/face0.png\ttrain\n", "must have a column `file`"),
        (b"file\tsplit\nfaces/\xff.png\ttrain\n", "cannot be read as a table in UTF-8"),
        (b"file\nfaces/face0.png\n", "columns `file` and `split`"),
        (b"", "columns `file` and `split`"),
    ],
)
def test_an_index_that_cannot_be_used_is_refused_by_name(folder, content, message):
    (folder.parent / "INDEX.tsv").write_bytes(content)
    with pytest.raises(ImageError, match=message) as refused:
        find_faces(folder, split="train")
    assert "INDEX.tsv" in str(refused.value)


def test_a_set_beyond_the_budget_is_decoded_when_asked_for_and_draws_the_same(folder):
    files = find_faces(folder)
    eager, _ = load_faces(files, SIZE)
    face = 3 * SIZE * SIZE
    assert isinstance(load_faces(files, SIZE, budget=6 * face)[0], torch.Tensor)
    lazy, complaints = load_faces(files, SIZE, budget=2 * face)
    assert isinstance(lazy, LazyFaces)
    assert complaints == []
    assert lazy.shape == eager.shape
    assert len(lazy) == 6
    for seed in range(3):
        assert torch.equal(draw_batch(lazy, 5, seed=seed), draw_batch(eager, 5, seed=seed))
    assert len(lazy._kept) == 2  # no more than the budget allows


def test_augmented_faces_stay_in_range_and_follow_all_of_the_seed():
    faces = noise_faces(8)
    batch = draw_batch(faces, 16, seed=3)
    assert batch.shape == (16, 3, SIZE, SIZE)
    assert batch.min() >= 0
    assert batch.max() <= 1
    assert torch.equal(batch, draw_batch(faces, 16, seed=3))
    assert not torch.equal(batch, draw_batch(faces, 16, seed=4))
    assert not torch.equal(batch, draw_batch(faces, 16, seed=3 + (1 << 32)))


def test_a_share_of_a_batch_is_that_part_of_it():
    faces = noise_faces(8)
    batch = draw_batch(faces, 12, seed=3)
    shares = [draw_batch(faces, 12, seed=3, share=slice(i, i + 4)) for i in (0, 4, 8)]
    assert torch.equal(torch.cat(shares), batch)


def test_faces_are_drawn_smaller_by_up_to_a_fifth_and_some_at_their_size():
    size = 64
    faces = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    middle = slice(size // 4, 3 * size // 4)
    faces[:, :, middle, middle] = 255
    batch = draw_batch(faces, 200, seed=1)
    bright = batch / batch.amax(dim=(2, 3), keepdim=True)  # without tint and exposure
    zoom = (bright > 0.5).float().mean(dim=(1, 2, 3)).sqrt() * 2
    assert zoom.min() < 0.85
    assert zoom.max() == 1
    moved = ((bright < 1e-3) | (bright > 1 - 1e-3)).all(dim=3).all(dim=2).all(dim=1)
    assert (zoom[moved] == 1).all()
    assert 0.2 < moved.float().mean() < 0.5  # by whole pixels, not interpolated


def test_half_of_the_faces_are_mirrored_and_each_is_shifted():
    size, reach = 64, 2
    faces = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    faces[:, :, 24:40, 8:24] = 255  # a square in the left half
    batch = draw_batch(faces, 400, seed=1)
    bright = batch[:, 0] / batch[:, 0].amax(dim=(1, 2), keepdim=True)
    whole = bright[((bright < 1e-3) | (bright > 1 - 1e-3)).all(dim=2).all(dim=1)]  # not smaller
    at = torch.arange(size) + 0.5
    down, across = ((whole.sum(dim) @ at) / whole.sum(dim=(1, 2)) for dim in (2, 1))
    mirrored = across > size / 2
    assert 0.4 < mirrored.float().mean() < 0.6
    moves = torch.stack([down - 32, across - torch.where(mirrored, size - 16.0, 16.0)])
    torch.testing.assert_close(moves, moves.round(), rtol=0, atol=1e-3)
    for along in moves.round():
        assert along.unique().tolist() == list(range(-reach, reach + 1))
