"""The four verbs in a row: find faces, cut them, restore them, paste them back."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from .align import alignable, check_template, cut, find_alignment, left_out_messages
from .detectors import detect
from .detectors.merging import check_max_faces, filter_faces
from .detectors.refining import chooses_refining, refine_landmarks
from .faces import Crops
from .names import FACE_REGIONS, MASK_KINDS, REFINE, RESTORE, TURNS
from .pasting import FEATHER, Part, Pasted, PasteOptions, paste_parts
from .restore import check_colour, check_passes, restore_pixels, weigh_faces
from .runner import check_task, choose_template

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .detectors import Detector
    from .faces import Faces
    from .pasting.parsing import FaceParser
    from .progress import OnProgress
    from .runner import Runner, RunnerConfig

CROPS_BUDGET = 512 << 20
"""Bytes of crops, before and after restoring, held at a time: 5 faces at 2048 px, 85 at 512."""


def restore_image(
    model: Runner,
    detector: Detector,
    image: torch.Tensor,
    *,
    strength: float = 1.0,
    template: str = "auto",
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
    strengths: Sequence[float] | None = None,
    colour: str = "match",
    mask_kind: str = MASK_KINDS[0],
    regions: Sequence[str] = FACE_REGIONS,
    parser: FaceParser | None = None,
    grain: float = 0.0,
    min_face: float = 0,
    turns: str = TURNS[0],
    refine: str = REFINE[0],
    leave_clean: bool = False,
) -> Pasted:
    """Find all faces of the images, restore them and paste them back.

    Crops are cut at the model's input size, cut and pasted on the model's device, and held only a
    part at a time (`CROPS_BUDGET` bytes).

    Args:
        model: from `load_gpen`, or any other `Runner`.
        detector: from `load_detector`.
        image: [B, 3, H, W] RGB float in [0, 1], on any device; it is not modified.
        strength, detail, feather, background, limit, strengths: see `paste`. A face of strength 0
            keeps its pixels bit for bit.
        mask_kind, regions, parser, grain: see `paste`.
        template: see `align`; "auto" takes the one that the model was trained for.
        threshold, min_size, min_face, turns: see `detect`.
        refine: "on" places each face's landmarks more steadily by `refine_landmarks`, "off" does
            not, "auto" does for models of 512 px and more.
        max_faces: keep at most this many faces in each image: the largest that are `alignable`.
        batch_size, noise_seed, colour, leave_clean: see `restore`. A clean face keeps its pixels
            bit for bit.
        on_progress: called with (faces done, all faces) after every forward pass; may raise.
        on_search: called with (passes done, all passes) while faces are searched; may raise.
        on_restored: called with the restored crops of each part, in the order of the faces found.
        on_left_out: called with the faces found that are not `alignable`, if there are any. Without
            it, a UserWarning names each.

    Returns:
        image [B, 3, H', W'] and mask [B, 1, H', W']. If no face is found, `image` is the very
        tensor given (or the background).

    Raises:
        GPENError: see the four verbs.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> model = gpen.load_gpen("builtin", device="cpu")
        >>> detector = gpen.load_detector("mtcnn", device="cpu")
        >>> image = torch.full((1, 3, 96, 128), 0.5)
        >>> result = gpen.restore_image(model, detector, image)
        >>> result.image is image  # no face was found
        True
    """
    check_task(model, RESTORE)
    options = PasteOptions(
        detail, feather, background, limit, strength, strengths, mask_kind, regions, parser,
        grain=grain,
    )  # fmt: skip
    options.check(image)  # before a long search
    options.check_background()
    check_choices(model, template, max_faces, batch_size, noise_seed)
    check_colour(colour)
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
    return restore_detected(
        model,
        image,
        faces,
        options,
        template=template,
        max_faces=max_faces,
        batch_size=batch_size,
        noise_seed=noise_seed,
        on_progress=on_progress,
        on_restored=on_restored,
        on_left_out=on_left_out,
        colour=colour,
        leave_clean=leave_clean,
    )


def find_faces(
    detector: Detector,
    image: torch.Tensor,
    size: int,
    *,
    threshold: float | None = None,
    min_size: float = 0,
    min_face: float = 0,
    turns: str = TURNS[0],
    refine: str = REFINE[0],
    on_search: OnProgress | None = None,
) -> Faces:
    """Find the faces of [B, 3, H, W] for crops of `size` pixels; see `restore_image`."""
    refines = chooses_refining(refine, size)
    faces = detect(
        detector,
        image,
        threshold=threshold,
        min_size=min_size,
        on_progress=on_search,
        min_face=min_face,
        turns=turns,
    )
    return refine_landmarks(detector, image, faces) if refines else faces


def check_choices(
    model: Runner, template: str, max_faces: int | None, batch_size: int | None, noise_seed: int
) -> None:
    """Raise the error of the verb that would refuse one of these options after a long search."""
    check_max_faces(max_faces)
    check_template(choose_template(template, model.config))
    check_passes(batch_size, noise_seed)


def restore_detected(
    model: Runner,
    image: torch.Tensor,
    faces: Faces,
    options: PasteOptions,
    *,
    template: str = "auto",
    max_faces: int | None = None,
    batch_size: int | None = None,
    noise_seed: int = 0,
    on_progress: OnProgress | None = None,
    on_restored: Callable[[Crops], None] | None = None,
    on_left_out: Callable[[Faces], None] | None = None,
    in_place: bool = False,
    colour: str = "keep",
    prepare: Callable[[Crops], Crops] | None = None,
    on_chosen: Callable[[Faces], None] | None = None,
    leave_clean: bool = False,
    on_weighed: Callable[[list[float], list[float]], None] | None = None,
) -> Pasted:
    """Restore and paste as `restore_image` does, but faces that `detect` found before.

    Args:
        faces: the faces of `image`.
        options: how to paste.
        model, image, template, max_faces, batch_size, noise_seed, colour: see `restore_image`; but
            the colours are the network's own unless told otherwise.
        on_progress, on_restored, on_left_out: see `restore_image`.
        in_place: write into `image` (or the background), to save the memory of a copy.
        prepare: changes the crops of each part before the network gets them.
        on_chosen: called with the faces that will be restored, in the order of their crops.
        leave_clean: see `restore`.
        on_weighed: called for each part of the faces with how much of each is used, and with the
            changes in levels of 255 that this follows from; only if `leave_clean` is on.

    Raises:
        GPENError: see the four verbs.
    """
    template = choose_template(template, model.config)
    fit = alignable(faces, template=template)
    if not fit.all():
        (on_left_out or _warn_of_left_out)(faces[~fit])
    # Only faces that can be cut count: the others would take their place.
    faces = filter_faces(faces[fit], max_faces=max_faces)
    faces = faces[torch.argsort(faces.image_index, stable=True)]
    options.check_count(len(faces))
    if on_chosen is not None:
        on_chosen(faces)
    strengths = [options.strength_of(row) for row in range(len(faces))]
    needs_network = max(strengths, default=0) > 0
    if leave_clean:
        options = replace(options, strengths=strengths)  # each part changes its own before pasting
    alignment = find_alignment(faces, size=model.config.in_size, template=template)
    part_size = _crops_at_a_time(model.config)

    def restore_part(start: int) -> Part:
        part = alignment[start : start + part_size]
        crops = cut(image, part, device=model.device)
        pixels = restore_pixels(
            model,
            (prepare(crops) if prepare is not None else crops).pixels,
            strength=float(needs_network),  # pasting mixes by strength
            batch_size=batch_size,
            noise_seed=noise_seed,
            on_progress=_shift(on_progress, start, len(faces)),
            colour=colour,
        )
        restored = Crops(pixels, part)
        if leave_clean and needs_network:
            weighed = weigh_faces(model, pixels, crops.pixels, colour)
            shares, changes = (found.tolist() for found in weighed)
            for row, share in enumerate(shares, start=start):
                strengths[row] *= share
            if on_weighed is not None:
                on_weighed(shares, changes)
        if on_restored is not None:
            on_restored(restored)
        return Part(restored, None if options.background is not None else crops.pixels)

    parts = map(restore_part, range(0, len(faces), part_size))
    return paste_parts(image, alignment, parts, options, device=model.device, in_place=in_place)


def _warn_of_left_out(faces: Faces) -> None:
    for message in left_out_messages(faces):
        warnings.warn(message, stacklevel=4)


def _crops_at_a_time(config: RunnerConfig) -> int:
    bytes_per_face = 3 * 4 * (config.in_size**2 + config.out_size**2)
    return max(1, CROPS_BUDGET // bytes_per_face)


def _shift(on_progress: OnProgress | None, before: int, total: int) -> OnProgress | None:
    """Turn the progress of one part into the progress of the whole."""
    if on_progress is None:
        return None
    return lambda done, _: on_progress(before + done, total)
