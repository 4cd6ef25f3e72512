"""The four verbs in a row: find faces, cut them, restore them, put them back."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from .align import alignable, cut, find_alignment, left_out_messages
from .detectors import detect
from .errors import MismatchError
from .faces import Alignment, Crops
from .paste import FEATHER, Pasted, paste
from .restore import Forward, restore_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .arch import GPEN, GPENConfig
    from .detectors import Detector
    from .faces import Faces
    from .restore import OnProgress

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

    Crops are cut at the model's input size. Of a long batch only a part's crops are held at a time.

    Args:
        model: from `load_gpen`.
        detector: from `load_detector`.
        image: [B, 3, H, W] RGB float in [0, 1], on any device; it is not modified.
        threshold, min_size, max_faces: see `detect`.
        template: see `find_alignment`.
        strength, batch_size, noise_seed: see `restore`.
        detail, feather: see `paste`.
        background: [B, 3, H', W'] to paste into instead of `image`, as large or larger.
        limit: [B, 1, H, W] mask in [0, 1] of where faces may be pasted.
        on_progress: called with (faces done, all faces) after every forward pass; may raise.
        on_search: called with (passes done, all passes) while faces are searched; may raise.
        on_restored: called with the restored crops of each part, in the order of the faces found;
            their image_index and image_size are those of the part.
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
    canvas = image if background is None else background
    if len(canvas) != len(image):
        raise MismatchError(f"{len(canvas)} backgrounds do not fit {len(image)} images.")
    faces = detect(
        detector,
        image,
        threshold=threshold,
        min_size=min_size,
        max_faces=max_faces,
        on_progress=on_search,
    )
    fit = alignable(faces, template=template)
    if not fit.all():
        (on_left_out or _warn_of_left_out)(faces[~fit])
        faces = faces[fit]
    if not len(faces):
        return Pasted(canvas, canvas.new_zeros(len(canvas), 1, *canvas.shape[2:]))
    faces = faces[torch.argsort(faces.image_index, stable=True)]
    alignment = find_alignment(faces, size=model.config.in_size, template=template)
    most = _crops_at_a_time(model.config)

    def restore_part(rows: slice, images: slice) -> Pasted:
        pictures = image[images]
        part = _within(alignment[rows], images)
        # More crops than the budget, of a crowd in one image, wait where memory is larger.
        place = image.device if len(part) <= most else torch.device("cpu")
        size = model.config.out_size
        pixels = torch.empty(len(part), 3, size, size, device=place)
        for start in range(0, len(part), most):
            some = slice(start, start + most)
            pixels[some] = restore_pixels(
                model,
                cut(pictures, part[some], device=device).pixels,
                strength=strength,
                batch_size=batch_size,
                noise_seed=noise_seed,
                on_progress=_shifted(on_progress, rows.start + start, len(faces)),
                forward=forward,
                device=device,
                is_oom=is_oom,
            )
        restored = Crops(pixels, part)
        if on_restored is not None:
            on_restored(restored)
        return paste(
            pictures,
            restored,
            detail=detail,
            feather=feather,
            background=None if background is None else background[images],
            limit=None if limit is None else limit[images],
            device=device,
        )

    parts = list(_parts(alignment, most))
    if len(parts) == 1:
        return restore_part(*parts[0])
    result = Pasted(canvas.clone(), canvas.new_zeros(len(canvas), 1, *canvas.shape[2:]))
    for rows, images in parts:
        pasted = restore_part(rows, images)
        result.image[images] = pasted.image
        result.mask[images] = pasted.mask
    return result


def _warn_of_left_out(faces: Faces) -> None:
    for message in left_out_messages(faces):
        warnings.warn(message, stacklevel=3)


def _crops_at_a_time(config: GPENConfig) -> int:
    bytes_per_face = 3 * 4 * (config.in_size**2 + config.out_size**2)
    return max(1, CROPS_BUDGET // bytes_per_face)


def _parts(alignment: Alignment, most: int) -> Iterator[tuple[slice, slice]]:
    """(faces, images) of runs of images with at most so many faces, or of one image with more.

    The faces must be in the order of the images.
    """
    counts = torch.bincount(alignment.image_index, minlength=alignment.image_size[0]).tolist()
    first_face = first_image = face = 0
    for image, count in enumerate(counts):
        if face > first_face and face + count - first_face > most:
            yield slice(first_face, face), slice(first_image, image)
            first_face, first_image = face, image
        face += count
    if face > first_face:
        yield slice(first_face, face), slice(first_image, len(counts))


def _within(part: Alignment, images: slice) -> Alignment:
    """The same alignment, counted within a run of the images."""
    index = part.image_index - images.start
    size = (images.stop - images.start, *part.image_size[1:])
    return replace(part, image_index=index, image_size=size)


def _shifted(on_progress: OnProgress | None, before: int, total: int) -> OnProgress | None:
    """Progress of a part as progress of the whole."""
    if on_progress is None:
        return None
    return lambda done, _: on_progress(before + done, total)
