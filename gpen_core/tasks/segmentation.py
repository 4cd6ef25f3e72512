"""Paint faces from segmentation maps, whose colours name the parts of a face.

The network takes and gives values in [0, 1]; all other published networks take and give [-1, 1].
Its file has the same tensors as GPEN-BFR-512, so the task alone tells the range.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..errors import MismatchError
from ..images import check_image
from ..names import SEGMENT_TO_FACE
from ..restore import restore_pixels
from ..runner import check_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..progress import OnProgress
    from ..runner import Runner, RunnerConfig

PALETTE = {
    "background": 0x000000, "skin": 0xCC0000, "nose": 0x4C9900, "glasses": 0xCCCC00,
    "left eye": 0x3333FF, "right eye": 0xCC00CC, "left brow": 0x00FFFF, "right brow": 0x33FFFF,
    "left ear": 0x663300, "right ear": 0xFF0000, "mouth": 0x66CC00, "upper lip": 0xFFFF00,
    "lower lip": 0x000099, "hair": 0x0000CC, "hat": 0xFF3399, "earring": 0x00CCCC,
    "necklace": 0x003300, "neck": 0xFF9933, "cloth": 0x00CC00,
}  # fmt: skip
"""The colour 0xRRGGBB of each part, in the order of CelebAMask-HQ's labels."""


class UnitRangeConfig:
    """The config of a model that takes and gives [0, 1]; all else is the model's own."""

    value_range = (0.0, 1.0)

    def __init__(self, config: RunnerConfig) -> None:
        self._config = config
        self.in_size, self.out_size = config.in_size, config.out_size

    def forward_memory(self, faces: int, dtype: torch.dtype) -> int:
        """Estimate the bytes of a pass, as the model does."""
        return self._config.forward_memory(faces, dtype)


class UnitRangeRunner:
    """A model whose values lie in [0, 1], and whose results are not sharpened."""

    sharpen = 0.0

    def __init__(self, model: Runner) -> None:
        self.config = UnitRangeConfig(model.config)
        self.device, self.dtype = model.device, model.dtype
        self._model = model
        if hasattr(model, "is_oom"):
            self.is_oom = getattr(model, "is_oom")  # noqa: B009  the protocol leaves it open

    def __call__(self, faces: torch.Tensor, *, noise_seed: int) -> torch.Tensor:
        """Run the model on faces [N, 3, in, in] in [0, 1]."""
        return self._model(faces, noise_seed=noise_seed)


def segment_to_face(
    model: Runner,
    maps: torch.Tensor,
    *,
    nearest: bool = False,
    batch_size: int | None = None,
    noise_seed: int = 0,
    on_progress: OnProgress | None = None,
    on_replaced: Callable[[str], None] | None = None,
) -> torch.Tensor:
    """Paint a face from each segmentation map.

    Args:
        model: a GPEN that paints faces, such as GPEN-Seg2face-512.
        maps: [N, 3, S, S] RGB in [0, 1], in the colours of `tasks.segmentation.PALETTE`. Another
            size than the model's is resized by taking the nearest pixel, so no colour is mixed.
        nearest: replace other colours by the nearest of the palette, instead of refusing them.
        batch_size, noise_seed, on_progress: see `restore`.
        on_replaced: called with a message that says how many pixels were replaced. Without it, a
            UserWarning says so.

    Returns:
        [N, 3, out_size, out_size] float32 in [0, 1].

    Raises:
        CheckpointError: the model is known to be trained for another task.
        MismatchError: a map is not square, or has other colours.
        GPENError: see `restore`.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> config = gpen.GPENConfig(64, 64, widths=(8, 8, 8, 8, 8), style_dim=16, mapping_layers=2)
        >>> model = gpen.GPEN(config).train(mode=False)  # or load_gpen("GPEN-Seg2face-512")
        >>> background = torch.zeros(1, 3, 128, 128)
        >>> gpen.segment_to_face(model, background).shape
        torch.Size([1, 3, 64, 64])
    """
    check_task(model, SEGMENT_TO_FACE)
    check_image(maps, "maps")
    height, width = maps.shape[2:]
    if height != width:
        raise MismatchError(f"Segmentation maps must be square, found {width}×{height}.")
    clean, replaced = match_palette(maps, nearest=nearest)
    if replaced:
        message = (
            f"{replaced} of {len(maps) * height * width} pixels of the segmentation had other "
            "colours than the palette; the nearest were taken."
        )
        if on_replaced is not None:
            on_replaced(message)
        else:
            warnings.warn(message, stacklevel=2)
    return restore_pixels(
        UnitRangeRunner(model),
        F.interpolate(clean, (model.config.in_size,) * 2, mode="nearest-exact"),
        batch_size=batch_size,
        noise_seed=noise_seed,
        on_progress=on_progress,
    )


def match_palette(maps: torch.Tensor, *, nearest: bool) -> tuple[torch.Tensor, int]:
    """Round maps [N, 3, S, S] to 8 bits, and replace or refuse colours outside the palette.

    Returns:
        The maps in float32, and the number of pixels that were replaced.

    Raises:
        MismatchError: there are other colours, and `nearest` is False.
    """
    levels = (maps.float().clamp(0, 1) * 255).round().long()
    codes = (levels[:, 0] << 16) | (levels[:, 1] << 8) | levels[:, 2]
    palette = torch.tensor(list(PALETTE.values()), device=maps.device)
    used, places, counts = codes.unique(return_inverse=True, return_counts=True)
    other = ~torch.isin(used, palette)
    replaced = int(counts[other].sum())
    if replaced and not nearest:
        rows = (counts * other).argsort(descending=True)[: min(3, int(other.sum()))].tolist()
        shown = ", ".join(f"{int(used[row]):06X} ({int(counts[row])} pixels)" for row in rows)
        raise MismatchError(
            f"The segmentation has {int(other.sum())} colours outside the palette: {shown}. "
            f"Expected {', '.join(f'{code:06X} {name}' for name, code in PALETTE.items())}. JPEG "
            "and smooth resizing change colours: save maps as PNG, or ask for the nearest colours "
            "(nearest=True; command line --nearest; in the node, other_colors)."
        )
    distances = torch.cdist(_split(used), _split(palette))
    used = torch.where(other, palette[distances.argmin(dim=1)], used)
    return (_split(used)[places] / 255).movedim(-1, 1), replaced


def _split(codes: torch.Tensor) -> torch.Tensor:
    """Return the levels of codes 0xRRGGBB, [K, 3] float32."""
    return torch.stack([codes >> 16, (codes >> 8) & 255, codes & 255], dim=1).float()
