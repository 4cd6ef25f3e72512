"""Render a segment of a film: restore the faces that its plan names, and encode the frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..align import cut, find_alignment
from ..errors import ImageError
from ..faces import Crops
from ..pasting import Part, paste_parts
from ..restore import restore_pixels
from ..runner import choose_template
from ..warp import Rectangle, bounding_rectangle, overlap
from .colours import Colours, align_rectangle
from .encoding import encode_segment
from .flicker import LOOK_BACK, FlickerFilter
from .layouts import copy_frame, view_planes
from .prefetching import prefetch
from .reading import FilmReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from av import VideoFrame

    from ..faces import Alignment
    from ..runner import Runner
    from .encoding import Encoding
    from .films import Film
    from .options import VideoOptions
    from .plans import Plan
    from .reading import Numbered

_REACH = 6
"""A crop is cut and pasted with pixels up to 1 / _REACH of its side around it."""


class _Part(NamedTuple):
    """A rectangle of a frame in which faces lie.

    Attributes:
        rectangle: the part of the frame.
        image: [1, 3, h, w] its pixels.
        crops: the faces in it, with places in the part's own pixels.
        tracks: the track of each face.
    """

    rectangle: Rectangle
    image: torch.Tensor
    crops: Crops
    tracks: list[int]


class _Work(NamedTuple):
    """A frame on its way from the decoder to the encoder."""

    numbered: Numbered
    parts: list[_Part]


@dataclass(frozen=True)
class Renderer:
    """All that rendering any segment of a film needs.

    Attributes:
        model: the network.
        film: the source.
        plan: what to do in each frame.
        encoding: how the result is encoded.
        options: the user's choices.
    """

    model: Runner
    film: Film
    plan: Plan
    encoding: Encoding
    options: VideoOptions

    def render(
        self,
        first: int,
        last: int,
        path: Path,
        *,
        on_frame: Callable[[int], None] | None = None,
    ) -> None:
        """Write frames first … last − 1 into a file.

        The file is the same whichever segments are rendered before, after or elsewhere.

        Args:
            first, last: the frames.
            path: the file. It is written whole or not at all.
            on_frame: called with a frame's number once it is encoded; may raise to stop.

        Raises:
            ImageError: the film cannot be read to `last`, or not be encoded.
            GPENError: see `restore` and `paste`.
        """
        start = self.plan.times[first]
        with (
            encode_segment(path, self.film, self.encoding, start) as encode,
            prefetch(self.restore(first, last)) as frames,
        ):
            number = first
            for number, frame in enumerate(frames, first):
                encode(frame)
                if on_frame is not None:
                    on_frame(number)
            if number + 1 != last:
                raise ImageError(
                    f"{self.film.path} ended before frame {last}, at {number + 1}. Was it replaced "
                    "meanwhile? Start again with --restart."
                )

    def restore(self, first: int, last: int) -> Iterator[VideoFrame]:
        """Yield frames first … last − 1, restored.

        Decoding runs ahead in a thread of its own. It begins a few frames early, so that the
        first one is averaged with those before it.
        """
        reader = FilmReader(self.film)
        flicker = FlickerFilter() if self.options.steady else None
        early = max(0, first - LOOK_BACK) if flicker is not None else first
        with prefetch(self._cut(_take(reader.read_from(early, self.plan.times), last))) as works:
            for work in works:
                restored = self._restore(work, flicker)
                if work.numbered.number >= first:
                    yield self._paste(work, restored)

    def _cut(self, frames: Iterable[Numbered]) -> Iterator[_Work]:
        """Cut the crops of each frame."""
        colours = Colours.of(self.film.layout, self.film.colours, self.film.height)
        for numbered in frames:
            planes = view_planes(numbered.frame, self.film.layout)
            alignment, tracks = self._align(numbered.number)
            parts = [
                self._cut_part(planes, colours, alignment, tracks, rows, rectangle)
                for rectangle, rows in self._group(alignment)
            ]
            yield _Work(numbered, parts)

    def _align(self, number: int) -> tuple[Alignment, list[int]]:
        """Return the places of the faces of a frame, the largest first, and their tracks."""
        config = self.model.config
        template = choose_template(self.options.template, config)
        faces, tracks = self.plan.at(number, (self.film.height, self.film.width))
        order = (faces.widths * faces.heights).argsort(descending=True, stable=True)
        order = order[: self.options.max_faces]
        alignment = find_alignment(faces[order], size=config.in_size, template=template)
        return alignment, [tracks[row] for row in order.tolist()]

    def _group(self, alignment: Alignment) -> list[tuple[Rectangle, list[int]]]:
        """Group crops that touch; return the rectangle around each group, and its rows.

        Only these rectangles of a frame are turned into RGB.
        """
        film = self.film
        groups: list[tuple[Rectangle, list[int]]] = []
        for row, affine in enumerate(alignment.inverse_affine):
            size = alignment.crop_size
            rectangle = bounding_rectangle(affine, size, size)
            rectangle = _widen(rectangle, max(rectangle.width, rectangle.height) // _REACH + 8)
            rectangle = align_rectangle(rectangle, film.layout, film.width, film.height)
            if rectangle.width < 1 or rectangle.height < 1:
                continue
            rows = [row]
            while touching := [group for group in groups if overlap(group[0], rectangle)]:
                for group in touching:
                    groups.remove(group)
                    rectangle, rows = _unite(rectangle, group[0]), sorted(group[1] + rows)
            groups.append((rectangle, rows))
        return groups

    def _cut_part(
        self,
        planes: Sequence[np.ndarray],
        colours: Colours,
        alignment: Alignment,
        tracks: list[int],
        rows: list[int],
        rectangle: Rectangle,
    ) -> _Part:
        """Cut the crops of some rows from a rectangle of a frame."""
        alignment, tracks = alignment[rows], [tracks[row] for row in rows]
        image = colours.to_rgb(planes, rectangle)
        affine = alignment.affine.clone()
        corner = torch.tensor([[rectangle.left], [rectangle.top]], dtype=torch.float64)
        affine[:, :, 2:] += affine[:, :, :2] @ corner
        size = (1, rectangle.height, rectangle.width)
        moved = replace(alignment, affine=affine, image_size=size)
        return _Part(rectangle, image, cut(image, moved, device=self.model.device), tracks)

    def _restore(self, work: _Work, flicker: FlickerFilter | None) -> list[Crops]:
        """Restore the crops of each part of a frame."""
        number = work.numbered.number
        results = []
        for part in work.parts:
            given = part.crops.pixels
            pixels = restore_pixels(
                self.model,
                given,
                strength=float(self.options.paste.strength > 0),  # pasting mixes by strength
                batch_size=self.options.batch_size,
                colour=self.options.colour,
            )
            if flicker is not None:
                for row, track in enumerate(part.tracks):
                    one = slice(row, row + 1)
                    pixels[one] = flicker.smooth(number, track, given[one], pixels[one])
            results.append(Crops(pixels, part.crops.alignment))
        if flicker is not None:
            flicker.forget(number)
        return results

    def _paste(self, work: _Work, restored: list[Crops]) -> VideoFrame:
        """Paste the restored crops of a frame; a frame without faces stays itself."""
        frame, layout = work.numbered.frame, self.film.layout
        if not work.parts:
            return frame
        changed = copy_frame(frame, layout, view_planes(frame, layout))
        planes = view_planes(changed, layout)
        colours = Colours.of(layout, self.film.colours, self.film.height)
        options, device = self.options, self.model.device
        for part, crops in zip(work.parts, restored, strict=True):
            image = part.image
            given = Part(crops, part.crops.pixels)
            pasted = paste_parts(image, crops.alignment, [given], options.paste, device=device)
            if pasted.image is not image:
                change = pasted.image.clamp(0, 1).to(image) - image
                colours.add(planes, part.rectangle, change)
        return changed


def _take(frames: Iterator[Numbered], last: int) -> Iterator[Numbered]:
    """Yield the frames before `last`, and close the reader then."""
    for numbered in frames:
        yield numbered
        if numbered.number + 1 >= last:
            return


def _widen(rectangle: Rectangle, margin: int) -> Rectangle:
    return Rectangle(
        rectangle.left - margin,
        rectangle.top - margin,
        rectangle.right + margin,
        rectangle.bottom + margin,
    )


def _unite(one: Rectangle, other: Rectangle) -> Rectangle:
    return Rectangle(
        min(one.left, other.left),
        min(one.top, other.top),
        max(one.right, other.right),
        max(one.bottom, other.bottom),
    )
