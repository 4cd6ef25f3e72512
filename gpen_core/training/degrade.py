"""Makes images blurred, small, noisy and compressed, at random but reproducibly.

One round is the model of the GPEN paper (arXiv 2105.06070, eq. 5): blur, shrink, noise, JPEG,
enlarge. A second round after it makes the high-order degradations of BSRGAN (arXiv 2103.14006)
and Real-ESRGAN (arXiv 2107.10833): pictures that were saved, sent and saved again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from ..devices import full_precision
from ..errors import MismatchError
from ..warp import check_image
from .draws import PER_ROUND, Draws, choose, draw_round, generator
from .jpeg import compress
from .kernels import blurs, convolve, sincs
from .resample import FILTERS, Canvas, extend, resize
from .transfer import in_double, sent

REFERENCE_SIZE = 256  # blur is stated for faces of this side
LEAST_SIDE = 8  # px; nothing is shrunk below this
SINC_TAPS = 21  # as in Real-ESRGAN
CHUNKS = 4  # images of like size share a canvas: little of it is then empty, which a CPU must fill


@dataclass(frozen=True)
class Degradation:
    """How hard `degrade` may hit; each range is (least, most), drawn anew for every image.

    Attributes:
        blur_sigma: σ of an anisotropic Gaussian, px of a 256 px face; uniform per axis.
        motion: probability that a straight motion blur is used instead, as long as 4 σ.
        scale: shrink factor; log-uniform. Below 1 the image is enlarged.
        noise_sigma: σ of the noise on the small image, levels of 255; uniform.
        gray_noise: probability that the noise is the same in R, G and B.
        jpeg_quality: uniform.
        filters: of the resizing, drawn with equal probability: "area", "bilinear", "bicubic".
        shot_noise: probability that the noise is a photon count's, its variance proportional to
            brightness and `noise_sigma` its σ on white, instead of Gaussian.
        ringing: probability that an ideal low-pass follows the noise, as hard sharpening leaves it.
        second: what a second round draws from, on the image as small as the first left it; its
            blur is in px of that.
        twice: probability of that second round.
        mild: probability that only traces are left (`TRACES`), instead of the ranges above.
        noisy: probability of a sharp image with much noise (`NOISY`), instead of the ranges above.
        clean: probability that an image stays as it is.
        strength: how far into `TRACES` and `NOISY` those of `mild` and `noisy` go.
    """

    blur_sigma: tuple[float, float] = (0.2, 3.0)
    motion: float = 0.2
    scale: tuple[float, float] = (1.0, 8.0)
    noise_sigma: tuple[float, float] = (0.0, 15.0)
    gray_noise: float = 0.4
    jpeg_quality: tuple[float, float] = (40, 95)
    filters: tuple[str, ...] = ("bicubic",)
    shot_noise: float = 0.0
    ringing: float = 0.0
    second: Degradation | None = None
    twice: float = 0.0
    mild: float = 0.0
    noisy: float = 0.0
    clean: float = 0.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not self.filters or not set(self.filters) <= set(FILTERS):
            raise ValueError(
                f"filters must name some of {', '.join(FILTERS)}, found {self.filters}."
            )
        bounds = {
            "blur_sigma": (0, math.inf), "scale": (1e-3, math.inf), "noise_sigma": (0, math.inf),
            "jpeg_quality": (1, 100),
        }  # fmt: skip
        for name, (lowest, highest) in bounds.items():
            least, most = getattr(self, name)
            if not lowest <= least <= most <= highest:
                raise ValueError(
                    f"{name} must rise within {lowest} … {highest}, found {least} … {most}."
                )
        if self.twice and self.second is None:
            raise ValueError(f"twice is {self.twice}, but `second` does not say what to draw from.")

    def weakened(self, strength: float) -> Degradation:
        """The same with every range drawn towards no change: 1 leaves it, 0 keeps images clean.

        Probabilities stay as they are, but for that of ringing, which has no weaker form.
        """
        if strength == 0:
            return replace(self, clean=1.0)
        least, most = self.jpeg_quality
        return replace(
            self,
            blur_sigma=tuple(strength * sigma for sigma in self.blur_sigma),
            scale=tuple(factor**strength for factor in self.scale),
            noise_sigma=tuple(strength * sigma for sigma in self.noise_sigma),
            jpeg_quality=(100 - strength * (100 - least), 100 - strength * (100 - most)),
            ringing=strength * self.ringing,
            second=self.second and self.second.weakened(strength),
            strength=strength * self.strength,
        )


PAPER = DEFAULT = Degradation()
"""The GPEN paper's; what models are measured with."""

TRACES = Degradation((0.1, 0.6), 0.0, (1.0, 1.0), (0.0, 2.0), 0.4, (85, 98))
"""A good photograph's JPEG."""

NOISY = Degradation((0.2, 0.8), 0.0, (1.0, 2.0), (4.0, 18.0), 0.4, (60, 98))
"""A sharp photograph taken with little light."""

AGAIN = Degradation(
    blur_sigma=(0.1, 1.5),
    motion=0.0,
    scale=(0.8, 2.0),
    noise_sigma=(0.0, 10.0),
    jpeg_quality=(40, 95),
    filters=tuple(FILTERS),
    shot_noise=0.5,
    ringing=0.4,
)
SECOND_ORDER = Degradation(
    scale=(1.0, 4.0), filters=tuple(FILTERS), shot_noise=0.5, second=AGAIN, twice=1.0
)
"""Two rounds, as in BSRGAN and Real-ESRGAN: harder on texture than PAPER, about as small."""

MIXED = replace(
    PAPER,
    filters=tuple(FILTERS),
    shot_noise=0.3,
    second=AGAIN,
    twice=0.4,
    mild=0.07,
    noisy=0.13,
    clean=0.05,
)
"""For training: PAPER, a second round for two in five of those that are not one of these: one in
eight good or nearly so, from which a model learns to leave sharp faces alone, and another sharp
but noisy, which PAPER seldom makes and where a model trained without them leaves grain."""

PRESETS = {"paper": PAPER, "second-order": SECOND_ORDER, "mixed": MIXED, "traces": TRACES}


def find_preset(name: str) -> Degradation:
    """Return the preset of that name.

    Raises:
        MismatchError: there is none.
    """
    if name not in PRESETS:
        raise MismatchError(f"The degradation must be one of {', '.join(PRESETS)}, found {name!r}.")
    return PRESETS[name]


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
            where = sent(part, images.device)
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
        in_double(values, canvas.pixels.device) for values in (sigmas, draws.angles, draws.moving)
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
        where = sent(ringing, pixels.device)
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
    sigma = sent((draws.noise / 255).float(), device)[:, None, None, None]
    shot = sent(draws.shot, device)[:, None, None, None]
    brightness = canvas.pixels.clamp(0, 1)
    noise = sent(noise, device)
    return canvas.pixels + noise * sigma * torch.where(shot, brightness.sqrt(), 1)
