"""Makes images blurred, small, noisy and compressed, at random but reproducibly.

One round is the model of the GPEN paper (arXiv 2105.06070, eq. 5): blur, shrink, noise, JPEG,
enlarge. A second round after it makes the high-order degradations of BSRGAN (arXiv 2103.14006)
and Real-ESRGAN (arXiv 2107.10833): pictures that were saved, sent and saved again.
"""

from __future__ import annotations

import math

import torch

from ..devices import full_precision, to_device, to_float64_device
from ..errors import MismatchError
from ..images import check_image
from .blurs import blurs, convolve, sincs
from .draws import PER_ROUND, Draws, choose, draw_round, generator
from .jpeg import compress
from .presets import DEFAULT, NOISY, TRACES, Degradation
from .resample import FILTERS, Canvas, extend, resize

REFERENCE_SIZE = 256  # blur is stated for faces of this side
LEAST_SIDE = 8  # px; nothing is shrunk below this
SINC_TAPS = 21  # as in Real-ESRGAN
CHUNKS = 4  # images of like size share a canvas: little of it is then empty, which a CPU must fill


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

    Args:
        images: [B, 3, H, W] RGB in [0, 1].
        seed: the same seed, images and degradation give the same result, on any device but for
            rounding, of which JPEG makes levels here and there; image i gets the same whatever
            others follow it.
        degradation: the ranges to draw from.
        face_size: side in px of the faces in the images, by which blurs are scaled; None: the
            images are faces, as large as their shorter side.
        first: number of the first of these images in a batch of which they are a part.

    Returns:
        [B, 3, H, W] RGB in [0, 1], of the images' dtype and on their device.

    Raises:
        MismatchError: `images` is not [B, 3, H, W] floating point, or an option is out of range.
    """
    check_image(images)
    if not isinstance(seed, int) or not isinstance(first, int) or first < 0:
        raise MismatchError(
            f"seed is a whole number, first one from 0; found {seed!r} and {first!r}."
        )
    if face_size is not None and not face_size > 0:
        raise MismatchError(f"face_size is a side in px, above 0; found {face_size}.")
    count, height, width = len(images), *images.shape[2:]
    blur_scale = (face_size or min(height, width)) / REFERENCE_SIZE
    uniform = torch.rand(
        first + count,
        2 * PER_ROUND + 3,
        generator=generator(seed),
        dtype=torch.float32,
        device="cpu",
    )[first:]
    draws, again, kind = uniform.double().split([PER_ROUND, PER_ROUND, 3], dim=1)
    twice = kind[:, 0] < degradation.twice
    mild = kind[:, 1] < degradation.mild
    noisy = ~mild & (kind[:, 1] < degradation.mild + degradation.noisy)
    clean = kind[:, 2] < degradation.clean
    traces, grain = (preset.weakened(degradation.strength) for preset in (TRACES, NOISY))
    first_round = choose(mild, draw_round(draws, traces), draw_round(draws, degradation))
    rounds = [choose(noisy, draw_round(draws, grain), first_round)]
    if degradation.second is not None:
        rounds.append(draw_round(again, degradation.second))

    degraded = images.float().clamp(0, 1)  # a copy
    twice &= ~mild & ~noisy
    for repeats, chosen in ((1, ~twice & ~clean), (2, twice & ~clean)):
        indices = chosen.nonzero()[:, 0]
        by_size = indices[rounds[0].scales[indices].argsort()]
        for part in by_size.chunk(CHUNKS if images.device.type == "cpu" else 1):
            if not len(part):
                continue
            draws = [round_.of(part) for round_ in rounds[:repeats]]
            where = to_device(part, images.device)
            with full_precision(images.device):
                degraded[where] = _worsen(degraded[where], draws, blur_scale)
    return degraded.to(images.dtype)


def _worsen(images: torch.Tensor, rounds: list[Draws], blur_scale: float) -> torch.Tensor:
    """Put [B, 3, H, W] through rounds and bring the result back to its size."""
    heights, widths = (torch.full((len(images),), side, device="cpu") for side in images.shape[2:])
    canvas = Canvas(images, heights, widths)
    for draws in rounds:
        canvas = _play(canvas, draws, blur_scale)
    bicubic = torch.full((len(images),), list(FILTERS).index("bicubic"), device="cpu")
    return resize(canvas, heights, widths, bicubic, step=1).pixels.clamp(0, 1)


def _play(canvas: Canvas, draws: Draws, blur_scale: float) -> Canvas:
    """One round: blur, shrink, noise, ringing, JPEG."""
    sigmas = draws.sigmas * blur_scale
    taps = 2 * math.ceil(3 * sigmas.max().item()) + 1  # ± 3 σ
    sigmas, angles, moving = (
        to_float64_device(values, canvas.pixels.device)
        for values in (sigmas, draws.angles, draws.moving)
    )
    pixels = convolve(extend(canvas).pixels, blurs(sigmas, angles, moving, taps))
    heights, widths = (
        (side / draws.scales).round().long().maximum(side.clamp(max=LEAST_SIDE))
        for side in (canvas.heights, canvas.widths)
    )
    canvas = resize(canvas._replace(pixels=pixels), heights, widths, draws.filters)
    pixels = _add_noise(canvas, draws)
    ringing = (~draws.cutoffs.isnan()).nonzero()[:, 0]
    if len(ringing):
        where = to_device(ringing, pixels.device)
        # Computed on the CPU: a GPU's Bessel function is compiled when it is first asked for.
        part = extend(Canvas(pixels[where], heights[ringing], widths[ringing]))
        pixels[where] = convolve(part.pixels, sincs(draws.cutoffs[ringing], SINC_TAPS))
    return canvas._replace(pixels=compress(pixels, draws.quality))


def _add_noise(canvas: Canvas, draws: Draws) -> torch.Tensor:
    """The canvas' pixels with each image's own noise."""
    device = canvas.pixels.device
    noise = torch.zeros(
        canvas.pixels.shape, pin_memory=device.type == "cuda", dtype=torch.float32, device="cpu"
    )
    chosen = (canvas.heights, canvas.widths, draws.gray, draws.noise_seeds)
    for image, height, width, gray, seed in zip(noise, *(x.tolist() for x in chosen), strict=True):
        # Drawn image by image, so that it does not depend on the canvas that others share.
        shape = (1 if gray else 3, height, width)
        image[:, :height, :width] = torch.randn(
            shape, generator=generator(seed), dtype=torch.float32, device="cpu"
        )
    sigma = to_device((draws.noise / 255).float(), device)[:, None, None, None]
    shot = to_device(draws.shot, device)[:, None, None, None]
    brightness = canvas.pixels.clamp(0, 1)
    noise = to_device(noise, device)
    return canvas.pixels + noise * sigma * torch.where(shot, brightness.sqrt(), 1)
