"""Degrades images at random but reproducibly: blurred, shrunk, noisy and compressed.

One pass is the model of the GPEN paper (arXiv 2105.06070, eq. 5): blur, shrink, noise, JPEG,
enlarge. A second pass makes the high-order degradations of BSRGAN (arXiv 2103.14006) and
Real-ESRGAN (arXiv 2107.10833): pictures that were saved, sent and saved again.
"""

from __future__ import annotations

import math

import torch

from ..devices import full_precision, to_device, to_float64_device
from ..errors import MismatchError
from ..images import check_image
from .blurs import convolve, make_blur_kernels, make_sinc_kernels
from .draws import Draws, draw_passes, draw_tones, seed_generator
from .jpeg import compress
from .presets import DEFAULT, Degradation
from .resample import FILTERS, Canvas, extend_edges, resize

REFERENCE_SIZE = 256  # px; blurs are stated for faces of this side
MIN_SIDE = 8  # px; no image is shrunk below this
SINC_TAPS = 21  # as in Real-ESRGAN
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in image programs
CHUNKS = 4  # on a CPU: images of similar size share a canvas, so that little of it is empty


@torch.no_grad()
def degrade(
    images: torch.Tensor,
    *,
    seed: int,
    degradation: Degradation = DEFAULT,
    face_size: int | None = None,
    first: int = 0,
) -> torch.Tensor:
    """Return degraded copies of images.

    The same seed, images and degradation give the same result. On another device rounding differs,
    and JPEG turns a few of these differences into whole levels. An image's result does not depend
    on the images after it in the batch.

    Args:
        images: [B, 3, H, W] RGB in [0, 1].
        seed: a whole number.
        degradation: the ranges to draw from.
        face_size: side in px of the faces in the images, by which blurs are scaled. None means
            that each image is one face, as large as the shorter side.
        first: number of the first image, when `images` are a part of a larger batch.

    Returns:
        [B, 3, H, W] RGB in [0, 1], in the images' dtype and on their device.

    Raises:
        MismatchError: `images` is not [B, 3, H, W] floating point, or an option is out of range.

    Example:
        >>> import torch
        >>> from gpen_core import Degradation, degrade
        >>> sharp = torch.rand(2, 3, 64, 64)
        >>> degraded = degrade(sharp, seed=7, degradation=Degradation(scale=(2, 4)))
        >>> degraded.shape
        torch.Size([2, 3, 64, 64])
        >>> second = degrade(sharp[1:], seed=7, degradation=Degradation(scale=(2, 4)), first=1)
        >>> bool((second - degraded[1:]).abs().mean() < 0.01)
        True
    """
    check_image(images)
    if not isinstance(seed, int) or not isinstance(first, int) or first < 0:
        raise MismatchError(
            f"seed must be a whole number and first one from 0, found {seed!r} and {first!r}."
        )
    if face_size is not None and not face_size > 0:
        raise MismatchError(f"face_size must be a side in px, above 0; found {face_size}.")
    blur_scale = (face_size or min(images.shape[2:])) / REFERENCE_SIZE
    passes, pass_counts = draw_passes(degradation, seed=seed, first=first, count=len(images))
    chunks = CHUNKS if images.device.type == "cpu" else 1

    degraded = images.float().clamp(0, 1)  # a copy
    for pass_count in (1, 2):
        indices = (pass_counts == pass_count).nonzero()[:, 0]
        by_size = indices[passes[0].scales[indices].argsort()]
        for part in by_size.chunk(chunks):
            if not len(part):
                continue
            draws = [drawn.select(part) for drawn in passes[:pass_count]]
            where = to_device(part, images.device)
            with full_precision(images.device):
                degraded[where] = _apply_passes(degraded[where], draws, blur_scale)
    if degradation.grey or degradation.sepia:
        toned, exponents = draw_tones(degradation, seed=seed, first=first, count=len(images))
        indices = (toned & (pass_counts > 0)).nonzero()[:, 0]
        where = to_device(indices, images.device)
        exponents = to_device(exponents[indices].float(), images.device)
        weight = min(1.0, degradation.strength)
        degraded[where] = degraded[where].lerp(_tone(degraded[where], exponents), weight)
    return degraded.to(images.dtype)


def _tone(images: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    """Print [B, 3, H, W] in one tone: its luma (ITU-R BT.601) to the powers [B, 3]."""
    weights = torch.tensor(LUMA, device=images.device)[:, None, None]
    luma = (images * weights).sum(dim=1, keepdim=True).clamp(0, 1)
    return luma ** exponents[:, :, None, None]


def _apply_passes(images: torch.Tensor, passes: list[Draws], blur_scale: float) -> torch.Tensor:
    """Put [B, 3, H, W] through every pass, then resize the result to H × W."""
    heights, widths = (torch.full((len(images),), side, device="cpu") for side in images.shape[2:])
    canvas = Canvas(images, heights, widths)
    for draws in passes:
        canvas = _apply_pass(canvas, draws, blur_scale)
    bicubic = torch.full((len(images),), list(FILTERS).index("bicubic"), device="cpu")
    return resize(canvas, heights, widths, bicubic, step=1).pixels.clamp(0, 1)


def _apply_pass(canvas: Canvas, draws: Draws, blur_scale: float) -> Canvas:
    """Blur, shrink, add noise, let edges ring, compress."""
    sigmas = draws.sigmas * blur_scale
    taps = 2 * math.ceil(3 * sigmas.max().item()) + 1  # ± 3 σ
    sigmas, angles, moving = (
        to_float64_device(values, canvas.pixels.device)
        for values in (sigmas, draws.angles, draws.moving)
    )
    kernels = make_blur_kernels(sigmas, angles, moving, taps)
    pixels = convolve(extend_edges(canvas).pixels, kernels)
    heights, widths = (
        (side / draws.scales).round().long().maximum(side.clamp(max=MIN_SIDE))
        for side in (canvas.heights, canvas.widths)
    )
    canvas = resize(canvas._replace(pixels=pixels), heights, widths, draws.filters)
    pixels = _add_noise(canvas, draws)
    ringing = (~draws.cutoffs.isnan()).nonzero()[:, 0]
    if len(ringing):
        where = to_device(ringing, pixels.device)
        part = extend_edges(Canvas(pixels[where], heights[ringing], widths[ringing]))
        # On the CPU: a GPU would first have to compile its Bessel function.
        kernels = make_sinc_kernels(draws.cutoffs[ringing], SINC_TAPS)
        pixels[where] = convolve(part.pixels, kernels)
    return canvas._replace(pixels=compress(pixels, draws.quality))


def _add_noise(canvas: Canvas, draws: Draws) -> torch.Tensor:
    """Return the canvas' pixels with each image's noise added."""
    device = canvas.pixels.device
    noise = torch.zeros(
        canvas.pixels.shape, pin_memory=device.type == "cuda", dtype=torch.float32, device="cpu"
    )
    drawn = (canvas.heights, canvas.widths, draws.gray, draws.noise_seeds)
    for image, height, width, gray, seed in zip(noise, *(x.tolist() for x in drawn), strict=True):
        # Drawn for each image alone, so that it does not depend on the size of the shared canvas.
        shape = (1 if gray else 3, height, width)
        image[:, :height, :width] = torch.randn(
            shape, generator=seed_generator(seed), dtype=torch.float32, device="cpu"
        )
    sigma = to_device((draws.noise / 255).float(), device)[:, None, None, None]
    shot = to_device(draws.shot, device)[:, None, None, None]
    brightness = canvas.pixels.clamp(0, 1)
    noise = to_device(noise, device)
    return canvas.pixels + noise * sigma * torch.where(shot, brightness.sqrt(), 1)
