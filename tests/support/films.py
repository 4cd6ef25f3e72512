"""Small films for tests, and a detector that finds the red squares in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from gpen_core.faces import Faces

WIDTH, HEIGHT = 96, 64
RATE = 25


def background(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> np.ndarray:
    """Return a grey-blue picture [h, w, 3] uint8 with soft structure and no red."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 150, (5, 7)).astype(np.float32)
    rows, columns = np.linspace(0, 3.99, height), np.linspace(0, 5.99, width)
    top, left = rows.astype(int), columns.astype(int)
    y, x = (rows - top)[:, None], (columns - left)[None]
    a, b = coarse[top][:, left], coarse[top][:, left + 1]
    c, d = coarse[top + 1][:, left], coarse[top + 1][:, left + 1]
    grey = (a * (1 - x) + b * x) * (1 - y) + (c * (1 - x) + d * x) * y
    return np.stack([grey * 0.8, grey, grey], axis=2).astype(np.uint8)


def draw_face(picture: np.ndarray, x: float, y: float, side: int = 16) -> np.ndarray:
    """Draw a red square whose middle is x, y; `RedDetector` takes it for a face."""
    picture = picture.copy()
    top, left = round(y - side / 2), round(x - side / 2)
    picture[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = (230, 30, 30)
    return picture


def moving_face(count: int = 12, *, seed: int = 0, step: float = 1.0) -> list[np.ndarray]:
    """Return frames in which one face moves to the right."""
    return [draw_face(background(seed=seed), 30 + step * n, 32) for n in range(count)]


def plain(count: int) -> list[np.ndarray]:
    """Return frames without a face; each is brighter by 2 levels than the one before."""
    picture = background().astype(int)
    return [np.clip(picture + 2 * n, 0, 255).astype(np.uint8) for n in range(count)]


def make_film(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 1000),
    options: dict[str, str] | None = None,
    prepare: Callable[[Any, Any], None] | None = None,
    finish: Callable[[Any], None] | None = None,
) -> Path:
    """Write a film.

    Args:
        path: the file; its suffix chooses the format.
        pictures: [h, w, 3] uint8 each.
        codec, pix_fmt, options: of the encoder.
        times: when each picture is shown, in units of `time_base`; by default 25 a second.
        time_base: seconds of a unit.
        prepare: called with the container and the video stream before anything is written.
        finish: called with the container after the pictures.
    """
    height, width = pictures[0].shape[:2]
    if options is None:
        options = {"preset": "ultrafast", "crf": "8"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = time_base
        if codec == "mpeg4":
            stream.codec_context.qscale = True
            stream.codec_context.options = {"global_quality": str(118 * 2)}
        if prepare is not None:
            prepare(container, stream)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pix_fmt)
            time = number * Fraction(1, RATE) / time_base if times is None else times[number]
            frame.pts, frame.time_base = round(time), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if finish is not None:
            finish(container)
    return path


def add_sound(container: Any, seconds: float = 0.5, codec: str = "aac") -> Any:
    """Add a stream of sound; return the function that writes it, for `make_film`'s `finish`."""
    stream = container.add_stream(codec, rate=48000)

    def write(container: Any) -> None:
        rng = np.random.default_rng(0)
        count = stream.codec_context.frame_size or 1024
        for start in range(0, round(seconds * 48000), count):
            samples = rng.normal(0, 0.1, (2, count)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    return write


def read_frames(path: Path) -> list[av.VideoFrame]:
    """Decode all frames of a film."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def read_planes(path: Path) -> list[np.ndarray]:
    """Decode the luma of all frames of a film, as int."""
    luma = []
    for frame in read_frames(path):
        plane = frame.planes[0]
        rows = np.frombuffer(plane, np.uint8 if frame.format.components[0].bits == 8 else np.uint16)
        step = plane.line_size // rows.itemsize
        luma.append(rows.reshape(-1, step)[: plane.height, : plane.width].astype(int))
    return luma


def list_packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """Return the time in seconds and the bytes of each packet of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]


class RedDetector:
    """A detector that finds each red square; its face is somewhat larger than the square.

    Attributes:
        searched: sizes (height, width) of all pictures that it was given.
    """

    name = "red"
    device = torch.device("cpu")
    threshold = 0.5
    smallest, largest, short_side = 4, 4096, 64

    def __init__(self, jitter: float = 0.0) -> None:
        self.jitter = jitter
        self.searched: list[tuple[int, int]] = []

    def find(self, pixels: torch.Tensor, *, threshold: float, largest: float) -> Faces:
        count, _, height, width = pixels.shape
        self.searched.append((height, width))
        boxes = [box for n in range(count) for box in self._find_one(pixels[n])]
        index = [n for n in range(count) for _ in self._find_one(pixels[n])]
        if not boxes:
            return Faces.empty((count, height, width))
        box = torch.tensor(boxes)
        size = box[:, 2:] - box[:, :2]
        unit = torch.tensor([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])
        points = box[:, None, :2] + unit * size[:, None]
        points = points + self.jitter * torch.randn(points.shape)
        scores = torch.full((len(box),), 0.9)
        return Faces(box, points, scores, torch.tensor(index), (count, height, width))

    def _find_one(self, pixels: torch.Tensor) -> Iterator[list[float]]:
        red = (pixels[0] > 0.6) & (pixels[1] < 0.4)
        columns = red.any(dim=0).int().tolist()
        edges = [x for x in range(1, len(columns)) if columns[x] != columns[x - 1]]
        edges = [0, *edges, len(columns)]
        for left, right in pairwise(edges):
            if columns[left] and right - left > 2:
                rows = red[:, left:right].any(dim=1).nonzero()[:, 0]
                yield [float(left), float(rows.min()), float(right), float(rows.max() + 1)]
