"""Pictures whose noise and detail are known, faces in them, and a reader of pages."""

from __future__ import annotations

from html.parser import HTMLParser

import torch
import torch.nn.functional as F

from gpen_core import Faces
from gpen_core.pasting import Pasted

POINTS = torch.tensor([[24.0, 28], [40, 28], [32, 36], [26, 44], [38, 44]])


def make_faces(size: tuple[int, int, int] = (1, 160, 160), scale: float = 2.0) -> Faces:
    """A face of 64 × 72 px in the middle, and one of 16 px in a corner."""
    boxes = torch.tensor([[16.0, 16, 48, 52], [60, 60, 68, 69]]) * scale
    landmarks = torch.stack([POINTS, 60 + (POINTS - 16) / 4]) * scale
    return Faces(
        boxes, landmarks, torch.tensor([0.9, 0.8]), torch.zeros(2, dtype=torch.int64), size
    )


def paste_all(image: torch.Tensor) -> Pasted:
    return Pasted(image, torch.ones_like(image[:, :1]))


def draw(seed: int = 0, side: int = 160) -> torch.Tensor:
    """A picture with flat places and with edges of every fineness, [1, 3, side, side]."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.full((1, 1, side, side), 0.5)
    for _ in range(60):
        x, y, w, h = (torch.rand(4, generator=generator) * side * 0.6).int().tolist()
        light = float(torch.rand(1, generator=generator))
        picture[..., y : y + h // 3 + 2, x : x + w // 3 + 2] = 0.3 + 0.4 * light
    return picture.expand(-1, 3, -1, -1).clone()


def add_noise(picture: torch.Tensor, sigma: float, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return picture + torch.randn(picture[:, :1].shape, generator=generator) * sigma / 255


def shrink(picture: torch.Tensor, factor: int) -> torch.Tensor:
    small = F.avg_pool2d(picture, factor)
    return F.interpolate(small, picture.shape[2:], mode="bicubic")


class Reader(HTMLParser):
    """Collects the tags, the addresses and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
