"""Faces for training: read from files, and drawn and varied in batches."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from ..degradation.draws import seed_generator
from ..devices import to_device
from ..errors import ImageError
from ..evaluation.lazy_faces import LazyFaces, read_faces

MEMORY_BUDGET = 4 << 30  # bytes: 21,800 faces of 256 px, 1,300 of 1024 px
MIN_ZOOM = 0.8
"""Faces are shrunk by factors down to this one. In the template `gpen` a face is 0.89 times as
large as in `ffhq`."""


def load_faces(
    files: list[Path], size: int, *, budget: int = MEMORY_BUDGET
) -> tuple[torch.Tensor | LazyFaces, list[str]]:
    """Read aligned faces: at once if they fit into the budget, otherwise on demand.

    Args:
        files: square images, or nearly so.
        size: side to which they are resized (antialiased).
        budget: bytes of memory for decoded faces. A larger set is decoded on demand; unusable
            files are then reported in the log.

    Returns:
        [N, 3, size, size] uint8 RGB of the usable files, or a `LazyFaces` in its place; and a line
        for each file that was left out.

    Raises:
        ImageError: no file is usable.
    """
    if len(files) * 3 * size * size > budget:
        return LazyFaces(files, size, budget=budget), []
    crops = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    complaints, count = [], 0
    for face in read_faces(files, size):
        if isinstance(face, ImageError):
            complaints.append(str(face))
        else:
            crops[count] = face
            count += 1
    if not count:
        raise ImageError("No usable training image. " + "; ".join(complaints[:5]))
    return crops[:count], complaints


def draw_batch(
    crops: torch.Tensor | LazyFaces,
    batch_size: int,
    *,
    seed: int,
    part: slice = slice(None),
    device: torch.device | None = None,
    keep_colour: bool = False,
) -> torch.Tensor:
    """Draw faces at random and vary them: mirror, shift, size, exposure, tint, saturation.

    Args:
        crops: [N, 3, S, S] uint8.
        batch_size: number of faces to draw.
        seed: the same seed draws the same batch, on any device except for rounding.
        part: the part of the batch to return; the rest is neither decoded nor varied.
        device: where to vary and return them; None stays where `crops` are.
        keep_colour: vary neither tint nor saturation, for a network that learns to colour.

    Returns:
        [K, 3, S, S] RGB in [0, 1]; K is `batch_size`, or the length of `part`.
    """
    draw = seed_generator(seed)
    picked = torch.randint(len(crops), (batch_size,), generator=draw)[part]
    mirrored = torch.rand(batch_size, generator=draw)[part] < 0.5
    size = crops.shape[-1]
    reach = max(1, size // 32)
    shifts = torch.randint(-reach, reach + 1, (batch_size, 2), generator=draw)[part]
    gamma = 2 ** (torch.rand(batch_size, 1, 1, 1, generator=draw)[part] - 0.5)
    gain = 1 - 0.15 * torch.rand(batch_size, 3, 1, 1, generator=draw)[part]
    # As in old photographs: one face in six keeps all of its colour, the others lose some of it.
    saturation = (torch.rand(batch_size, 1, 1, 1, generator=draw)[part] * 1.2).clamp(0, 1)
    # One face in three keeps its size. None is enlarged: it would be softer than a photograph.
    zoom = (MIN_ZOOM + 0.3 * torch.rand(batch_size, generator=draw)[part]).clamp(max=1)
    to_face = torch.zeros(len(picked), 2, 3)
    to_face[:, 0, 0] = torch.where(mirrored, -1, 1) / zoom
    to_face[:, 1, 1] = 1 / zoom
    to_face[:, :, 2] = shifts * (2 / size)

    batch = crops[picked]
    device = device or batch.device
    batch = to_device(batch, device).float() / 255
    to_face, gamma, gain, saturation = (
        to_device(values, device) for values in (to_face, gamma, gain, saturation)
    )
    batch = F.grid_sample(
        batch,
        F.affine_grid(to_face, list(batch.shape), align_corners=False),
        mode="bicubic",
        padding_mode="reflection",
        align_corners=False,
    ).clamp(0, 1)
    if keep_colour:
        return batch**gamma
    gray = batch.mean(dim=1, keepdim=True)
    batch = (gray + (batch - gray) * saturation).clamp(0, 1)
    return batch**gamma * gain
