"""The photograph's own detail in a pasted face: kept where it is detail, dropped elsewhere."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from skimage import data

from gpen_core.align import cut
from gpen_core.degradation.jpeg import compress
from gpen_core.faces import Alignment, Crops
from gpen_core.pasting import paste
from gpen_core.pasting.detail import box_mean, detail_share, find_agreement, find_noise


@pytest.fixture(scope="module")
def photograph():
    """[1, 3, 512, 512] float RGB of NASA's astronaut."""
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float() / 255


def draw_noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def place_face(scale: float, crop_size: int, image: torch.Tensor) -> Alignment:
    """The astronaut's crop, 250 px wide, in the photograph resized by `scale`."""
    zoom = crop_size / (250 * scale)
    left, top = 110 * scale, 10 * scale
    affine = torch.tensor([[[zoom, 0, -zoom * left], [0, zoom, -zoom * top]]], dtype=torch.float64)
    size = (1, image.shape[2], image.shape[3])
    return Alignment(affine, crop_size, torch.tensor([0]), size)


def psnr(one: torch.Tensor, other: torch.Tensor, where: torch.Tensor) -> float:
    error = (one - other).square()[where.expand_as(one)].mean()
    return float(-10 * error.log10())


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_white_noise_is_measured_and_is_no_detail(sigma):
    band = sigma * draw_noise(1, 3, 256, 256)
    noise = find_noise(band, 15)
    assert noise == pytest.approx(sigma**2, rel=0.2)
    assert detail_share(band, noise, 15).mean() < 0.01


def test_texture_beside_smooth_skin_is_detail():
    band = torch.zeros(1, 3, 256, 256)
    band[..., :128] = 0.05 * draw_noise(1, 3, 256, 128)
    share = detail_share(band, find_noise(band, 15), 15)
    assert share[..., :110].min() > 0.9


def test_a_face_that_kept_its_detail_agrees_and_a_flat_one_does_not(photograph):
    content = photograph[..., 10:266, 110:366]
    flat = box_mean(content, 41)
    edges = (content - flat).abs().amax(dim=1, keepdim=True) > 0.3
    for density in (0.4, 3.0):
        assert find_agreement(content, content, density).min() > 0.99
        assert find_agreement(content, flat, density)[edges].mean() < 0.25


@pytest.mark.parametrize("crop_size", [256, 512, 1024])
@pytest.mark.parametrize("width", [20, 30, 50, 100])
def test_an_unrestored_small_face_returns_as_it_was(photograph, width, crop_size):
    scale = width / 85  # the astronaut's face is about 85 px wide
    size = round(512 * scale)
    image = F.interpolate(photograph, size=(size, size), mode="bicubic", antialias=True)
    image = image.clamp(0, 1)
    crops = cut(image, place_face(size / 512, crop_size, image))
    result = paste(image, crops)
    inside = result.mask > 0.5
    assert psnr(result.image, image, inside) >= 44
    assert (
        psnr(result.image, image, inside)
        > psnr(paste(image, crops, detail=0.0).image, image, inside) + 3
    )


def test_a_small_noisy_face_gets_nothing_of_its_noise_back(photograph):
    noisy = (photograph + 0.07 * draw_noise(1, 3, 512, 512)).clamp(0, 1)
    place = place_face(1.0, 512, noisy)
    clean = cut(photograph, place)
    inside = paste(noisy, clean).mask > 0.99
    auto, none = (paste(noisy, clean, detail=detail).image for detail in ("auto", 0.0))
    assert psnr(auto, photograph, inside) >= psnr(none, photograph, inside) - 0.02


def test_a_small_face_with_jpeg_blocks_gets_nothing_of_them_back(photograph):
    # JPEG leaves smooth blocks, so that no noise is found; only the large change tells of damage.
    noisy = (photograph + 0.07 * draw_noise(1, 3, 512, 512)).clamp(0, 1)
    blocky = compress(noisy, torch.tensor([40.0]))
    place = place_face(1.0, 512, blocky)
    clean = cut(photograph, place)
    inside = paste(blocky, clean).mask > 0.99
    auto, none = (paste(blocky, clean, detail=detail).image for detail in ("auto", 0.0))
    assert psnr(auto, photograph, inside) >= psnr(none, photograph, inside) - 0.02


def test_an_edge_that_the_network_removed_leaves_no_ghost(photograph):
    image = F.interpolate(photograph, size=(2048, 2048), mode="bicubic").clamp(0, 1)
    image = (3 * image - 2 * box_mean(image, 9)).clamp(0, 1)  # edges finer than the crop's pixels
    place = place_face(4.0, 256, image)
    crops = cut(image, place)
    flat = Crops(box_mean(crops.pixels, 61), place)
    face = (..., slice(200, 900), slice(600, 1300))

    def strength_of_edges(pixels: torch.Tensor) -> float:
        return float((pixels[..., 1:] - pixels[..., :-1])[face].square().mean())

    given = strength_of_edges(image)
    assert strength_of_edges(paste(image, flat, detail=1.0).image) > 0.2 * given
    assert strength_of_edges(paste(image, flat).image) < 0.02 * given
    kept = paste(image, crops)
    assert strength_of_edges(kept.image) > 0.9 * given
