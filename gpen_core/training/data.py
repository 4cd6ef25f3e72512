"""Faces for training: found, read, and drawn in batches."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from ..degradation.draws import seed_generator
from ..devices import to_device
from ..errors import ImageError
from ..evaluation.lazy_faces import LazyFaces, read_faces

MEMORY_BUDGET = 4 << 30  # bytes: 21,800 faces of 256 px, 1,300 of 1024 px
SMALLEST = 0.8
"""How small a face may be drawn; in the template `gpen` it is 0.89 times as large as in `ffhq`."""


def load_faces(
    files: list[Path], size: int, *, budget: int = MEMORY_BUDGET
) -> tuple[torch.Tensor | LazyFaces, list[str]]:
    """Open aligned faces; all are decoded now if they fit into the budget.

    Args:
        files: square images, or nearly so.
        size: side to which they are brought (antialiased).
        budget: bytes of memory for decoded faces. A larger set is decoded when it is asked for,
            and then reports unusable files in the log.

    Returns:
        [N, 3, size, size] uint8 RGB of the usable files, or what stands for it; and a line for
        each file left out so far.

    Raises:
        ImageError: no file is usable.
    """
    if len(files) * 3 * size * size > budget:
        return LazyFaces(files, size, budget=budget), []
    faces = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    complaints, count = [], 0
    for face in read_faces(files, size):
        if isinstance(face, ImageError):
            complaints.append(str(face))
        else:
            faces[count] = face
            count += 1
    if not count:
        raise ImageError("No usable training image. " + "; ".join(complaints[:5]))
    return faces[:count], complaints


def draw_batch(
    faces: torch.Tensor | LazyFaces,
    batch_size: int,
    *,
    seed: int,
    share: slice = slice(None),
    device: torch.device | None = None,
) -> torch.Tensor:
    """Draw faces at random and vary them: flips, shifts, size, exposure, tint.

    Args:
        faces: [N, 3, S, S] uint8.
        batch_size: how many to draw.
        seed: the same seed draws the same batch, on any device but for rounding.
        share: which of them to return; the others are neither decoded nor varied.
        device: where they are varied and returned; None is where `faces` are.

    Returns:
        [K, 3, S, S] RGB in [0, 1]; K is `batch_size` unless `share` takes fewer.
    """
    draw = seed_generator(seed)
    picked = torch.randint(len(faces), (batch_size,), generator=draw)[share]
    flipped = torch.rand(batch_size, generator=draw)[share] < 0.5
    size = faces.shape[-1]
    reach = max(1, size // 32)
    shifts = torch.randint(-reach, reach + 1, (batch_size, 2), generator=draw)[share]
    gamma = 2 ** (torch.rand(batch_size, 1, 1, 1, generator=draw)[share] - 0.5)
    gain = 1 - 0.15 * torch.rand(batch_size, 3, 1, 1, generator=draw)[share]
    # Old photographs: some faces without colour, some with little.
    saturation = (torch.rand(batch_size, 1, 1, 1, generator=draw)[share] * 1.2).clamp(0, 1)
    # One face in three keeps its size; enlarged, they would be softer than photographs.
    zoom = (SMALLEST + 0.3 * torch.rand(batch_size, generator=draw)[share]).clamp(max=1)
    to_face = torch.zeros(len(picked), 2, 3)
    to_face[:, 0, 0] = torch.where(flipped, -1, 1) / zoom
    to_face[:, 1, 1] = 1 / zoom
    to_face[:, :, 2] = shifts * (2 / size)

    batch = faces[picked]
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
    gray = batch.mean(dim=1, keepdim=True)
    batch = (gray + (batch - gray) * saturation).clamp(0, 1)
    return batch**gamma * gain
