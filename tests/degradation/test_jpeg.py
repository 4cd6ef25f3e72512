"""JPEG on tensors matches libjpeg at every quality and size, image by image of a batch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from gpen_core.degradation.jpeg import compress
from gpen_core.evaluation.measures import psnr

skimage_data = pytest.importorskip("skimage.data", reason="install the extra `demo`")


def crop_astronaut(height: int = 160, width: int = 128) -> torch.Tensor:
    """Return the face of scikit-image's astronaut, [1, 3, height, width] in [0, 1]."""
    pixels = skimage_data.astronaut()[40 : 40 + height, 160 : 160 + width]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255


def compress_with_opencv(image: torch.Tensor, quality: int) -> torch.Tensor:
    levels = (image[0] * 255).round().byte().permute(1, 2, 0).numpy()
    _, file = cv2.imencode(
        ".jpg", np.ascontiguousarray(levels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1]
    return torch.from_numpy(decoded.copy()).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("size", [(160, 128), (75, 61)])
@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95, 100])
def test_pixels_match_those_of_a_file(quality, size):
    image = crop_astronaut(*size)
    expected = compress_with_opencv(image, quality)
    found = compress(image, torch.tensor([float(quality)]))
    assert psnr(found, expected).item() > 40
    assert psnr(found, image).item() == pytest.approx(psnr(expected, image).item(), abs=0.5)


def test_each_image_of_a_batch_takes_its_quality():
    qualities = torch.tensor([10.0, 50.0, 90.0])
    image = crop_astronaut()
    together = compress(image.expand(3, -1, -1, -1), qualities)
    errors = psnr(together, image.expand(3, -1, -1, -1))
    assert errors[0] < errors[1] < errors[2]
    for i in range(3):
        assert (together[i : i + 1] - compress(image, qualities[i : i + 1])).abs().mean() < 1e-4


def test_saving_again_changes_little():
    quality = torch.tensor([60.0])
    once = compress(crop_astronaut(), quality)
    assert psnr(compress(once, quality), once).item() > 40
