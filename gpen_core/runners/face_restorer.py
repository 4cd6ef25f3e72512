"""A face restorer that is not GPEN, as a Runner."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..arch.precision import exact_convolutions
from ..devices import full_precision
from ..errors import DeviceError, MismatchError
from ..names import RESTORE

FACE_SIZE = 512
"""Side in pixels of the faces that all three networks were published for."""

BYTES_PER_PIXEL = 3200
"""Memory of a float32 pass per pixel of a face. Measured on a CPU at 512 px: GFPGAN 3150,
RestoreFormer 2640, CodeFormer 2400."""

_NOISE_SEED: ContextVar[int] = ContextVar("noise_seed", default=0)


@dataclass(frozen=True)
class FaceRestorerConfig:
    """The sizes of another restorer's faces; see `RunnerConfig`.

    Attributes:
        in_size: side of the square input in pixels.
        out_size: side of the output in pixels.
        value_range: the values (black, white) of input and output.
        template: where the face must lie in the crop.
    """

    in_size: int = FACE_SIZE
    out_size: int = FACE_SIZE
    value_range: tuple[float, float] = (-1.0, 1.0)
    template: str = "ffhq"

    def forward_memory(self, faces: int, dtype: torch.dtype) -> int:
        """Estimate the bytes that a pass of `faces` faces takes, without the weights."""
        return faces * BYTES_PER_PIXEL * self.out_size**2 * dtype.itemsize // 4


class FaceRestorer(nn.Module):
    """A Runner whose network is not GPEN.

    Args:
        network: maps faces in [-1, 1] to faces in [-1, 1], or to a tuple that begins with them. If
            it has a StyleGAN2 decoder, as GFPGAN has, `noise_seed` seeds the noise of that decoder.
        name: the architecture, such as "GFPGAN".
        config: the sizes of its faces.
        supports_half: whether it computes in float16.
        fidelity: CodeFormer's `weight`: 0 draws the cleanest face, 1 stays closest to the given
            one. None for other networks.

    Attributes:
        sharpen: 0; only GPEN files ask for sharpening.
        task: "restore".
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        config: FaceRestorerConfig | None = None,
        *,
        supports_half: bool = False,
        fidelity: float | None = None,
    ) -> None:
        super().__init__()
        self.network, self.name = network, name
        self.config = config or FaceRestorerConfig()
        self.supports_half, self.fidelity = supports_half, fidelity
        self.sharpen = 0.0
        self.task = RESTORE
        decoder = getattr(network, "stylegan_decoder", None)
        if decoder is not None:
            decoder.register_forward_pre_hook(_give_noise, with_kwargs=True)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights, in which everything is computed."""
        return next(self.parameters()).dtype

    def set_dtype(self, dtype: torch.dtype) -> FaceRestorer:
        """Compute in `dtype`.

        Raises:
            DeviceError: the network does not work in float16.
        """
        if dtype == torch.float16 and not self.supports_half:
            raise DeviceError(f"{self.name} does not work in fp16. Use bf16 or fp32.")
        return self.to(dtype)

    def forward(self, faces: torch.Tensor, *, noise_seed: int = 0) -> torch.Tensor:
        """Restore aligned faces.

        Args:
            faces: [N, 3, in_size, in_size] RGB in [-1, 1], on the network's device.
            noise_seed: seeds GFPGAN's noise, which is the same for every face; the other networks
                draw none. The global generator is not used.

        Returns:
            [N, 3, out_size, out_size] float32 RGB, about in [-1, 1] but not clamped.

        Raises:
            MismatchError: the faces have another shape.
        """
        size = self.config.in_size
        if faces.ndim != 4 or tuple(faces.shape[1:]) != (3, size, size):
            raise MismatchError(
                f"{self.name} takes [N, 3, {size}, {size}], found {list(faces.shape)}."
            )
        if not len(faces):
            return faces.new_empty(0, 3, *[self.config.out_size] * 2, dtype=torch.float32)
        options = {} if self.fidelity is None else {"weight": self.fidelity}
        token = _NOISE_SEED.set(noise_seed)
        try:
            with full_precision(faces.device), exact_convolutions(faces, self.dtype):
                result = self.network(faces.to(self.dtype), **options)
        finally:
            _NOISE_SEED.reset(token)
        return (result[0] if isinstance(result, (tuple, list)) else result).float()


def _give_noise(
    decoder: nn.Module, args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Pass noise to a StyleGAN2 decoder, which would draw it from the global generator.

    It is drawn on the CPU for a single face, so that every device and batch gets the same.
    """
    generator = torch.Generator().manual_seed(_NOISE_SEED.get())
    stored = [buffer for _, buffer in decoder.get_submodule("noises").named_buffers()]
    noise = [
        torch.randn(buffer.shape, generator=generator, dtype=torch.float32, device="cpu").to(buffer)
        for buffer in stored
    ]
    return args, {**options, "noise": noise}
