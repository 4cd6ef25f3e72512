"""Faces for training: decoded once, kept in memory."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
import torch.nn.functional as F

from ..errors import ImageError
from ..media import read_image
from ..warp import resize
from .draws import generator

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
INDEX_NAME = "INDEX.tsv"


def find_faces(folder: Path, *, split: str | None = None) -> list[Path]:
    """Return the image files under `folder`, sorted.

    Args:
        folder: searched with its sub-folders.
        split: keep only files of this split, as the column `split` of an INDEX.tsv in `folder` or
            in its parent says (column `file` is relative to that table). None keeps all.

    Raises:
        ImageError: no such folder, no table to read the split from, or nothing left.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder; --data takes a folder of aligned faces.")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if split is not None:
        tables = [t for t in (folder / INDEX_NAME, folder.parent / INDEX_NAME) if t.is_file()]
        if not tables:
            raise ImageError(
                f"Split {split!r} was asked for, but neither {folder} nor its parent holds "
                f"{INDEX_NAME} (columns `file` and `split`)."
            )
        with tables[0].open(encoding="utf-8", newline="") as table:
            rows = csv.DictReader(table, delimiter="\t")
            wanted = {tables[0].parent / row["file"] for row in rows if row["split"] == split}
        files = [path for path in files if path in wanted]
    if not files:
        raise ImageError(
            f"No image to train on under {folder}"
            + (f" in split {split!r}" if split else "")
            + f"; expected {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return files


def load_faces(files: list[Path], size: int) -> tuple[torch.Tensor, list[str]]:
    """Decode aligned faces.

    Args:
        files: square images, or nearly so.
        size: side to which they are brought (antialiased).

    Returns:
        [N, 3, size, size] uint8 RGB of the usable files, and a line for each file left out.

    Raises:
        ImageError: no file is usable.
    """
    faces, complaints = [], []
    for path in files:
        try:
            pixels = read_image(path)
        except ImageError as error:
            complaints.append(str(error))
            continue
        height, width = pixels.shape[2:]
        if min(height, width) < size // 2:
            complaints.append(f"{path} is {width} × {height}; at least {size // 2} px are needed.")
            continue
        faces.append((resize(pixels, size, size)[0].clamp(0, 1) * 255).round().byte())
    if not faces:
        raise ImageError("No usable training image. " + "; ".join(complaints[:5]))
    return torch.stack(faces), complaints


def draw_batch(faces: torch.Tensor, batch_size: int, *, seed: int) -> torch.Tensor:
    """Draw faces at random and vary them: flips, shifts, exposure, tint.

    Args:
        faces: [N, 3, S, S] uint8.
        batch_size: how many to draw.
        seed: the same seed draws the same batch.

    Returns:
        [batch_size, 3, S, S] RGB in [0, 1].
    """
    draw = generator(seed)
    picked = torch.randint(len(faces), (batch_size,), generator=draw)
    batch = faces[picked].float() / 255
    flipped = torch.rand(batch_size, generator=draw) < 0.5
    batch[flipped] = batch[flipped].flip(3)
    reach = max(1, faces.shape[-1] // 32)
    shifts = torch.randint(-reach, reach + 1, (batch_size, 2), generator=draw).tolist()
    padded = F.pad(batch, [reach] * 4, mode="reflect")
    size = faces.shape[-1]
    batch = torch.stack(
        [
            image[:, reach + dy : reach + dy + size, reach + dx : reach + dx + size]
            for image, (dy, dx) in zip(padded, shifts, strict=True)
        ]
    )
    gamma = 2 ** (torch.rand(batch_size, 1, 1, 1, generator=draw) - 0.5)
    gain = 1 - 0.15 * torch.rand(batch_size, 3, 1, 1, generator=draw)
    gray = batch.mean(dim=1, keepdim=True)
    # Old photographs: some faces without colour, some with little.
    saturation = (torch.rand(batch_size, 1, 1, 1, generator=draw) * 1.2).clamp(0, 1)
    return (gray + (batch - gray) * saturation).clamp(0, 1) ** gamma * gain
