"""Options of `gpen restore` for films."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Protocol

from ..errors import GPENError
from ..names import AUTO, REFINE, TURNS, VIDEO_CODECS
from .arguments import count, not_negative, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .jobs import AnyJob


class FilmOptions(Protocol):
    """The options, as `add_video_options` defines them."""

    codec: str
    crf: int | None
    preset: str | None
    pix_fmt: str | None
    start: float | None
    end: float | None
    frames: bool
    audio: str
    subtitles: str
    detect_every: int
    no_steady: bool
    hdr: bool
    restart: bool
    keep_partial: bool


DEFAULTS = {
    "codec": AUTO, "crf": None, "preset": None, "pix_fmt": None, "start": None,
    "end": None, "frames": False, "audio": "copy", "subtitles": "copy", "detect_every": 5,
    "no_steady": False, "hdr": False, "restart": False, "keep_partial": False,
}  # fmt: skip
"""The options and their defaults."""


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser."""
    film = parser.add_argument_group("films")
    film.add_argument(
        "--codec", default=DEFAULTS["codec"],
        help=f"{', '.join(VIDEO_CODECS)}, or one of FFmpeg's encoders (default: auto, "
        "h264, or vp9 in .webm)",
    )  # fmt: skip
    film.add_argument(
        "--crf", metavar="N", type=count,
        help="quality of the encoder, lower is better and larger (default: 16)",
    )  # fmt: skip
    film.add_argument("--preset", help="speed of the encoder, such as veryfast (default: its own)")
    film.add_argument(
        "--pix-fmt", metavar="NAME",
        help="pixel format, such as yuv420p (default: the film's)",
    )  # fmt: skip
    film.add_argument(
        "--start", metavar="TIME", type=seconds, help="begin at 90, 1:30 or 0:01:30.5"
    )
    film.add_argument("--end", metavar="TIME", type=seconds, help="end at this time of the film")
    film.add_argument(
        "--frames", action="store_true", help="write a folder of PNG files instead of a film"
    )
    for name in ("audio", "subtitles"):
        film.add_argument(
            f"--{name}", choices=("copy", "none"), default="copy",
            help=f"copy the film's {name}, or leave it out (default: copy)",
        )  # fmt: skip
    film.add_argument(
        "--detect-every", metavar="N", type=positive, default=DEFAULTS["detect_every"],
        help="search the whole picture in every Nth frame; between, faces are followed "
        "(default: 5)",
    )  # fmt: skip
    film.add_argument("--no-steady", action="store_true", help="do not smooth faces over time")
    film.add_argument(
        "--hdr", action="store_true",
        help="restore HDR films (PQ, HLG), at their coded values and with their tags",
    )  # fmt: skip
    film.add_argument(
        "--restart", action="store_true",
        help="begin anew instead of where an interrupted run stopped",
    )  # fmt: skip
    film.add_argument(
        "--keep-partial", action="store_true",
        help="when interrupted, also write NAME.partial.mp4 with the part that is done",
    )  # fmt: skip


def seconds(text: str) -> float:
    """Parse a time: seconds, minutes:seconds or hours:minutes:seconds."""
    total = 0.0
    parts = text.split(":")
    if len(parts) > 3:
        raise argparse.ArgumentTypeError(f"must be like 90, 1:30 or 0:01:30.5, found {text}")
    for part in parts:
        total = 60 * total + not_negative(part)
    return total


FOR_IMAGES = {
    "scale": 1, "upscaler": None, "find_in": "photograph", "save_faces": False, "compare": False,
    "aligned": False, "strengths": None, "faces": None, "report": None, "sidecar": False,
    "leave_clean": False, "min_face": 0, "turns": TURNS[0], "refine": REFINE[0],
}  # fmt: skip
"""Options that hold for images only, and their defaults."""


def check_video_options(options: object, jobs: Sequence[AnyJob]) -> None:
    """Raise GPENError for options of films without one, and for options of images with a film."""
    films = [job for job in jobs if job.is_film]
    unused = FOR_IMAGES if films else DEFAULTS
    given = [name for name, default in unused.items() if getattr(options, name) != default]
    if given:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        kind = f"{films[0].source} is a film" if films else "No input is a film"
        raise GPENError(f"{kind}; {words} has no effect there. Leave it out.")


def refuse_in_parts(options: FilmOptions, where: str) -> None:
    """Raise GPENError for options that have no effect where several processes render a film."""
    for name in ("frames", "keep_partial"):
        if getattr(options, name):
            raise GPENError(
                f"--{name.replace('_', '-')} has no effect on films in {where}. Leave it out, or "
                "restore the film by `gpen restore` alone."
            )
