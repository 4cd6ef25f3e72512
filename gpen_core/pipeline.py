"""The four verbs in a row: find faces, cut them, restore them, put them back."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from .align import alignable, check_template, cut, find_alignment, left_out_messages
from .detectors import detect
from .detectors.merging import check_max_faces, filter_faces
from .faces import Crops
from .pasting.paste import FEATHER, Pasted, check_options, paste_parts
from .restore import Forward, check_passes, restore_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from .arch import GPEN, GPENConfig
    from .detectors import Detector
    from .faces import Faces
    from .progress import OnProgress

CROPS_BUDGET = 512 << 20
"""Bytes of crops, before and after restoring, held at a time: 5 faces at 2048 px, 85 at 512."""


def restore_image(
    model: GPEN,
    detector: Detector,
    image: torch.Tensor,
    *,
    strength: float = 1.0,
    template: str = "gpen",
    detail: float | str = "auto",
    feather: float = FEATHER,
    threshold: float | None = None,
    min_size: float = 0,
    max_faces: int | None = None,
    background: torch.Tensor | None = None,
    batch_size: int | None = None,
    noise_seed: int = 0,
    limit: torch.Tensor | None = None,
    on_progress: OnProgress | None = None,
    on_search: OnProgress | None = None,
    on_restored: Callable[[Crops], None] | None = None,
    on_left_out: Callable[[Faces], None] | None = None,
    forward: Forward | None = None,
    device: torch.device | None = None,
    is_oom: Callable[[Exception], bool] | None = None,
) -> Pasted:
    """Find all faces of the images, restore them and put them back.

    Crops are cut at the model's input size. Only a part of them is held at a time, `CROPS_BUDGET`.

    Args:
        model: from `load_gpen`.
        detector: from `load_detector`.
        image: [B, 3, H, W] RGB float in [0, 1], on any device; it is not modified.
        threshold, min_size: see `detect`.
        max_faces: keep only so many in each image, the largest that are `alignable`.
        template: see `find_alignment`.
        batch_size, noise_seed: see `restore`.
        strength, detail, feather: see `paste`.
        background: [B, 3, H', W'] to paste into instead of `image`, as large or larger.
        limit: [B, 1, H, W] mask in [0, 1] of where faces may be pasted.
        on_progress: called with (faces done, all faces) after every forward pass; may raise.
        on_search: called with (passes done, all passes) while faces are searched; may raise.
        on_restored: called with the restored crops of each part, in the order of the faces found.
        on_left_out: called with the faces found that are not `alignable`, if there are any; without
            it a UserWarning names each.
        forward, is_oom: see `restore_pixels`.
        device: where to compute, if not where the images are (`cut`, `paste`) and the model is.

    Returns:
        image [B, 3, H', W'] and mask [B, 1, H', W']. Without a face the image is the very
        `background`, or the very `image`.

    Raises:
        GPENError: see the four verbs.
    """
    check_options(image, detail, feather, background, limit, strength)  # before a long search
    check_max_faces(max_faces)
    check_template(template)
    check_passes(batch_size, noise_seed)
    faces = detect(
        detector,
        image,
        threshold=threshold,
        min_size=min_size,
        on_progress=on_search,
    )
    fit = alignable(faces, template=template)
    if not fit.all():
        (on_left_out or _warn_of_left_out)(faces[~fit])
    # Of the faces that can be cut: one that cannot would take another's place.
    faces = filter_faces(faces[fit], max_faces=max_faces)
    faces = faces[torch.argsort(faces.image_index, stable=True)]
    alignment = find_alignment(faces, size=model.config.in_size, template=template)
    most = _crops_at_a_time(model.config)

    def restore_part(start: int) -> Crops:
        part = alignment[start : start + most]
        pixels = restore_pixels(
            model,
            cut(image, part, device=device).pixels,
            strength=float(strength > 0),  # `paste_parts` takes the share; 0 needs no network
            batch_size=batch_size,
            noise_seed=noise_seed,
            on_progress=_shifted(on_progress, start, len(faces)),
            forward=forward,
            device=device,
            is_oom=is_oom,
        )
        restored = Crops(pixels, part)
        if on_restored is not None:
            on_restored(restored)
        return restored

    return paste_parts(
        image,
        map(restore_part, range(0, len(faces), most)),
        detail=detail,
        feather=feather,
        background=background,
        limit=limit,
        strength=strength,
        device=device,
    )


def _warn_of_left_out(faces: Faces) -> None:
    for message in left_out_messages(faces):
        warnings.warn(message, stacklevel=3)


def _crops_at_a_time(config: GPENConfig) -> int:
    bytes_per_face = 3 * 4 * (config.in_size**2 + config.out_size**2)
    return max(1, CROPS_BUDGET // bytes_per_face)


def _shifted(on_progress: OnProgress | None, before: int, total: int) -> OnProgress | None:
    """Progress of a part as progress of the whole."""
    if on_progress is None:
        return None
    return lambda done, _: on_progress(before + done, total)
