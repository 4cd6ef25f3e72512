"""Where a face lies, as a similarity to a template, and the crop cut there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .errors import MismatchError
from .faces import LANDMARK_NAMES, Alignment, Crops
from .warp import check_image, cut_crops

if TYPE_CHECKING:
    from .faces import Faces
    from .progress import OnProgress

TEMPLATES = {
    # The published GPEN pipeline's; the checkpoints were trained on faces that lie like this.
    "gpen": (
        (0.394611, 0.474383),
        (0.604356, 0.473223),
        (0.500150, 0.593670),
        (0.413984, 0.716461),
        (0.587678, 0.715501),
    ),
    # FFHQ as facexlib has it, in pixels of 512: the face is 1.12 × larger in the crop.
    "ffhq": (
        (192.98138 / 512, 239.94708 / 512),
        (318.90277 / 512, 240.19360 / 512),
        (256.63416 / 512, 314.01935 / 512),
        (201.26117 / 512, 371.41043 / 512),
        (313.08905 / 512, 371.15118 / 512),
    ),
}
"""Where the five landmarks belong, in units of the crop's side."""

LEAST_LIKENESS = 0.5
"""Correlation of landmarks with the template below which they are no face: full profiles reach
0.75 and more, a face whose left and right are exchanged 0.2."""


def find_alignment(faces: Faces, *, size: int, template: str = "gpen") -> Alignment:
    """The similarity that takes each face's landmarks to a template, for crops of `size` pixels.

    Args:
        faces: N faces, in any image of the batch.
        size: side of the crops in pixels; best the model's `config.in_size`.
        template: "gpen" as published, or "ffhq", which cuts closer.

    Raises:
        MismatchError: an unknown template, a size below 1, or landmarks that no similarity can
            bring near a face.
    """
    if size < 1:
        raise MismatchError(f"The crop size must be at least 1 px, found {size}.")
    affine, likeness = _fit(faces, template, size)
    unlike = (likeness < LEAST_LIKENESS).nonzero()[:, 0].tolist()
    if unlike:
        row = unlike[0]
        raise MismatchError(
            f"The landmarks of face {row} do not lie like a face: their correlation with the "
            f"template is {float(likeness[row]):.2f}, at least {LEAST_LIKENESS} is needed. Found "
            f"{faces.landmarks[row].tolist()}; the order is {', '.join(LANDMARK_NAMES)}, left and "
            "right being the viewer's. Correct them or leave this face out: "
            "faces[alignable(faces)]."
        )
    return Alignment(
        affine=affine,
        crop_size=size,
        image_index=faces.image_index,
        image_size=faces.image_size,
    )


def check_template(template: str) -> None:
    """Raise MismatchError unless there is a template of that name."""
    if template not in TEMPLATES:
        raise MismatchError(f"Unknown template {template!r}; use {', '.join(TEMPLATES)}.")


def alignable(faces: Faces, *, template: str = "gpen") -> torch.Tensor:
    """[N] bool, which faces lie like a face, so that `align` accepts them.

    Detectors report a few things that are none; `faces[alignable(faces)]` is without them.

    Args:
        faces: N faces, in any image of the batch.
        template: "gpen" or "ffhq".

    Raises:
        MismatchError: an unknown template.
    """
    return _fit(faces, template, 1)[1] >= LEAST_LIKENESS


def left_out_messages(faces: Faces) -> list[str]:
    """For each face that was left out because it is not `alignable`, which one it was and why."""
    return [
        f"Left out of image {image}: the face found at {x0:.0f}, {y0:.0f} … {x1:.0f}, {y1:.0f} "
        f"(score {score:.2f}), whose landmarks do not lie like a face."
        for image, (x0, y0, x1, y1), score in zip(
            faces.image_index.tolist(), faces.boxes.tolist(), faces.scores.tolist(), strict=True
        )
    ]


def _fit(faces: Faces, template: str, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    check_template(template)
    target = torch.tensor(TEMPLATES[template], dtype=torch.float64, device="cpu") * size
    return fit_similarity(faces.landmarks.double(), target)


def fit_similarity(points: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The least-squares similarities, without reflection, from each set of points to a target.

    This is Umeyama 1991, eqs. 40–42, for the plane: there rotation and scale together are one
    complex number, and its closed form is the regression of the target on the points.

    Args:
        points: [N, K, 2] float64.
        target: [K, 2] float64.

    Returns:
        affine [N, 2, 3] float64, points → target, and the likeness [N] in [0, 1], the absolute
        complex correlation, 1 for a perfect fit. Points that all coincide have likeness 0.
    """
    points_mean, target_mean = points.mean(dim=1, keepdim=True), target.mean(dim=0)
    source = torch.view_as_complex((points - points_mean).contiguous())  # [N, K]
    goal = torch.view_as_complex((target - target_mean).contiguous())  # [K]
    product = (source.conj() * goal).sum(dim=1)
    spread = source.abs().square().sum(dim=1)
    tiniest = torch.finfo(points.dtype).tiny
    factor = product / spread.clamp(min=tiniest)
    likeness = product.abs() / (spread * goal.abs().square().sum()).sqrt().clamp(min=tiniest)

    linear = torch.stack(
        [
            torch.stack([factor.real, -factor.imag], dim=1),
            torch.stack([factor.imag, factor.real], dim=1),
        ],
        dim=1,
    )
    shift = target_mean[:, None] - linear @ points_mean.transpose(1, 2)
    return torch.cat([linear, shift], dim=2), likeness


def cut(
    image: torch.Tensor,
    alignment: Alignment,
    *,
    device: torch.device | None = None,
    on_progress: OnProgress | None = None,
) -> Crops:
    """The aligned crops of `image`, mirrored where they reach outside it.

    A face larger than the crop is low-passed first, so it does not alias.

    Args:
        image: [B, 3, H, W] RGB in [0, 1], the batch the faces were found in, on any device.
        alignment: N affines, image → crop.
        device: where to compute, if not where the image is; a few faces at a time go there.
        on_progress: called with (crops done, all crops) after every few crops; may raise.

    Returns:
        Crops of [N, 3, S, S] float32 (float64 for a float64 image) on the image's device, within
        the range of the image.

    Raises:
        MismatchError: `image` is not [B, 3, H, W] or not the size the alignment was made for.
    """
    check_image(image)
    found = (image.shape[0], image.shape[2], image.shape[3])
    if found != alignment.image_size:
        raise MismatchError(
            "This alignment was made for a batch of {} images of {} × {} (H × W), found a batch of "
            "{} of {} × {}. Cut from the images in which the faces were detected.".format(
                *alignment.image_size, *found
            )
        )
    pixels = cut_crops(
        image,
        alignment.inverse_affine,
        alignment.image_index,
        alignment.crop_size,
        device,
        on_progress,
    )
    return Crops(pixels, alignment)


def align(
    image: torch.Tensor,
    faces: Faces,
    *,
    size: int,
    template: str = "gpen",
    device: torch.device | None = None,
    on_progress: OnProgress | None = None,
) -> Crops:
    """The crops of all faces, `find_alignment` and `cut` in a row.

    Args:
        image: [B, 3, H, W] RGB in [0, 1], the batch the faces were found in, on any device.
        faces: N faces.
        size: side of the crops in pixels; best the model's `config.in_size`.
        template: "gpen" as published, or "ffhq", which cuts closer.
        device, on_progress: see `cut`.

    Raises:
        MismatchError: see `find_alignment` and `cut`.
    """
    alignment = find_alignment(faces, size=size, template=template)
    return cut(image, alignment, device=device, on_progress=on_progress)
