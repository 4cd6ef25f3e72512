"""Training data: faces found and refused by name, honest scores."""

from __future__ import annotations

import pytest
import torch
from training_faces import smooth_faces

from gpen_core import ImageError, write_image
from gpen_core.training import evaluate
from gpen_core.training.data import draw_batch, find_faces, load_faces


def test_augmented_faces_stay_in_range_and_follow_the_seed():
    faces = smooth_faces(8)
    batch = draw_batch(faces, 16, seed=3)
    assert batch.shape == (16, 3, 64, 64)
    assert batch.min() >= 0
    assert batch.max() <= 1
    assert torch.equal(batch, draw_batch(faces, 16, seed=3))
    assert not torch.equal(batch, draw_batch(faces, 16, seed=4))


def test_faces_are_found_by_split(faces_folder):
    assert len(find_faces(faces_folder)) == 6
    assert [p.name for p in find_faces(faces_folder, split="val")] == ["face4.png", "face5.png"]
    with pytest.raises(ImageError, match="split 'test'"):
        find_faces(faces_folder, split="test")
    with pytest.raises(ImageError, match="is not a folder"):
        find_faces(faces_folder / "nowhere")


def test_bad_training_files_are_left_out_by_name(faces_folder):
    (faces_folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (faces_folder / "empty.png").write_bytes(b"")
    write_image(faces_folder / "tiny.png", torch.rand(1, 3, 8, 8))
    faces, complaints = load_faces(find_faces(faces_folder), 64)
    assert len(faces) == 6
    assert len(complaints) == 3
    for name in ("broken.jpg", "empty.png", "tiny.png"):
        assert any(name in line for line in complaints)


def test_a_folder_without_a_usable_image_is_refused(tmp_path):
    with pytest.raises(ImageError, match="No image to train on"):
        find_faces(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"No usable training image.*broken\.png"):
        load_faces(find_faces(tmp_path), 64)


def test_scoring_the_identity_gains_nothing_and_the_truth_everything():
    faces = smooth_faces(2)
    scores = evaluate.evaluate(lambda x: x, faces)
    assert scores.pairs == 2 * evaluate.ROUNDS
    assert scores.output_psnr == scores.input_psnr
    assert scores.output_ssim == scores.input_ssim
    perfect = evaluate.evaluate(lambda _: faces[:1] / 255, faces[:1])
    assert perfect.output_psnr > 100
    assert perfect.output_ssim > 0.999
