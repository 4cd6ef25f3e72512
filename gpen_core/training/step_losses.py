"""The losses of one training step, which a GPU may still be computing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ..errors import TrainingError

if TYPE_CHECKING:
    import torch


class StepLosses(NamedTuple):
    """The losses of a step, on the device that computes them; only `read` waits for it.

    Attributes:
        step: number of steps done, this one included.
        names: names of the losses.
        values: their values, [K].
    """

    step: int
    names: tuple[str, ...]
    values: torch.Tensor

    def read(self) -> dict[str, float]:
        """Return every loss by name.

        Raises:
            TrainingError: a loss is not finite.
        """
        losses = dict(zip(self.names, self.values.tolist(), strict=True))
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        if wrong:
            raise TrainingError(
                f"At step {self.step} {', '.join(wrong)} became NaN or infinite. The state saved "
                "before is kept; try a lower learning rate or lower weights."
            )
        return losses
