"""The factors of a styled layer once the latent is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch


class Factors(NamedTuple):
    """Everything that a `StyledConv` multiplies and adds besides its weights; float32.

    Attributes:
        style: [I], multiplies the inputs.
        gain: [O], multiplies the outputs: demodulation and the activation's √2.
        bias: [O], added to the outputs.
        noise_gain: [1], multiplies the noise.
        noise_bias: [O], added to the noise; None where the noise is added instead of appended.
    """

    style: torch.Tensor
    gain: torch.Tensor
    bias: torch.Tensor
    noise_gain: torch.Tensor
    noise_bias: torch.Tensor | None

    @property
    def channels_out(self) -> int:
        """Channels of the layer's result, the appended noise included."""
        return len(self.bias) * (1 if self.noise_bias is None else 2)
