"""Blur kernels have the asked width, direction and cutoff; both ways to apply them agree."""

from __future__ import annotations

import math

import pytest
import torch
from training_faces import draw_shapes

from gpen_core.degradation.blurs import (
    MAX_DIRECT_TAPS,
    convolve,
    make_blur_kernels,
    make_sinc_kernels,
)


def test_blur_kernels_have_the_asked_widths_and_directions():
    sigmas = torch.tensor([[2.0, 1.0], [2.0, 1.0], [3.0, 9.0]])
    angles = torch.tensor([0.0, math.pi / 2, 0.0])
    kernels = make_blur_kernels(sigmas, angles, torch.tensor([False, False, True]), 25)
    assert kernels.sum(dim=(1, 2)).tolist() == pytest.approx([1, 1, 1])
    axis = torch.arange(25.0) - 12
    across = (kernels.sum(dim=1) * axis**2).sum(dim=1).sqrt()  # spread along x
    down = (kernels.sum(dim=2) * axis**2).sum(dim=1).sqrt()
    assert across[:2].tolist() == pytest.approx([2, 1], rel=0.01)
    assert down[:2].tolist() == pytest.approx([1, 2], rel=0.01)
    # A line of 4 σ = 12 px spreads by 12/√12.
    assert across[2].item() == pytest.approx(12 / math.sqrt(12), rel=0.1)
    assert down[2].item() < 0.1


@pytest.mark.parametrize("taps", [5, MAX_DIRECT_TAPS, MAX_DIRECT_TAPS + 2, 41])
def test_direct_convolution_and_fft_agree(taps):
    images = draw_shapes(2, 40, 56)
    kernels = torch.rand(2, taps, taps, generator=torch.Generator().manual_seed(0))
    kernels /= kernels.sum(dim=(1, 2), keepdim=True)
    padded = torch.nn.functional.pad(images, [taps // 2] * 4, mode="replicate")
    expected = torch.stack(
        [
            torch.nn.functional.conv2d(image[:, None], kernel[None, None])[:, 0]
            for image, kernel in zip(padded, kernels, strict=True)
        ]
    )
    assert (convolve(images, kernels) - expected).abs().max() < 1e-5


def test_a_sinc_kernel_passes_frequencies_below_its_cutoff_only():
    response = torch.fft.fft2(make_sinc_kernels(torch.tensor([math.pi / 2]), 65)[0]).abs()
    assert response[0, 8].item() == pytest.approx(1, abs=0.1)  # 0.25 π
    assert response[0, 26].item() < 0.1  # 0.8 π
