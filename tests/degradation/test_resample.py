"""Resizing agrees with PyTorch, also for images of several sizes on one canvas."""

from __future__ import annotations

import pytest
import torch
from training_faces import draw_shapes

from gpen_core.degradation.resample import FILTERS, Canvas, resize


@pytest.mark.parametrize("size", [(24, 40), (150, 33)])
@pytest.mark.parametrize("name", FILTERS)
def test_resizing_agrees_with_torch(name, size):
    image = draw_shapes(1, 64, 56).double()
    sides = [torch.tensor([side]) for side in (64, 56)]
    found = resize(
        Canvas(image, *sides),
        *(torch.tensor([side]) for side in size),
        torch.tensor([list(FILTERS).index(name)]),
        step=1,
    ).pixels
    if name == "area":
        # A new sample is the mean over its span; running sums give it exactly.
        expected = image
        for axis, side in ((2, size[0]), (3, size[1])):
            count = expected.shape[axis]
            sums = torch.cat(
                [torch.zeros_like(expected.narrow(axis, 0, 1)), expected.cumsum(axis)], dim=axis
            )
            ends = torch.linspace(0, count, side + 1, dtype=torch.float64)
            below = ends.long().clamp(max=count - 1)
            shape = [1, 1, 1, 1]
            shape[axis] = -1
            part = (ends - below).view(shape)
            at_ends = sums.index_select(axis, below).lerp(sums.index_select(axis, below + 1), part)
            expected = at_ends.diff(dim=axis) * side / count
    else:
        expected = torch.nn.functional.interpolate(image, size, mode=name, antialias=True)
    assert (found - expected).abs().max() < 1e-5


def test_images_of_different_sizes_share_a_canvas_and_repeat_their_edges():
    images = draw_shapes(2)
    heights, widths = torch.tensor([20, 47]), torch.tensor([33, 8])
    bicubic = torch.tensor([2, 2])
    whole = [torch.tensor([64, 64])] * 2
    canvas = resize(Canvas(images, *whole), heights, widths, bicubic)
    assert canvas.pixels.shape == (2, 3, 48, 48)
    for i, (height, width) in enumerate([(20, 33), (47, 8)]):
        expected = torch.nn.functional.interpolate(
            images[i : i + 1], (height, width), mode="bicubic", antialias=True
        )[0]
        found = canvas.pixels[i]
        assert (found[:, :height, :width] - expected).abs().max() < 1e-5
        assert torch.equal(
            found[:, height:], found[:, height - 1 : height].expand(-1, 48 - height, -1)
        )
        assert torch.equal(
            found[:, :, width:], found[:, :, width - 1 : width].expand(-1, -1, 48 - width)
        )
