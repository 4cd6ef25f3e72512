"""The ranges that a degradation draws from, and the named presets."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from ..errors import MismatchError
from ..names import DEGRADATIONS
from .resample import FILTERS


@dataclass(frozen=True)
class Degradation:
    """The ranges and probabilities that `degrade` draws from, anew for every image.

    A range is a pair (least, most).

    Attributes:
        blur_sigma: range of the σ of an anisotropic Gaussian, px of a 256 px face; drawn uniformly
            for each of its two axes.
        motion: probability of a straight motion blur, 4 σ long, instead of the Gaussian.
        scale: range of the factor by which the image is shrunk, log-uniform. A factor below 1
            enlarges.
        noise_sigma: range of the σ of the noise on the small image, levels of 255, uniform.
        gray_noise: probability that R, G and B get the same noise.
        jpeg_quality: range of the JPEG's quality, 1 to 100, uniform.
        filters: filters for resizing, drawn with equal probability: "area", "bilinear", "bicubic".
        shot_noise: probability of photon noise instead of Gaussian noise: its variance grows in
            proportion to brightness, and `noise_sigma` is its σ on white.
        ringing: probability of an ideal low-pass after the noise; it rings as strong sharpening
            does.
        second: ranges of a second pass over the small image that the first pass leaves. Its blur
            is in px of that image.
        twice: probability of the second pass.
        mild: probability of the ranges `TRACES` instead of these.
        noisy: probability of the ranges `NOISY` instead of these: sharp, with much noise.
        clean: probability that an image stays as it is.
        strength: strength of `TRACES` and `NOISY` for `mild` and `noisy` images, and of `grey` and
            `sepia`; see `weakened`.
        grey: probability that a degraded image loses its colour, as in black and white film.
        sepia: probability that it becomes a brown print instead.

    Raises:
        MismatchError: a value is out of range, or two of them contradict each other.

    Example:
        >>> from gpen_core import Degradation
        >>> harsh = Degradation(scale=(4, 8), jpeg_quality=(20, 40), filters=("area", "bicubic"))
        >>> harsh.weakened(0.5).scale
        (2.0, 2.8284271247461903)
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
    grey: float = 0.0
    sepia: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in BOUNDS:
                _check_range(name, value)
            elif name not in ("filters", "second"):
                _check_number(name, value, most=math.inf if name == "strength" else 1)
        _check_filters(self.filters)
        if not isinstance(self.second, (Degradation, type(None))):
            raise MismatchError(f"second must be a Degradation or None, found {self.second!r}.")
        if self.twice and self.second is None:
            raise MismatchError(
                f"twice is {self.twice}, but `second` is None: give the ranges of a second pass."
            )
        for one, other in (("mild", "noisy"), ("grey", "sepia")):
            shares = getattr(self, one), getattr(self, other)
            if sum(shares) > 1:
                raise MismatchError(
                    f"{one} and {other} exclude each other, so their probabilities must add up to "
                    f"at most 1, found {shares[0]} + {shares[1]}."
                )

    def weakened(self, strength: float) -> Degradation:
        """Return a weaker copy: strength 1 changes nothing, strength 0 leaves images clean.

        Probabilities stay, except that of ringing: ringing has no weaker form.

        Raises:
            MismatchError: `strength` is negative, or so large that a range leaves its bounds.
        """
        _check_number("strength", strength, most=math.inf)
        if strength == 0:
            return replace(self, clean=1.0)
        least, most = self.jpeg_quality
        return replace(
            self,
            blur_sigma=tuple(strength * sigma for sigma in self.blur_sigma),
            scale=tuple(factor**strength for factor in self.scale),
            noise_sigma=tuple(strength * sigma for sigma in self.noise_sigma),
            jpeg_quality=(100 - strength * (100 - least), 100 - strength * (100 - most)),
            ringing=min(1.0, strength * self.ringing),
            second=self.second and self.second.weakened(strength),
            strength=strength * self.strength,
        )


BOUNDS = {
    "blur_sigma": (0, math.inf),
    "scale": (1e-3, math.inf),
    "noise_sigma": (0, math.inf),
    "jpeg_quality": (1, 100),
}
"""Bounds of every range of a `Degradation`; infinity itself lies outside."""


def _check_range(name: str, ends: Any) -> None:
    lowest, highest = BOUNDS[name]
    try:
        least, most = ends
        sound = lowest <= least <= most <= highest and most < math.inf
    except (TypeError, ValueError):  # no pair of numbers
        sound = False
    if not sound:
        raise MismatchError(
            f"{name} must be a pair (least, most) that rises within {lowest} … {highest}, "
            f"found {ends!r}."
        )


def _check_number(name: str, value: Any, *, most: float) -> None:
    try:
        sound = 0 <= value <= most and value < math.inf
    except TypeError:
        sound = False
    if not sound:
        raise MismatchError(f"{name} must lie in 0 … {most}, found {value!r}.")


def _check_filters(filters: Any) -> None:
    names = filters if isinstance(filters, (tuple, list)) else ()
    if not names or not all(name in tuple(FILTERS) for name in names):
        raise MismatchError(
            f"filters must name at least one of {', '.join(FILTERS)}, found {filters!r}."
        )


PAPER = DEFAULT = Degradation()
"""The GPEN paper's ranges; models are measured with them."""

TRACES = Degradation((0.1, 0.6), 0.0, (1.0, 1.0), (0.0, 2.0), 0.4, (85, 98))
"""A good photograph, saved as JPEG."""

NOISY = Degradation((0.2, 0.8), 0.0, (1.0, 2.0), (4.0, 18.0), 0.4, (60, 98))
"""A sharp photograph taken in low light."""

SECOND_PASS = Degradation(
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
    scale=(1.0, 4.0), filters=tuple(FILTERS), shot_noise=0.5, second=SECOND_PASS, twice=1.0
)
"""Two passes, as in BSRGAN and Real-ESRGAN: harder on texture than PAPER, and about as small."""

MIXED = replace(
    PAPER,
    filters=tuple(FILTERS),
    shot_noise=0.3,
    second=SECOND_PASS,
    twice=0.4,
    mild=0.07,
    noisy=0.13,
    clean=0.05,
)
"""For training. One image in eight is clean or nearly so: from these a model learns to leave sharp
faces alone. One in eight is sharp but noisy: PAPER seldom draws that, and a model trained without
it leaves grain. The others are drawn from PAPER, two in five of them with a second pass."""

OLD = replace(MIXED, grey=0.15, sepia=0.05)
"""For training: MIXED, but a fifth of all images is grey or sepia, as in the published training."""

PRESETS = dict(zip(DEGRADATIONS, (PAPER, SECOND_ORDER, MIXED, TRACES, OLD), strict=True))


def find_preset(name: str) -> Degradation:
    """Return the preset of that name.

    Raises:
        MismatchError: no preset has that name.
    """
    if name not in PRESETS:
        raise MismatchError(f"The degradation must be one of {', '.join(PRESETS)}, found {name!r}.")
    return PRESETS[name]
