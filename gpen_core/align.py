"""Fit each face's landmarks to a template, and cut the aligned crop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .errors import MismatchError
from .faces import LANDMARK_NAMES, Alignment, Crops
from .images import check_image, check_shape, format_batch
from .templates import TEMPLATES, fit_similarity
from .warp import cut_crops

if TYPE_CHECKING:
    from .faces import Faces
    from .progress import OnProgress

LEAST_LIKENESS = 0.5
"""Least correlation of a face's landmarks with the template. Full profiles reach 0.75 and more; a
face whose left and right landmarks are exchanged reaches 0.2."""


def find_alignment(
    faces: Faces, *, size: int, template: str = "gpen", crop_factor: float = 1.0
) -> Alignment:
    """Fit the similarities that map each face's landmarks to a template.

    Args:
        faces: N faces, in any image of the batch.
        size: side of the crops in pixels; best is the model's `config.in_size`.
        template: "gpen" as published, or "ffhq", which cuts closer.
        crop_factor: sides of the crops as a multiple of the template's, 1 to 3.

    Raises:
        MismatchError: the template is unknown, the size is below 1, `crop_factor` is out of range,
            or a face is not `alignable`.
    """
    if size < 1:
        raise MismatchError(f"The crop size must be at least 1 px, found {size}.")
    affine, likeness = _fit(faces, template, size)
    unlike = (likeness < LEAST_LIKENESS).nonzero()[:, 0].tolist()
    if unlike:
        row = unlike[0]
        raise MismatchError(
            f"The landmarks of face {row} are not arranged like a face: their correlation with the "
            f"template is {float(likeness[row]):.2f}, at least {LEAST_LIKENESS} is needed. Found "
            f"{faces.landmarks[row].tolist()}; expected {', '.join(LANDMARK_NAMES)}, with left and "
            "right as the viewer sees them. Correct them, or drop this face: "
            "faces[alignable(faces)]."
        )
    alignment = Alignment(
        affine=affine,
        crop_size=size,
        image_index=faces.image_index,
        image_size=faces.image_size,
        template=template,
    )
    return alignment.with_crop_factor(crop_factor)


def check_template(template: str) -> None:
    """Raise MismatchError unless the template exists."""
    if template not in TEMPLATES:
        raise MismatchError(f"Unknown template {template!r}; use {', '.join(TEMPLATES)}.")


def alignable(faces: Faces, *, template: str = "gpen") -> torch.Tensor:
    """Tell which faces `align` accepts: [N] bool, whether the landmarks are arranged like a face.

    Detectors also report a few things that are no faces. `faces[alignable(faces)]` drops them.

    Args:
        faces: N faces, in any image of the batch.
        template: "gpen" or "ffhq".

    Raises:
        MismatchError: the template is unknown.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> points = torch.tensor([[24.0, 28], [40, 28], [32, 36], [26, 44], [38, 44]])
        >>> landmarks = torch.stack([points, torch.full((5, 2), 30.0)])  # the second is no face
        >>> faces = gpen.Faces(
        ...     boxes=torch.tensor([[16.0, 16, 48, 52], [29, 29, 31, 31]]), landmarks=landmarks,
        ...     scores=torch.tensor([0.9, 0.8]), image_index=torch.tensor([0, 0]),
        ...     image_size=(1, 64, 64))
        >>> gpen.alignable(faces).tolist()
        [True, False]
    """
    return _fit(faces, template, 1)[1] >= LEAST_LIKENESS


def left_out_messages(faces: Faces) -> list[str]:
    """Name each face that was left out because it is not `alignable`, and say why."""
    return [
        f"Left out of image {image}: the face found at {x0:.0f}, {y0:.0f} … {x1:.0f}, {y1:.0f} "
        f"(score {score:.2f}). Its landmarks are not arranged like a face."
        for image, (x0, y0, x1, y1), score in zip(
            faces.image_index.tolist(), faces.boxes.tolist(), faces.scores.tolist(), strict=True
        )
    ]


def _fit(faces: Faces, template: str, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    check_template(template)
    target = torch.tensor(TEMPLATES[template], dtype=torch.float64, device="cpu") * size
    return fit_similarity(faces.landmarks.double(), target)


def cut(
    image: torch.Tensor,
    alignment: Alignment,
    *,
    device: torch.device | None = None,
    on_progress: OnProgress | None = None,
) -> Crops:
    """Cut the aligned crops of `image`. Outside the image, its mirror image continues it.

    A face larger than the crop is low-passed first, so that it does not alias.

    Args:
        image: [B, 3, H, W] RGB in [0, 1], the batch the faces were found in, on any device.
        alignment: N affines that map image points to crop points.
        device: where to compute; by default where the image is. A few faces at a time go there.
        on_progress: called with (crops done, all crops) after every few crops; may raise.

    Returns:
        Crops with pixels [N, 3, S, S], float32 (float64 for a float64 image), on the image's
        device, within the range of the image.

    Raises:
        MismatchError: `image` is not [B, 3, H, W] or not the size the alignment was made for.
    """
    check_shape(image)
    found = (image.shape[0], image.shape[2], image.shape[3])
    if found != alignment.image_size:
        raise MismatchError(
            f"This alignment was made for {format_batch(alignment.image_size)}, found "
            f"{format_batch(found)}. Cut from the images in which the faces were detected."
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
    crop_factor: float = 1.0,
) -> Crops:
    """Cut an aligned crop of every face.

    Args:
        image: [B, 3, H, W] RGB in [0, 1], the batch the faces were found in, on any device.
        faces: N faces.
        size: side S of the crops in pixels; best is the model's `config.in_size`.
        template: "gpen" as published, or "ffhq", which cuts closer.
        device: where to compute; by default where the image is.
        on_progress: called with (crops done, all crops) after every few crops; may raise.
        crop_factor: sides of the crops as a multiple of the template's, 1 to 3. Above 1 a crop
            shows more of what is around the face, for a network that uses it. GPEN wants 1.
            `paste` puts back the same part of the face as with 1.

    Returns:
        Crops with pixels [N, 3, S, S] on the image's device, in the order of the faces.

    Raises:
        MismatchError: `image` is not [B, 3, H, W] or not the batch that the faces were found in,
            the template is unknown, `crop_factor` is out of range, or a face is not `alignable`.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> image = torch.rand(1, 3, 64, 64)
        >>> points = torch.tensor([[24.0, 28], [40, 28], [32, 36], [26, 44], [38, 44]])
        >>> faces = gpen.Faces(
        ...     boxes=torch.tensor([[16.0, 16, 48, 52]]), landmarks=points[None],
        ...     scores=torch.tensor([0.9]), image_index=torch.tensor([0]), image_size=(1, 64, 64))
        >>> gpen.align(image, faces, size=256).pixels.shape
        torch.Size([1, 3, 256, 256])
    """
    check_image(image)
    alignment = find_alignment(faces, size=size, template=template, crop_factor=crop_factor)
    return cut(image, alignment, device=device, on_progress=on_progress)
