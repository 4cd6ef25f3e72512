"""Colourise the faces of grey photographs and sepia prints.

The network gives the chroma, the photograph keeps its luma: Y' = 0.299 R + 0.587 G + 0.114 B of the
gamma-encoded values (ITU-R BT.601, Y' of YCbCr). The network was trained on this grey, and image
programs make it, so a colourised photograph turned grey again is the photograph that was given. The
published demo keeps L* of CIE Lab, which needs a file's colour space; for the weak colours of faces
the two differ little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..images import check_image, check_mask
from ..names import COLORIZE, REFINE, TURNS
from ..pasting import FEATHER, Pasted, PasteOptions
from ..pipeline import check_choices, find_faces, restore_detected
from ..runner import check_task
from ..sharpen import luma

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..detectors import Detector
    from ..faces import Faces
    from ..progress import OnProgress
    from ..runner import Runner

WHOLE_CROP = 1e-3
"""The feather, in crop sides, with which chroma is pasted that a mask will limit."""


def colorize(
    model: Runner,
    detector: Detector,
    image: torch.Tensor,
    *,
    strength: float = 1.0,
    spread: torch.Tensor | None = None,
    feather: float = FEATHER,
    template: str = "auto",
    threshold: float | None = None,
    min_size: float = 0,
    max_faces: int | None = None,
    batch_size: int | None = None,
    noise_seed: int = 0,
    on_progress: OnProgress | None = None,
    on_search: OnProgress | None = None,
    on_left_out: Callable[[Faces], None] | None = None,
    min_face: float = 0,
    turns: str = TURNS[0],
    refine: str = REFINE[0],
) -> Pasted:
    """Find all faces and give them the colours that the network paints. The luma stays.

    Only faces get colour. A colouriser of whole images belongs before this: then the faces' colours
    pass into those of their surroundings.

    Args:
        model: a GPEN that colourises, such as GPEN-Colorization-1024.
        detector: from `load_detector`.
        image: [B, 3, H, W] RGB float in [0, 1], on any device; it is not modified. The network gets
            its luma, so the tint of a sepia print does not matter.
        strength: 0 … 1, the weight of the new chroma; the rest is the image's own.
        spread: [B or 1, 1, H, W] in [0, 1], such as a mask of people. The chroma of the whole crop
            is continued over this mask and limited by it, so that the border of the crop does not
            show. None colours a feathered square around each face.
        feather, template, threshold, min_size, max_faces, batch_size, noise_seed: see
            `restore_image`.
        on_progress, on_search, on_left_out: see `restore_image`.
        min_face, turns, refine: see `restore_image`.

    Returns:
        image [B, 3, H, W], and mask [B, 1, H, W], where its chroma is new. Pixels where the mask is
        0 are bit-exact.

    Raises:
        CheckpointError: the model is known to be trained for another task.
        GPENError: see the four verbs.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> config = gpen.GPENConfig(64, 64, widths=(8, 8, 8, 8, 8), style_dim=16, mapping_layers=2)
        >>> model = gpen.GPEN(config).train(mode=False)  # or load_gpen("GPEN-Colorization-1024")
        >>> detector = gpen.load_detector("mtcnn", device="cpu")
        >>> image = torch.full((1, 3, 96, 128), 0.5)
        >>> result = gpen.colorize(model, detector, image)
        >>> result.image is image  # no face was found
        True
    """
    check_task(model, COLORIZE)
    check_image(image)
    if spread is not None:
        check_mask(spread, image, "spread")
    PasteOptions(feather=feather, strength=strength).check(image)  # before a long search
    check_choices(model, template, max_faces, batch_size, noise_seed)
    faces = find_faces(
        detector,
        image,
        model.config.in_size,
        threshold=threshold,
        min_size=min_size,
        min_face=min_face,
        turns=turns,
        refine=refine,
        on_search=on_search,
    )
    return colorize_detected(
        model,
        image,
        faces,
        strength=strength,
        spread=spread,
        feather=feather,
        template=template,
        max_faces=max_faces,
        batch_size=batch_size,
        noise_seed=noise_seed,
        on_progress=on_progress,
        on_left_out=on_left_out,
    )


def colorize_detected(
    model: Runner,
    image: torch.Tensor,
    faces: Faces,
    *,
    strength: float = 1.0,
    spread: torch.Tensor | None = None,
    feather: float = FEATHER,
    template: str = "auto",
    max_faces: int | None = None,
    batch_size: int | None = None,
    noise_seed: int = 0,
    on_progress: OnProgress | None = None,
    on_left_out: Callable[[Faces], None] | None = None,
) -> Pasted:
    """Colourise as `colorize` does, but faces that `detect` found before."""
    if spread is not None:
        check_mask(spread, image, "spread")
    light = luma(image.float().clamp(0, 1))
    grey = light.expand(-1, 3, -1, -1)
    pasted = restore_detected(
        model,
        grey,
        faces,
        # The photograph's fine detail is luma, which stays in any case.
        PasteOptions(detail=0.0, feather=feather if spread is None else WHOLE_CROP),
        template=template,
        max_faces=max_faces,
        batch_size=batch_size,
        noise_seed=noise_seed,
        on_progress=on_progress,
        on_left_out=on_left_out,
    )
    if pasted.image is grey:
        return Pasted(image, pasted.mask)
    # Grey has no chroma, so the pasted chroma is the crops' chroma times the mask.
    chroma, mask = pasted.image - luma(pasted.image), pasted.mask
    del pasted
    if spread is not None:
        has_face = mask.amax(dim=(1, 2, 3), keepdim=True) > 0
        limit = spread.to(mask).clamp(0, 1) * has_face
        chroma, mask = spread_chroma(chroma, mask) * limit, limit
    if strength == 0:
        return Pasted(image, mask)
    before = image.float().clamp(0, 1) - light
    chroma = before + strength * (chroma - mask * before)
    coloured = join(light, chroma).to(image.dtype)
    return Pasted(torch.where(mask > 0, coloured, image), mask)


def join(light: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """Add chroma to luma. Chroma that would leave [0, 1] is weakened, so that the luma stays.

    Args:
        light: [B, 1, H, W] the luma, in [0, 1].
        chroma: [B, 3, H, W], RGB minus its luma.
    """
    room = torch.where(chroma > 0, 1 - light, light)
    tiniest = torch.finfo(chroma.dtype).tiny
    factor = (room / chroma.abs().clamp(min=tiniest)).amin(dim=1, keepdim=True).clamp(max=1)
    return (light + factor * chroma).clamp(0, 1)  # rounding may overshoot


def spread_chroma(chroma: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Continue chroma into all pixels without weight, smoothly (the push-pull method).

    Gortler et al. 1996, *The Lumigraph*, section 3.3: a pyramid averages what is known, and each
    level fills its gaps from the coarser one.

    Args:
        chroma: [B, 3, H, W], times the weight.
        weight: [B, 1, H, W] in [0, 1].

    Returns:
        [B, 3, H, W]; where the weight is 1, the chroma given.
    """
    levels = []
    while max(chroma.shape[2:]) > 1:
        levels.append((chroma, weight))
        chroma, weight = (
            F.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False)
            for values in (chroma, weight)
        )
    filled = chroma / weight.clamp(min=torch.finfo(weight.dtype).tiny)
    for chroma, weight in reversed(levels):
        filled = F.interpolate(filled, chroma.shape[2:], mode="bilinear", align_corners=False)
        filled = chroma + (1 - weight) * filled
    return filled
