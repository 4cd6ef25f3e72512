"""Which rows a level keeps between strips."""

from __future__ import annotations

import torch

from gpen_core.arch.cpu.level import Level
from gpen_core.arch.cpu.styled import SameSize, Upsampling


def test_the_table_of_strips_is_true() -> None:
    """The docstring of `strips` has it: 16 rows from 8, in strips of 4."""
    first_layer, second_layer = [], []
    kept: list[torch.Tensor] = []

    def transpose(x: torch.Tensor) -> torch.Tensor:
        """Number the rows: output row r of a strip that starts at row s is 2·s + r."""
        rows = 2 * x[0, 0, 0, 0] + torch.arange(2 * x.shape[2] + 1)
        return rows.view(1, 1, -1, 1).expand(1, 1, -1, 17).clone()

    def finish(y, before, first, noise, out) -> None:
        kept.append(before[0, 0, :, 0])

    def record(rows: list[tuple[int, int]], start: int, stop: int) -> torch.Tensor:
        rows.append((start, stop - 1))
        return torch.zeros(1, 1, stop - start, 16)

    level = Level(
        16,
        Upsampling(transpose, finish, channels_out=1),
        SameSize(lambda x, noise, out: None, channels_out=1),
        lambda x, below, out: None,
        torch.ones(4, 4),
        (
            lambda start, stop: record(first_layer, start, stop),
            lambda start, stop: record(second_layer, start, stop),
        ),
    )
    strips = torch.arange(8.0).view(1, 1, 8, 1).expand(1, 1, 8, 8).split(4, dim=2)
    yielded = level.run(iter(strips), torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 16, 16))
    assert [y.shape[2] for y in yielded] == [5, 11]
    # The noise of the first layer is read from where the second layer starts.
    assert [stop for _, stop in first_layer] == [5, 15]
    assert second_layer == [(0, 4), (5, 15)]
    assert kept[1].tolist() == [5, 6, 7]  # and row 8, to which the second strip adds
