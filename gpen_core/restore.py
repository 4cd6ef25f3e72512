"""Restore face crops with GPEN, in batches that fit into memory.

Outside the network, this is the only module where pixels lie in the network's range, [-1, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from . import warp
from .cleanliness import find_limits, measure_change, weigh_change
from .colour import keep_grey, match_colour
from .devices import free_memory, is_out_of_memory
from .errors import CheckpointError, DeviceError, ImageError, MismatchError
from .faces import Crops
from .images import HIGHEST, LOWEST, check_range
from .names import COLOURS, RESTORE
from .runner import check_task
from .sharpen import sharpen_restored

if TYPE_CHECKING:
    from collections.abc import Callable

    from .progress import OnProgress
    from .runner import Runner, RunnerConfig

USABLE_SHARE = 0.8
"""Share of a GPU's free memory that one forward pass may take."""


def restore(
    model: Runner,
    crops: Crops,
    *,
    strength: float = 1.0,
    batch_size: int | None = None,
    noise_seed: int = 0,
    on_progress: OnProgress | None = None,
    colour: str = "match",
    leave_clean: bool = False,
) -> Crops:
    """Restore face crops. They return at the model's output size, in the same order.

    Args:
        model: from `load_gpen`, or any other `Runner`.
        crops: of any size; another size than the model's input size is resized, antialiased.
        strength: 0 … 1, the weight of the restored face; the rest is the given crop.
        batch_size: crops per forward pass. None takes as many as fit into a GPU's memory, and one
            on a CPU. When memory runs out, the batch is halved and the pass repeated.
        noise_seed: seeds models whose output is larger than their input; others draw no noise.
        on_progress: called with (crops done, all crops) after every forward pass; may raise.
        colour: "match" gives each restored face the colours of its crop, averaged over sixteenths
            of its side; a grey crop stays grey. "grey" keeps the colours that the network painted,
            but a grey crop stays grey. "keep" keeps them always.
        leave_clean: leave a face as it is if the network hardly changes it, because it is clean.
            Between clean and damaged faces the share of the restored face grows evenly.

    Raises:
        DeviceError: memory does not suffice for one face, or a half-precision dtype overflowed.
        CheckpointError: the network computed NaN in float32, or was trained for another task.
        ImageError: a crop holds NaN. Values beyond [0, 1], infinite ones too, are clamped.
        MismatchError: `strength`, `batch_size`, `noise_seed` or `colour` is out of range.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> model = gpen.load_gpen("builtin", device="cpu")
        >>> alignment = gpen.Alignment(
        ...     torch.eye(2, 3)[None], crop_size=256, image_index=torch.tensor([0]),
        ...     image_size=(1, 256, 256))
        >>> crops = gpen.Crops(torch.rand(1, 3, 256, 256), alignment)
        >>> gpen.restore(model, crops, strength=0.8).pixels.shape
        torch.Size([1, 3, 256, 256])
    """
    check_task(model, RESTORE)
    pixels = restore_pixels(
        model,
        crops.pixels,
        strength=strength,
        batch_size=batch_size,
        noise_seed=noise_seed,
        on_progress=on_progress,
        colour=colour,
        leave_clean=leave_clean,
    )
    return Crops(pixels, crops.alignment)


def restore_pixels(
    model: Runner,
    pixels: torch.Tensor,
    *,
    strength: float = 1.0,
    batch_size: int | None = None,
    noise_seed: int = 0,
    on_progress: OnProgress | None = None,
    colour: str = "keep",
    leave_clean: bool = False,
) -> torch.Tensor:
    """Restore faces that carry no alignment. Arguments and errors are those of `restore`.

    Unless told otherwise by `colour`, the result is the network's own, tint and all.

    Args:
        pixels: [N, 3, S, S] RGB float in [0, 1], on any device.

    Returns:
        [N, 3, out_size, out_size] float32 in [0, 1], on the device of `pixels`.
    """
    _check(pixels, strength, batch_size, noise_seed)
    check_colour(colour)
    if leave_clean and strength > 0:
        restored = restore_pixels(
            model,
            pixels,
            batch_size=batch_size,
            noise_seed=noise_seed,
            on_progress=on_progress,
            colour=colour,
        )
        share = strength * weigh_faces(model, restored, pixels, colour)[0]
        return _resize(pixels, restored.shape[-1]).lerp(restored, share[:, None, None, None])
    config = model.config
    is_oom = getattr(model, "is_oom", is_out_of_memory)
    batch_size = batch_size or faces_that_fit(config, model.dtype, model.device)
    # Made outside inference mode: callers may go on to change or differentiate the result.
    shape = (len(pixels), 3, config.out_size, config.out_size)
    restored = torch.empty(shape, device=pixels.device, dtype=torch.float32)
    done = 0
    while done < len(pixels):
        batch = pixels[done : done + batch_size]
        result = _attempt(
            lambda crops: _run(model, crops, strength, noise_seed, colour), batch, is_oom
        )
        if result is None:
            batch_size = _halve(len(batch), config, model.device)
            continue
        restored[done : done + len(batch)] = result
        done += len(batch)
        if on_progress is not None:
            on_progress(done, len(pixels))
    return restored


def weigh_faces(
    model: Runner, restored: torch.Tensor, given: torch.Tensor, colour: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tell how much of each restored face to use, so that clean faces are left alone.

    Args:
        model: the model that restored them.
        restored: [N, 3, S, S] RGB in [0, 1].
        given: the faces before, of any size.
        colour: with which colours they were restored; see `restore`.

    Returns:
        The shares [N] in [0, 1], and the changes [N] in levels of 255 that they follow from.
    """
    before = _resize(given, restored.shape[-1]).to(restored.device)
    change = measure_change(restored, before)
    limits = find_limits(model, colour, lambda face: restore_pixels(model, face, colour=colour))
    return weigh_change(change, limits), change


def faces_that_fit(config: RunnerConfig, dtype: torch.dtype, device: torch.device) -> int:
    """Estimate how many faces one forward pass can take in the memory free on `device`.

    On a CPU the answer is 1. There a pass computes one face after the other, so a larger batch
    gains no time, takes more memory, and delays the first sign of progress.
    """
    if device.type == "cpu":
        return 1
    free = free_memory(device)
    return max(1, int(free * USABLE_SHARE) // config.forward_memory(1, dtype))


def _run(
    model: Runner, crops: torch.Tensor, strength: float, noise_seed: int, colour: str
) -> torch.Tensor:
    """Restore one batch of crops [N, 3, S, S] in [0, 1] in one forward pass."""
    config = model.config
    if strength == 0:
        _check_no_nan(crops)
        return _resize(crops, config.out_size)
    given = _resize(crops, config.in_size)
    low, high = config.value_range
    x = given.to(model.device) * (high - low) + low
    y = (model(x, noise_seed=noise_seed).float() - low) / (high - low)
    _check_values(y, crops, model.dtype)
    y = y.clamp(0, 1)
    if strength == 1 and not model.sharpen and colour == "keep":
        return y.to(crops.device)
    before = given if config.in_size == config.out_size else _resize(crops, config.out_size)
    if model.sharpen:
        y = sharpen_restored(y, before.to(y.device), model.sharpen)
    if colour != "keep":
        y = (match_colour if colour == "match" else keep_grey)(y, before.to(y.device))
    y = y.to(crops.device)
    return y if strength == 1 else before.lerp(y, strength)


def _attempt(
    step: Callable[[torch.Tensor], torch.Tensor],
    crops: torch.Tensor,
    is_oom: Callable[[Exception], bool],
) -> torch.Tensor | None:
    """Return the step's result, or None when memory ran out.

    An exception keeps every tensor of the failed pass alive. Here it is gone before the caller
    makes its next attempt.
    """
    try:
        with torch.inference_mode():
            return step(crops)
    except Exception as error:
        if not is_oom(error):
            raise
    return None


def _halve(batch_size: int, config: RunnerConfig, device: torch.device) -> int:
    """Halve the batch size; raise DeviceError if it was 1."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if batch_size == 1:
        raise DeviceError(
            f"The memory of {device} does not suffice for one face of {config.out_size} px. Free "
            "some, take a smaller model, a half-precision dtype on a GPU, or device cpu."
        )
    return batch_size // 2


def _resize(crops: torch.Tensor, size: int) -> torch.Tensor:
    # Clamped before, because infinite values side by side would become NaN, and after, because
    # bicubic interpolation overshoots.
    return warp.resize(crops.float().clamp(0, 1), size, size).clamp(0, 1)


def _check(pixels: torch.Tensor, strength: float, batch_size: int | None, noise_seed: int) -> None:
    shape = list(pixels.shape)
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] < 1:
        raise MismatchError(f"Faces must be [N, 3, S, S], found {shape}.")
    if not pixels.is_floating_point():
        raise MismatchError(f"Faces must be floating point in [0, 1], found {pixels.dtype}.")
    if not 0 <= strength <= 1:
        raise MismatchError(f"strength must lie in 0 … 1, found {strength}.")
    check_passes(batch_size, noise_seed)
    check_range(pixels, "Crops")


def check_passes(batch_size: int | None, noise_seed: int) -> None:
    """Raise MismatchError if `restore` would refuse these options, whatever the crops are."""
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise MismatchError(f"batch_size must be a whole number from 1, found {batch_size!r}.")
    if not isinstance(noise_seed, int) or not -(2**63) <= noise_seed < 2**63:
        raise MismatchError(f"noise_seed must be a whole number of 64 bits, found {noise_seed!r}.")


def check_colour(colour: str) -> None:
    """Raise MismatchError unless `colour` is one of `COLOURS`."""
    if colour not in COLOURS:
        raise MismatchError(
            f"colour must be {', '.join(COLOURS[:-1])} or {COLOURS[-1]}, found {colour!r}."
        )


def _check_no_nan(crops: torch.Tensor) -> None:
    if torch.isnan(crops).any():
        raise ImageError("A face crop holds NaN; nothing was restored from it.")


def _check_values(y: torch.Tensor, crops: torch.Tensor, dtype: torch.dtype) -> None:
    """Raise the error that fits if the network's output `y` is not finite, or crops out of range.

    Crops on a GPU are looked at here, because reading the answer waits for the GPU anyway.
    """
    sound = torch.isfinite(y).all()
    if crops.device == y.device and crops.device.type != "cpu":
        outside = torch.isfinite(crops) & ((crops < LOWEST) | (crops > HIGHEST))
        sound = sound & ~outside.any()
    if sound:
        return
    check_range(crops.cpu(), "Crops")
    _check_no_nan(crops)
    if dtype != torch.float32:
        raise DeviceError(f"The network overflowed in {dtype}: restore with dtype fp32 or bf16.")
    raise CheckpointError("The network computed NaN or infinite values: the weights are unusable.")
