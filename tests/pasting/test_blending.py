"""Faces that overlap."""

from __future__ import annotations

from dataclasses import replace

import torch

from gpen_core.align import TEMPLATES
from gpen_core.faces import Alignment, Crops
from gpen_core.pasting import paste


def place_crop(x: float, y: float) -> Alignment:
    """A crop of 256 px that covers a square of 240 px around (x, y)."""
    zoom = 256 / 240
    affine = torch.tensor([[[zoom, 0, 128 - zoom * x], [0, zoom, 128 - zoom * y]]])
    return Alignment(affine.double(), 256, torch.tensor([0]), (1, 512, 512))


def test_each_of_two_overlapping_faces_consists_of_its_own_crop():
    image = torch.full((1, 3, 512, 512), 0.5)
    # The faces' centres lie half a crop apart: each lies inside the other's mask.
    places = [place_crop(x, 200.0) for x in (180.0, 300.0)]
    everywhere = replace(
        places[0],
        affine=torch.cat([p.affine for p in places]),
        image_index=torch.zeros(2, dtype=torch.int64),
    )
    first, second = (torch.full((1, 3, 256, 256), value) for value in (0.25, 0.75))
    crops = Crops(torch.cat([first, second]), everywhere)
    result = paste(image, crops, detail=0.0)
    points = torch.tensor(TEMPLATES["gpen"], dtype=torch.float64) * 256
    for place, own in zip(places, (0.25, 0.75), strict=True):
        inverse = place.inverse_affine[0]
        for x, y in (points @ inverse[:, :2].T + inverse[:, 2]).long().tolist():
            assert float((result.image[0, :, y, x] - own).abs().max()) < 0.05 * 0.5
    middle = result.image[0, 0, 200, 180:300]
    assert (middle.diff() >= -1e-6).all()  # one slope between them, no seam
    assert middle.diff().max() < 0.06  # of 0.5: the slope is a dozen pixels wide
