"""Fill holes in faces: scratches, stains, painted-over parts.

As in the published demo, the network sees holes filled with white.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..align import cut
from ..faces import Crops
from ..images import check_image, check_mask
from ..names import INPAINT, REFINE, TURNS
from ..pasting import Pasted, PasteOptions
from ..pipeline import check_choices, find_faces, restore_detected
from ..runner import check_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..detectors import Detector
    from ..faces import Faces
    from ..progress import OnProgress
    from ..runner import Runner

HOLE = 0.5
"""A pixel whose mask has at least this value is a hole."""

TOUCHED = 0.05
"""A pixel of a crop becomes white if holes cover at least this part of it."""

FEATHER = 0.05
"""Default width of the slope at the crop's border, in crop sides: holes near it are filled, too."""


def inpaint(
    model: Runner,
    detector: Detector,
    image: torch.Tensor,
    mask: torch.Tensor,
    *,
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
    """Find all faces and fill the holes in them. Pixels outside the holes stay bit-exact.

    Args:
        model: a GPEN that inpaints, such as GPEN-Inpainting-1024.
        detector: from `load_detector`. Faces are searched in the image as it is.
        image: [B, 3, H, W] RGB float in [0, 1], on any device; it is not modified.
        mask: [B or 1, 1, H, W] in [0, 1]; a pixel of at least 0.5 is a hole.
        feather: see `paste`. Holes are filled only inside the crop of a face.
        template, threshold, min_size, max_faces, batch_size, noise_seed: see `restore_image`.
        on_progress, on_search, on_left_out: see `restore_image`.
        min_face, turns, refine: see `restore_image`.

    Returns:
        image [B, 3, H, W], and mask [B, 1, H, W], how much of each pixel is new.

    Raises:
        CheckpointError: the model is known to be trained for another task.
        MismatchError: the mask does not fit the image.
        GPENError: see the four verbs.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> config = gpen.GPENConfig(64, 64, widths=(8, 8, 8, 8, 8), style_dim=16, mapping_layers=2)
        >>> model = gpen.GPEN(config).train(mode=False)  # or load_gpen("GPEN-Inpainting-1024")
        >>> detector = gpen.load_detector("mtcnn", device="cpu")
        >>> image, holes = torch.full((1, 3, 96, 128), 0.5), torch.zeros(1, 1, 96, 128)
        >>> result = gpen.inpaint(model, detector, image, holes)
        >>> result.image is image  # no face was found
        True
    """
    check_task(model, INPAINT)
    check_image(image)
    check_mask(mask, image, "mask")
    PasteOptions(feather=feather).check(image)  # before a long search
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
    return inpaint_detected(
        model,
        image,
        faces,
        mask,
        feather=feather,
        template=template,
        max_faces=max_faces,
        batch_size=batch_size,
        noise_seed=noise_seed,
        on_progress=on_progress,
        on_left_out=on_left_out,
    )


def inpaint_detected(
    model: Runner,
    image: torch.Tensor,
    faces: Faces,
    mask: torch.Tensor,
    *,
    feather: float = FEATHER,
    template: str = "auto",
    max_faces: int | None = None,
    batch_size: int | None = None,
    noise_seed: int = 0,
    on_progress: OnProgress | None = None,
    on_left_out: Callable[[Faces], None] | None = None,
) -> Pasted:
    """Inpaint as `inpaint` does, but faces that `detect` found before."""
    check_mask(mask, image, "mask")
    holes = (mask >= HOLE).to(image)
    white = torch.where(holes > 0, 1, image)

    def whiten(crops: Crops) -> Crops:
        planes = holes.expand(len(image), 3, -1, -1)
        covered = cut(planes, crops.alignment, device=model.device).pixels
        return Crops(torch.where(covered >= TOUCHED, 1, crops.pixels), crops.alignment)

    return restore_detected(
        model,
        white,
        faces,
        # Cut from the whitened image, pasted into the image itself. Its detail in a hole is none.
        PasteOptions(detail=0.0, feather=feather, background=image, limit=holes),
        template=template,
        max_faces=max_faces,
        batch_size=batch_size,
        noise_seed=noise_seed,
        on_progress=on_progress,
        on_left_out=on_left_out,
        prepare=whiten,
    )
