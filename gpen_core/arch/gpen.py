"""The network with the engine that computes it fastest where it runs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from ..errors import MismatchError
from .cpu import strips
from .cuda import fused, launch
from .layers import EqualizedConv, ModulatedConv
from .network import Network
from .precision import exact_convolutions
from .weight_cache import EngineMemory, version_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import GPENConfig
    from .network import FreshNoise


class GPEN(Network):
    """Restores aligned faces.

    Without gradients, it runs in strips of rows on a CPU (`cpu.strips`), and with Triton kernels on
    a CUDA device (`cuda.fused`). In all other cases its plain modules run. The results differ by
    rounding alone.

    Args:
        config: sizes and widths: `GPENConfig.published(512)`, or the result of `read_config`.

    Attributes:
        sharpen: the amount of sharpening that the restored faces need, for
            `gpen_core.sharpen.sharpen_restored`; the network does not sharpen. Published models
            have 0.
        task: what it was trained for, one of `names.TASKS`; None where its file does not tell.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> config = gpen.GPENConfig(64, 64, widths=(8, 8, 8, 8, 8), style_dim=16, mapping_layers=2)
        >>> model = gpen.GPEN(config).train(mode=False)  # with random weights
        >>> with torch.inference_mode():
        ...     restored = model(torch.zeros(2, 3, 64, 64))  # RGB in [-1, 1]
        >>> restored.shape
        torch.Size([2, 3, 64, 64])
    """

    def __init__(self, config: GPENConfig) -> None:
        super().__init__(config)
        self.sharpen = 0.0
        self.task: str | None = None
        self._memory = EngineMemory()

    def set_dtype(self, dtype: torch.dtype) -> GPEN:
        """Compute convolutions in `dtype`; mapping, modulation and RGB stay in float32.

        The encoder's weights stay in float32 and are rounded only when they are used, because an
        error of the latent changes the result more than any other rounding.

        This also stores the weights in the layout that convolutions read, so a call with the
        present dtype makes the model faster and changes nothing else. Call it again after you write
        to weights through their `.data` or in inference mode, which torch does not count.
        """
        for module in self.modules():
            if isinstance(module, EqualizedConv):
                module.store_as(torch.float32)
            elif isinstance(module, ModulatedConv):
                module.store_as(dtype if module.demodulate else torch.float32)
        self._memory.cache.clear()
        return self

    def _apply(self, fn: Callable[..., torch.Tensor], recurse: bool = True) -> GPEN:
        self._memory.cache.clear()
        return super()._apply(fn, recurse)

    def forward(self, x: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
        """Restore aligned faces.

        Args:
            x: [N, 3, in_size, in_size] RGB in [-1, 1], any float dtype, on the model's device.
            noise_seed: seeds the noise of the levels above `in_size`. A model whose input is as
                large as its output is deterministic and ignores it.

        Returns:
            [N, 3, out_size, out_size] float32 RGB, about in [-1, 1] but not clamped.

        Raises:
            MismatchError: x has another shape.
        """
        size = self.config.in_size
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, size, size):
            raise MismatchError(f"This GPEN takes [N, 3, {size}, {size}], found {list(x.shape)}.")
        if not self._runs_in_strips(x):
            return self.compute(x, self.fresh_noise(noise_seed))
        restored = x.new_empty(len(x), 3, *[self.config.out_size] * 2, dtype=torch.float32)
        for index in range(len(x)):
            crop, out = x[index : index + 1], restored[index : index + 1]
            # Autocast would change the dtype of the values written into the workspace.
            with torch.autocast("cpu", enabled=False):
                strips.restore_face(self, crop, out, self.fresh_noise(noise_seed), self._memory)
        return restored

    def compute(self, x: torch.Tensor, fresh_noise: FreshNoise) -> torch.Tensor:
        """Restore x in one batch, by the GPU engine where it can; see `Network.compute`."""
        with exact_convolutions(x, self.dtype) if self._is_inference else nullcontext():
            if self._runs_fused(x):
                # Autocast would change the dtype that the kernels read.
                with torch.autocast("cuda", enabled=False):
                    return fused.restore_faces(self, x, fresh_noise, self._memory)
            return super().compute(x, fresh_noise)

    def fingerprint(self) -> tuple[object, ...]:
        """Return a value that changes when a weight moves or is written to, if torch counts it."""
        tensors = (*self.parameters(), *self.buffers())
        weights = ((tensor.data_ptr(), tensor.dtype, version_of(tensor)) for tensor in tensors)
        return (self._memory.cache.cleared, *weights)

    def _runs_in_strips(self, x: torch.Tensor) -> bool:
        has_onednn = torch.backends.mkldnn.is_available()
        return x.device.type == "cpu" and has_onednn and self._is_inference

    def _runs_fused(self, x: torch.Tensor) -> bool:
        appends = self.config.noise == "concat"
        return appends and len(x) > 0 and self._is_inference and launch.supports(x)

    @property
    def _is_inference(self) -> bool:
        """Whether nobody needs gradients, or traces the forward pass with `torch.compile`."""
        return not (self.training or torch.is_grad_enabled() or torch.compiler.is_compiling())
