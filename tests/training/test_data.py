"""Training batches: bad files are left out by name; draws follow the seed and vary as stated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_faces import BAD_FILES, noise_faces, write_bad_file
from training_faces import NOISE_SIZE as SIZE

from gpen_core import ImageError
from gpen_core.evaluation.face_folder import find_faces
from gpen_core.evaluation.lazy_faces import LazyFaces
from gpen_core.training.data import draw_batch, load_faces


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_left_out_by_name(kind, noise_folder):
    path = write_bad_file(kind, noise_folder)
    crops, complaints = load_faces(find_faces(noise_folder), SIZE)
    assert len(crops) == 6
    (complaint,) = complaints
    assert str(path) in complaint
    assert BAD_FILES[kind] in complaint


def test_an_unreadable_file_is_left_out_by_name(noise_folder, monkeypatch):
    open_file = Path.open

    def refuse(path, *mode, **options):
        if path.name == "face2.png":
            raise PermissionError(13, "Permission denied", str(path))
        return open_file(path, *mode, **options)

    monkeypatch.setattr(Path, "open", refuse)
    crops, complaints = load_faces(find_faces(noise_folder), SIZE)
    assert len(crops) == 5
    assert len(complaints) == 1
    assert "face2.png cannot be read" in complaints[0]
    assert "Permission denied" in complaints[0]


def test_a_set_without_a_usable_image_is_refused(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"No usable training image.*broken\.png"):
        load_faces(find_faces(tmp_path), SIZE)


def test_a_set_beyond_the_budget_is_decoded_on_demand_and_draws_the_same(noise_folder):
    files = find_faces(noise_folder)
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
    assert len(lazy._cache) == 2  # as many as the budget allows


def test_batches_stay_in_range_and_depend_on_all_bits_of_the_seed():
    crops = noise_faces(8)
    batch = draw_batch(crops, 16, seed=3)
    assert batch.shape == (16, 3, SIZE, SIZE)
    assert batch.min() >= 0
    assert batch.max() <= 1
    assert torch.equal(batch, draw_batch(crops, 16, seed=3))
    assert not torch.equal(batch, draw_batch(crops, 16, seed=4))
    assert not torch.equal(batch, draw_batch(crops, 16, seed=3 + (1 << 32)))


def test_a_part_of_a_batch_equals_that_part_of_the_whole():
    crops = noise_faces(8)
    batch = draw_batch(crops, 12, seed=3)
    shares = [draw_batch(crops, 12, seed=3, part=slice(i, i + 4)) for i in (0, 4, 8)]
    assert torch.equal(torch.cat(shares), batch)


def test_most_faces_are_shrunk_by_up_to_a_fifth_and_some_keep_their_size():
    size = 64
    crops = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    middle = slice(size // 4, 3 * size // 4)
    crops[:, :, middle, middle] = 255
    batch = draw_batch(crops, 200, seed=1)
    bright = batch / batch.amax(dim=(2, 3), keepdim=True)  # without tint and exposure
    zoom = (bright > 0.5).float().mean(dim=(1, 2, 3)).sqrt() * 2
    assert zoom.min() < 0.85
    assert zoom.max() == 1
    moved = ((bright < 1e-3) | (bright > 1 - 1e-3)).all(dim=3).all(dim=2).all(dim=1)
    assert (zoom[moved] == 1).all()
    assert 0.2 < moved.float().mean() < 0.5  # by whole pixels, not interpolated


def test_half_of_the_faces_are_mirrored_and_all_are_shifted():
    size, reach = 64, 2
    crops = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    crops[:, :, 24:40, 8:24] = 255  # a square in the left half
    batch = draw_batch(crops, 400, seed=1)
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
