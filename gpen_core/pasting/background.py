"""Enlarges whole images: the background that restored faces are pasted into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..checkpoints.tensor_files import read_tensor_file
from ..devices import is_out_of_memory, resolve_device, resolve_dtype
from ..errors import CheckpointError, DeviceError, GPENError, MismatchError
from ..warp import resize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..progress import OnProgress

TILE, SMALLEST_TILE = 512, 64
"""Side in pixels of what goes through an upscaler at a time, and where halving it ends."""

MARGIN = 32
"""Pixels around a tile that it sees and whose result is thrown away, so that tiles do not show."""


@dataclass(frozen=True)
class Upscaler:
    """A network that enlarges images.

    Attributes:
        network: spandrel's descriptor, called with [1, 3, H, W] in [0, 1].
        scale: how many times it enlarges.
        device: where it computes.
        dtype: what it computes in.
    """

    network: Any
    scale: int
    device: torch.device
    dtype: torch.dtype

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Enlarge [1, 3, H, W]; gives [1, 3, scale·H, scale·W] float32 on the image's device."""
        with torch.inference_mode():
            enlarged = self.network(image.to(self.device, self.dtype))
        return enlarged.to(image.device, torch.float32)


def load_upscaler(
    path: str | Path, *, device: str | torch.device = "auto", dtype: str | torch.dtype = "auto"
) -> Upscaler:
    """Load an upscaling network of any architecture that spandrel knows (ESRGAN, DAT, SPAN …).

    Args:
        path: a `.pth`, `.pt` or `.safetensors` file.
        device, dtype: as for `load_gpen`; "auto" takes fp16 only where the network supports it.

    Raises:
        CheckpointError: the file cannot be read or holds no upscaler of RGB images.
        DeviceError: the device or dtype is not to be had.
        GPENError: spandrel is not installed.
    """
    try:
        import spandrel
    except ImportError as error:
        raise GPENError(
            'An upscaler file needs spandrel: pip install "gpen-restore[upscale]". Without one the '
            "background is enlarged by bicubic interpolation."
        ) from error
    place = resolve_device(device)
    contents = read_tensor_file(path).contents
    if not isinstance(contents, dict):
        raise CheckpointError(f"{path} holds a {type(contents).__name__}, not tensors by name.")
    try:
        network = spandrel.ModelLoader(place).load_from_state_dict(
            spandrel.canonicalize_state_dict(contents)
        )
    except spandrel.UnsupportedModelError as error:
        raise CheckpointError(
            f"{path} is none of the upscalers that spandrel {spandrel.__version__} knows; its "
            f"first tensor is `{next(iter(contents), None)}`."
        ) from error
    except RuntimeError as error:  # tensors that do not fit the architecture
        raise CheckpointError(f"{path} is damaged: {error}") from error
    purposes = ("SR", "Restoration") if network.scale == 1 else ("SR",)
    if (
        network.purpose not in purposes
        or network.input_channels != 3
        or network.output_channels != 3
    ):
        raise CheckpointError(
            f"{path} is a {network.architecture.name} for {network.purpose} with "
            f"{network.input_channels} → {network.output_channels} channels; an upscaler (SR) of "
            "RGB images is needed."
        )
    wanted = resolve_dtype(dtype, place)
    if wanted == torch.float16 and not network.supports_half:
        if dtype != "auto":
            raise DeviceError(f"{path} does not work in fp16; use bf16 or fp32.")
        wanted = torch.float32
    network.train(mode=False).to(place, wanted)
    return Upscaler(network, network.scale, place, wanted)


def enlarge(
    image: torch.Tensor,
    scale: int,
    *,
    upscaler: Upscaler | None = None,
    tile: int = TILE,
    on_progress: OnProgress | None = None,
) -> torch.Tensor:
    """Enlarge an image by exactly `scale`.

    Args:
        image: [1, 3, H, W] RGB in [0, 1].
        scale: whole number from 1 up.
        upscaler: the network to do it with; antialiased bicubic interpolation without one, and
            for what is left when the network's own scale differs.
        tile: side of the piece that goes through the network at a time; halved when memory runs
            out.
        on_progress: called with (tiles done, all tiles); may raise.

    Returns:
        [1, 3, scale·H, scale·W] float32 in [0, 1] on the image's device; with `scale` 1 the very
        image, unless the upscaler has scale 1 and so cleans it.

    Raises:
        MismatchError: the image has another shape or kind of numbers, or `scale` is below 1.
        DeviceError: memory does not suffice for a tile of `SMALLEST_TILE`.
    """
    shape = list(image.shape)
    if len(shape) != 4 or shape[:2] != [1, 3] or min(shape) < 1 or scale < 1:
        raise MismatchError(
            f"[1, 3, H, W] and a scale from 1 up are needed, found {shape} and {scale}."
        )
    if not image.is_floating_point():
        raise MismatchError(f"The image must be floating point in [0, 1], found {image.dtype}.")
    if scale == 1 and (upscaler is None or upscaler.scale > 1):
        return image
    size = (shape[2] * scale, shape[3] * scale)
    if upscaler is not None:
        image = _enlarge_tiled(image, upscaler, tile, on_progress)
    if tuple(image.shape[2:]) != size:
        image = resize(image.float(), *size).clamp_(0, 1)
    return image


def _enlarge_tiled(
    image: torch.Tensor,
    upscaler: Upscaler,
    tile: int,
    on_progress: OnProgress | None,
) -> torch.Tensor:
    scale = upscaler.scale
    height, width = image.shape[2:]
    # Made outside inference mode, so that the caller may change it.
    enlarged = torch.empty(
        1, 3, height * scale, width * scale, device=image.device, dtype=torch.float32
    )
    tiles = list(_tiles(height, width, tile))
    for done, (top, left, bottom, right) in enumerate(tiles):
        y0, x0 = max(top - MARGIN, 0), max(left - MARGIN, 0)
        seen = image[:, :, y0 : bottom + MARGIN, x0 : right + MARGIN]
        result = _attempt(upscaler, seen)
        if result is None:
            return _enlarge_tiled(image, upscaler, _smaller(tile, upscaler), on_progress)
        inner = result[
            ...,
            (top - y0) * scale : (bottom - y0) * scale,
            (left - x0) * scale : (right - x0) * scale,
        ]
        if not torch.isfinite(inner).all():
            raise DeviceError(f"The upscaler computed NaN in {upscaler.dtype}; use dtype fp32.")
        enlarged[..., top * scale : bottom * scale, left * scale : right * scale] = inner
        if on_progress is not None:
            on_progress(done + 1, len(tiles))
    return enlarged


def _tiles(height: int, width: int, side: int) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield top, left, min(top + side, height), min(left + side, width)


def _attempt(upscaler: Upscaler, image: torch.Tensor) -> torch.Tensor | None:
    """The enlarged image, or None when memory ran out (see `restore._attempt`)."""
    try:
        return upscaler(image)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return None


def _smaller(tile: int, upscaler: Upscaler) -> int:
    if upscaler.device.type == "cuda":
        torch.cuda.empty_cache()
    if tile // 2 < SMALLEST_TILE:
        raise DeviceError(
            f"The memory of {upscaler.device} does not suffice for a tile of {tile} px through the "
            "upscaler. Free some, or use device cpu."
        )
    return tile // 2
