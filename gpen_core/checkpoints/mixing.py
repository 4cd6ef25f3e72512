"""Between two checkpoints of one network: the weighted mean of their weights.

Weights that one was fine-tuned from the other, or both from a third, can be averaged; the faces
then lie in between (network interpolation: Wang et al. 2018, ESRGAN, arXiv 1809.00219, section
3.4). So a sharp model and a faithful one give any compromise without further training.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ..devices import DTYPES
from ..errors import MismatchError
from . import catalog
from .loading import MOST_SHARPEN, check_output, read_checkpoint, rounded, sharpen_metadata
from .state_dicts import is_kernel
from .tensor_files import write_safetensors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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
        sources: two or more files or names of the catalogue, of one configuration.
        target: a path that ends in `.safetensors`.
        shares: how much of each, with the sum 1; negative ones go beyond the others. None is
            equal shares.
        dtype: "fp32", "fp16" or "bf16"; None stores what the first file does.
        overwrite: replace `target` if it exists.

    Returns:
        `target` as a path.

    Raises:
        CheckpointError: a source is not a GPEN, `target` exists or cannot be written, or a weight
            is too large for `dtype`.
        DeviceError: the dtype is unknown.
        MismatchError: fewer than two sources, another number of shares, shares that do not add up
            to 1, or checkpoints of different configurations.
    """
    target = check_output(target, dtype)
    if len(sources) < 2:
        raise MismatchError(f"Two or more checkpoints can be mixed, found {len(sources)}.")
    if shares is None:
        shares = [1 / len(sources)] * len(sources)
    if len(shares) != len(sources):
        raise MismatchError(f"{len(sources)} checkpoints need as many shares, found {len(shares)}.")
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise MismatchError(f"The shares must add up to 1, found {sum(shares):g}.")
    first, *others = (read_checkpoint(catalog.resolve(source)) for source in sources)
    for other in others:
        if other.config != first.config:
            raise MismatchError(
                "Only checkpoints of one configuration can be mixed. "
                f"`{first.path}` has {first.config}, `{other.path}` has {other.config}."
            )
    states = [checkpoint.state_dict for checkpoint in (first, *others)]
    mean = {}
    for name, stored in first.state_dict.items():
        total = stored
        if not is_kernel(name):  # those are the same in all
            total = torch.zeros_like(stored, dtype=torch.float64)
            for share, state in zip(shares, states, strict=True):
                total.add_(state[name], alpha=share)
        mean[name] = rounded(name, total, DTYPES[dtype] if dtype else stored.dtype)
    amounts = [checkpoint.sharpen for checkpoint in (first, *others)]
    amount = sum(share * one for share, one in zip(shares, amounts, strict=True))
    amount = min(max(0.0, amount), MOST_SHARPEN)
    write_safetensors(mean, target, overwrite=overwrite, metadata=sharpen_metadata(amount))
    return target
