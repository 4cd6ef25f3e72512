"""The losses of a step that a device may still be computing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ..errors import TrainingError

if TYPE_CHECKING:
    import torch


class Figures(NamedTuple):
    """What a step gave, where it was computed; a GPU is waited for only by `read`.

    Attributes:
        step: how many steps were done with it.
        names: of the losses.
        values: theirs, [K].
    """

    step: int
    names: tuple[str, ...]
    values: torch.Tensor

    def read(self) -> dict[str, float]:
        """Every loss by name.

        Raises:
            TrainingError: a loss is no longer finite.
        """
        figures = dict(zip(self.names, self.values.tolist(), strict=True))
        wrong = [name for name, value in figures.items() if not math.isfinite(value)]
        if wrong:
            raise TrainingError(
                f"At step {self.step} {', '.join(wrong)} was no longer a finite number. "
                "The state saved before it is kept; try a lower learning rate or lower weights."
            )
        return figures
