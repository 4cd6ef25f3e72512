"""How hard a degradation may hit: the ranges it draws from, and the named sets of ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..errors import MismatchError
from ..names import DEGRADATIONS
from .resample import FILTERS


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

PRESETS = dict(zip(DEGRADATIONS, (PAPER, SECOND_ORDER, MIXED, TRACES), strict=True))


def find_preset(name: str) -> Degradation:
    """Return the preset of that name.

    Raises:
        MismatchError: there is none.
    """
    if name not in PRESETS:
        raise MismatchError(f"The degradation must be one of {', '.join(PRESETS)}, found {name!r}.")
    return PRESETS[name]
