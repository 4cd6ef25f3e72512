"""Losses: the published SSIM, a sharpness that ignores where edges lie, sharpened targets."""

from __future__ import annotations

import kornia
import pytest
import torch
from compilers import needs_compiler
from training_faces import smooth_faces

from gpen_core import sharpen
from gpen_core.degradation import degrade
from gpen_core.evaluation import measures
from gpen_core.training import losses


def compute_plain_ssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute SSIM box by box as Wang et al. write it; [N, 1, H, W] each."""
    x, y = (image.unfold(2, 7, 1).unfold(3, 7, 1).flatten(4) for image in (x, y))
    mean_x, mean_y = x.mean(-1), y.mean(-1)
    covariance = ((x - mean_x[..., None]) * (y - mean_y[..., None])).mean(-1)
    spread = x.var(-1, unbiased=False) + y.var(-1, unbiased=False)
    luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    return (luminance * (2 * covariance + 9e-4) / (spread + 9e-4)).mean()


def test_the_ssim_loss_is_the_published_ssim_of_the_luma():
    clean = smooth_faces(2) / 255
    noisy = degrade(clean, seed=1)
    luma = [(x * torch.tensor(sharpen.LUMA).view(1, 3, 1, 1)).sum(1, True) for x in (noisy, clean)]
    expected = compute_plain_ssim(*luma).item()
    assert 0.1 < expected < 0.95
    found = losses.reconstruction_losses(noisy, clean, clean, ["ssim"])["ssim"].item()
    assert found == pytest.approx(1 - expected, abs=1e-3)


@needs_compiler
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch's warnings about torch.compile
def test_compiled_losses_are_the_same():
    clean = smooth_faces(2) / 255
    noisy, names = degrade(clean, seed=1), ("l1", "ssim", "sharpness")
    found = torch.compile(losses.reconstruction_losses)(noisy, clean, clean, names)
    wanted = losses.reconstruction_losses(noisy, clean, clean, names)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=0)


def test_only_the_losses_asked_for_are_computed():
    clean = smooth_faces(2) / 255
    names = {"l1", "sharpness", "adversarial"}
    found = losses.reconstruction_losses(clean, clean, clean, names)
    assert set(found) == {"l1", "sharpness"}
    assert max(found.values()) < 1e-6


def test_sharpness_counts_how_steep_edges_are_and_not_where_they_lie():
    angle = torch.arange(64) * torch.pi / 4  # a period of 8 px, one per box
    wave, shifted = ((0.5 + 0.4 * torch.sin(a)).expand(1, 1, 64, 64) for a in (angle, angle + 1.5))
    blurred = torch.nn.functional.avg_pool2d(wave, (1, 3), stride=1)
    blurred = torch.nn.functional.pad(blurred, (1, 1, 0, 0), mode="circular")
    assert (wave - shifted).abs().mean() > 0.2
    assert losses.sharpness_loss(shifted, wave) < 0.02
    assert losses.sharpness_loss(blurred, wave) > 0.03
    slope = (wave[..., 1:] - wave[..., :-1]).abs().mean().item()
    flat = torch.full_like(wave, 0.5)
    assert losses.sharpness_loss(flat, wave).item() == pytest.approx(slope, rel=0.05)


def test_the_gradient_of_sharpness_is_finite_for_a_flat_image():
    flat = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    clean = smooth_faces(1, 32) / 255
    found = losses.reconstruction_losses(flat, clean, clean, ["sharpness"])
    found["sharpness"].backward()
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


def test_l1_and_ssim_compare_with_the_target_and_sharpness_with_the_clean_faces():
    clean, names = smooth_faces(2) / 255, ("l1", "ssim", "sharpness")
    target = sharpen.unsharp_mask(clean, 1)
    like_target = losses.reconstruction_losses(target, target, clean, names)
    like_clean = losses.reconstruction_losses(clean, target, clean, names)
    for found, same in ((like_target, {"l1", "ssim"}), (like_clean, {"sharpness"})):
        assert {name for name, value in found.items() if value < 1e-6} == same, found


def test_an_unsharp_mask_steepens_edges_by_its_amount_and_keeps_flat_areas():
    step = torch.full((1, 3, 32, 32), 0.3, dtype=torch.float64)
    step[..., 16:] = 0.301
    assert sharpen.unsharp_mask(step, 0) is step
    half, whole = sharpen.unsharp_mask(step, 0.5), sharpen.unsharp_mask(step, 1)
    torch.testing.assert_close(half - step, (whole - step) / 2, rtol=1e-3, atol=1e-12)
    edge = (whole[..., 16] - whole[..., 15]).mean().item()
    # Beyond the edge lies half of the Gaussian's weights, without half of the middle one.
    middle = torch.exp(-((torch.arange(-3.0, 4) / 0.7) ** 2) / 2)
    beyond = (1 - (middle[3] / middle.sum()).item()) / 2
    assert edge == pytest.approx(0.001 * (1 + 2 * beyond), rel=1e-3)
    torch.testing.assert_close(whole[..., :12], step[..., :12])


def test_an_unsharp_mask_sharpens_the_luma_and_leaves_colours_alone():
    crops = smooth_faces(2) / 255 * 0.8 + 0.1  # nothing is clipped
    detail = sharpen.unsharp_mask(crops, 1) - crops
    assert detail.abs().max() > 5 / 255
    torch.testing.assert_close(detail, detail[:, :1].expand_as(detail), rtol=0, atol=1e-6)


def test_an_unsharp_mask_blurs_as_a_gaussian_does():
    crops = torch.rand(2, 3, 32, 24, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    luma = (crops * torch.tensor(sharpen.LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    detail = luma - kornia.filters.gaussian_blur2d(luma, (7, 7), (0.7, 0.7))
    expected = crops + sharpen.MAX_CHANGE * torch.tanh(2 * detail / sharpen.MAX_CHANGE)
    torch.testing.assert_close(sharpen.unsharp_mask(crops, 2), expected, rtol=0, atol=1e-6)


def test_an_unsharp_mask_makes_no_halos_and_stays_in_range():
    step = torch.full((1, 3, 32, 32), 0.3)
    step[..., 16:] = 1
    strong = sharpen.unsharp_mask(step, 20)
    assert (strong - step).abs().max().item() == pytest.approx(sharpen.MAX_CHANGE, rel=1e-3)
    assert strong.max() == 1


def test_restored_faces_become_as_sharp_as_the_clean_ones_and_no_sharper():
    clean = smooth_faces(4) / 255
    soft = kornia.filters.gaussian_blur2d(clean, (7, 7), (1.0, 1.0))
    wanted, before = (measures.sharpness(x) for x in (clean, soft))
    mild, strong = (
        measures.sharpness(losses.sharpen_towards(soft, clean, amount)) for amount in (0.5, 8)
    )
    assert (before * 1.02 < mild).all()
    assert (mild < strong).all()
    assert (strong < wanted * 1.02).all()
    assert losses.sharpen_towards(soft, clean, 0) is soft


def test_faces_sharper_than_the_clean_ones_do_not_change():
    clean = smooth_faces(2) / 255
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    for sharper in (clean, (clean + 0.05 * noise).clamp(0, 1)):
        left = losses.sharpen_towards(sharper, clean, 3)
        torch.testing.assert_close(left, sharper, rtol=0, atol=2e-3)
