"""Write the frames of a film as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..media import Picture, write_picture
from ..warp import Rectangle
from .colours import Colours
from .layouts import view_planes

if TYPE_CHECKING:
    from pathlib import Path

    from .options import Watcher
    from .rendering import Renderer
    from .state import State


def write_pictures(
    renderer: Renderer, first: int, last: int, state: State, target: Path, watcher: Watcher
) -> None:
    """Write frames first … last − 1 as 000001.png and so on into a folder, when all are done.

    Films of more than 8 bits give pictures of 16.

    Args:
        renderer: restores the frames.
        first, last: the frames.
        state: holds the pictures that an earlier run made, and gets the new ones.
        target: the folder that gets all of them at the end.
        watcher: is told how far it is.
    """
    folder = state.folder / "frames"
    folder.mkdir(exist_ok=True)
    film = renderer.film
    colours = Colours.of(film.layout, film.colours, film.height)
    whole = Rectangle(0, 0, film.width, film.height)
    done = first
    while done < last and _path(folder, done - first).exists():
        done += 1
    frames = renderer.restore(done, last) if done < last else iter(())
    for number, frame in enumerate(frames, done):
        pixels = colours.to_rgb(view_planes(frame, film.layout), whole)
        picture = Picture(pixels, bits=8 if film.layout.bits == 8 else 16)
        write_picture(_path(folder, number - first), picture)
        watcher.report("frames", number + 1 - first, last - first)
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.iterdir()):
        file.replace(target / file.name)


def _path(folder: Path, index: int) -> Path:
    return folder / f"{index + 1:06d}.png"
