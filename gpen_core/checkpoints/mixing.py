"""Mix checkpoints of one network: the weighted mean of their weights.

Weights can be averaged if one was fine-tuned from the other, or both from a third. The restored
faces then lie between those of the sources (network interpolation: Wang et al. 2018, ESRGAN,
arXiv 1809.00219, section 3.4). So a sharp model and a faithful model give any compromise without
further training.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ..devices import DTYPES
from ..errors import MismatchError
from . import catalog
from .converting import check_output, round_weight
from .loading import read_checkpoint
from .metadata import MAX_SHARPEN, sharpen_metadata, task_metadata
from .state_dicts import is_kernel
from .tensor_files import write_safetensors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .loading import Checkpoint


def mix_checkpoints(
    sources: Sequence[str | Path],
    target: str | Path,
    *,
    shares: Sequence[float] | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the weighted mean of checkpoints, tensor by tensor, as a `.safetensors` file.

    Args:
        sources: two or more files or names of the catalogue, all of one configuration.
        target: a path that ends in `.safetensors`.
        shares: the weight of each source; their sum is 1. Negative shares extrapolate. None gives
            every source the same share.
        dtype: "fp32", "fp16" or "bf16"; None stores each tensor in the dtype of the first file.
        overwrite: replace `target` if it exists.

    Returns:
        `target` as a path.

    Raises:
        CheckpointError: a source is not a GPEN, `target` exists or cannot be written, or a weight
            is too large for `dtype`.
        DeviceError: the dtype is unknown.
        MismatchError: there are fewer than two sources, the number of shares differs from the
            number of sources, the sum of the shares is not 1, or the configurations differ.
    """
    target = check_output(target, dtype)
    shares = _check_shares(shares, len(sources))
    checkpoints = [read_checkpoint(catalog.resolve(source)) for source in sources]
    _check_configurations(checkpoints)
    tensors = _mix_tensors(checkpoints, shares, dtype)
    amounts = (checkpoint.sharpen for checkpoint in checkpoints)
    sharpen = sum(share * amount for share, amount in zip(shares, amounts, strict=True))
    metadata = sharpen_metadata(min(max(0.0, sharpen), MAX_SHARPEN))
    tasks = {checkpoint.task for checkpoint in checkpoints}
    metadata |= task_metadata(tasks.pop() if len(tasks) == 1 else None)
    write_safetensors(tensors, target, overwrite=overwrite, metadata=metadata)
    return target


def _check_shares(shares: Sequence[float] | None, count: int) -> Sequence[float]:
    """Return one share for each of `count` checkpoints; raise MismatchError if they do not fit."""
    if count < 2:
        raise MismatchError(f"Two or more checkpoints can be mixed, found {count}.")
    if shares is None:
        return [1 / count] * count
    if len(shares) != count:
        raise MismatchError(f"{count} checkpoints need as many shares, found {len(shares)}.")
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise MismatchError(f"The shares must add up to 1, found {sum(shares):g}.")
    return shares


def _check_configurations(checkpoints: Sequence[Checkpoint]) -> None:
    first, *others = checkpoints
    for other in others:
        if other.config != first.config:
            raise MismatchError(
                "Only checkpoints of one configuration can be mixed. "
                f"`{first.path}` has {first.config}, `{other.path}` has {other.config}."
            )


def _mix_tensors(
    checkpoints: Sequence[Checkpoint], shares: Sequence[float], dtype: str | None
) -> dict[str, torch.Tensor]:
    """Sum in float64 and round once. The fixed blur kernels are those of the first checkpoint."""
    mixed = {}
    for name, first in checkpoints[0].state_dict.items():
        total = first
        if not is_kernel(name):
            total = torch.zeros_like(first, dtype=torch.float64)
            for share, checkpoint in zip(shares, checkpoints, strict=True):
                total.add_(checkpoint.state_dict[name], alpha=share)
        mixed[name] = round_weight(name, total, DTYPES[dtype] if dtype else first.dtype)
    return mixed
