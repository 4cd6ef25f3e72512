"""Runs GPEN on face crops, in batches that fit into memory.

This is the only place outside the network where pixels lie in [-1, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from . import warp
from .devices import free_memory, is_out_of_memory
from .errors import CheckpointError, DeviceError, ImageError, MismatchError
from .faces import Crops
from .sharpen import sharpen_restored

if TYPE_CHECKING:
    from collections.abc import Callable

    from .arch import GPEN, GPENConfig
    from .progress import OnProgress


SHARE_OF_FREE = 0.8
ACTIVATION_COPIES = 5
"""Peak of a forward pass in units of (encoder features + the last level's features).

Measured on a CPU: 4.0–4.6 at 256 px, 3.9 at 512, 3.8 at 1024, 3.7 at 2048.
"""


class Forward(Protocol):
    """Runs a network: [N, 3, in, in] in [-1, 1] to [N, 3, out, out], on any device."""

    def __call__(self, faces: torch.Tensor, *, noise_seed: int) -> torch.Tensor: ...


def restore(
    model: GPEN,
    crops: Crops,
    *,
    strength: float = 1.0,
    batch_size: int | None = None,
    noise_seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Crops:
    """Restore face crops; the crops come back at the model's output size, in the same order.

    Args:
        model: from `load_gpen`.
        crops: of any size; resized to the model's input size (antialiased) when they differ.
        strength: 0 … 1, how much of the restored face to take; the rest is the crop given.
        batch_size: crops per forward pass; None takes what fits into a GPU's memory, and one on a
            CPU. It is halved when memory runs out all the same.
        noise_seed: for models whose output is larger than their input; others draw no noise.
        on_progress: called with (crops done, all crops) after every forward pass; may raise.

    Raises:
        DeviceError: memory does not suffice for one face, or a half-precision dtype overflowed.
        CheckpointError: the network computed NaN in float32.
        ImageError: a crop holds NaN. Values beyond [0, 1], infinite ones too, are clamped.
        MismatchError: `strength`, `batch_size` or `noise_seed` is out of range.
    """
    pixels = restore_pixels(
        model,
        crops.pixels,
        strength=strength,
        batch_size=batch_size,
        noise_seed=noise_seed,
        on_progress=on_progress,
    )
    return Crops(pixels, crops.alignment)


def restore_pixels(
    model: GPEN,
    pixels: torch.Tensor,
    *,
    strength: float = 1.0,
    batch_size: int | None = None,
    noise_seed: int = 0,
    on_progress: OnProgress | None = None,
    forward: Forward | None = None,
    device: torch.device | None = None,
    is_oom: Callable[[Exception], bool] | None = None,
) -> torch.Tensor:
    """Restore faces that carry no alignment; arguments and errors as in `restore`.

    Args:
        pixels: [N, 3, S, S] RGB float in [0, 1], on any device.
        forward: runs the network instead of `model`, for a host that loads and frees it.
        device: where `forward` computes; its free memory sets the batch size.
        is_oom: whether an exception says that memory ran out; asked of every exception.

    Returns:
        [N, 3, out_size, out_size] float32 in [0, 1], on the device of `pixels`.
    """
    _check(pixels, strength, batch_size, noise_seed)
    device = device or model.device
    is_oom = is_oom or is_out_of_memory
    config = model.config
    batch_size = batch_size or faces_that_fit(config, model.dtype, device)

    def step(faces: torch.Tensor) -> torch.Tensor:
        if strength == 0:
            _check_no_nan(faces)
            return _resize(faces, config.out_size)
        given = _resize(faces, config.in_size)
        x = given.to(device) * 2 - 1
        y = (forward or model)(x, noise_seed=noise_seed).float() / 2 + 0.5
        _check_finite(y, faces, model.dtype)
        y = y.clamp(0, 1)
        if strength == 1 and not model.sharpen:
            return y.to(faces.device)
        before = given if config.in_size == config.out_size else _resize(faces, config.out_size)
        if model.sharpen:
            y = sharpen_restored(y, before.to(y.device), model.sharpen)
        y = y.to(faces.device)
        return y if strength == 1 else before.lerp(y, strength)

    # Made outside inference mode: callers may go on to change or differentiate the result.
    shape = (len(pixels), 3, config.out_size, config.out_size)
    restored = torch.empty(shape, device=pixels.device, dtype=torch.float32)
    done = 0
    while done < len(pixels):
        faces = pixels[done : done + batch_size]
        result = _attempt(step, faces, is_oom)
        if result is None:
            batch_size = _smaller(len(faces), config, device)
            continue
        restored[done : done + len(faces)] = result
        done += len(faces)
        if on_progress is not None:
            on_progress(done, len(pixels))
    return restored


def faces_that_fit(config: GPENConfig, dtype: torch.dtype, device: torch.device) -> int:
    """How many faces of a network one forward pass can take in the memory free on `device`.

    One on a CPU, where a pass computes one face after the other: more would gain no time, but take
    memory and let the user wait longer for a sign of life.
    """
    if device.type == "cpu":
        return 1
    free = free_memory(device)
    return max(1, int(free * SHARE_OF_FREE) // forward_memory(config, 1, dtype))


def forward_memory(config: GPENConfig, faces: int, dtype: torch.dtype) -> int:
    """About how many bytes a forward pass of that many faces takes, without the weights."""
    features = sum(config.width(size) * size**2 for size in config.resolutions)
    last = config.widths[-1] * config.out_size**2
    return ACTIVATION_COPIES * (features + last) * dtype.itemsize * faces


def _attempt(
    step: Callable[[torch.Tensor], torch.Tensor],
    faces: torch.Tensor,
    is_oom: Callable[[Exception], bool],
) -> torch.Tensor | None:
    """The step's result, or None when memory ran out.

    A function of its own, so that the exception, which keeps every tensor of the failed pass
    alive, is gone before the next attempt.
    """
    try:
        with torch.inference_mode():
            return step(faces)
    except Exception as error:
        if not is_oom(error):
            raise
    return None


def _smaller(batch_size: int, config: GPENConfig, device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if batch_size == 1:
        raise DeviceError(
            f"The memory of {device} does not suffice for one face of {config.out_size} px. Free "
            "some, take a smaller model, a half-precision dtype on a GPU, or device cpu."
        )
    return batch_size // 2


def _resize(faces: torch.Tensor, size: int) -> torch.Tensor:
    # Clamped before, too: infinite values side by side would become NaN. Bicubic overshoots.
    return warp.resize(faces.float().clamp(0, 1), size, size).clamp(0, 1)


def _check(pixels: torch.Tensor, strength: float, batch_size: int | None, noise_seed: int) -> None:
    shape = list(pixels.shape)
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] < 1:
        raise MismatchError(f"Faces must be [N, 3, S, S], found {shape}.")
    if not pixels.is_floating_point():
        raise MismatchError(f"Faces must be floating point in [0, 1], found {pixels.dtype}.")
    if not 0 <= strength <= 1:
        raise MismatchError(f"strength must lie in 0 … 1, found {strength}.")
    check_passes(batch_size, noise_seed)


def check_passes(batch_size: int | None, noise_seed: int) -> None:
    """Raise MismatchError for what `restore` refuses whatever the faces are."""
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise MismatchError(f"batch_size must be a whole number from 1, found {batch_size!r}.")
    if not isinstance(noise_seed, int) or not -(2**63) <= noise_seed < 2**63:
        raise MismatchError(f"noise_seed must be a whole number of 64 bits, found {noise_seed!r}.")


def _check_no_nan(faces: torch.Tensor) -> None:
    if torch.isnan(faces).any():
        raise ImageError("A face crop holds NaN; nothing was restored from it.")


def _check_finite(y: torch.Tensor, faces: torch.Tensor, dtype: torch.dtype) -> None:
    if torch.isfinite(y).all():
        return
    _check_no_nan(faces)
    if dtype != torch.float32:
        raise DeviceError(f"The network overflowed in {dtype}: restore with dtype fp32 or bf16.")
    raise CheckpointError("The network computed NaN or infinite values: the weights are unusable.")
