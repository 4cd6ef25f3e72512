"""Faces decoded on demand: unusable files are named in the log and replaced."""

from __future__ import annotations

import logging

import pytest
import torch
from training_faces import BAD_FILES, NOISE_SIZE, noise_faces, write_bad_file

from gpen_core import ImageError
from gpen_core.evaluation.face_folder import find_faces
from gpen_core.evaluation.lazy_faces import LazyFaces


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_named_once_and_replaced_by_the_next(kind, noise_folder, caplog):
    path = write_bad_file(kind, noise_folder)
    files = find_faces(noise_folder)
    assert files[0] == path
    lazy = LazyFaces(files, NOISE_SIZE, budget=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert torch.equal(lazy[0:2], noise_faces(1).expand(2, -1, -1, -1))
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert BAD_FILES[kind] in record.getMessage()


def test_a_set_without_a_usable_image_is_refused(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    lazy = LazyFaces(find_faces(tmp_path), NOISE_SIZE, budget=0)
    with pytest.raises(ImageError, match=r"None of the 1 images.*broken\.png"):
        lazy[0:1]
