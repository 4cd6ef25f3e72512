"""The command `gpen`: finds the subcommand, and loads only what that one needs."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from . import __version__
from .errors import GPENError

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED, REFUSED, INTERRUPTED, UNREAD = 1, 2, 130, 141
"""Exit codes: some files failed; nothing could be done; as shells have them, Ctrl-C and SIGPIPE."""


class Command(NamedTuple):
    """A subcommand: what it does, and the functions of its module that say and do it."""

    about: str
    module: str
    add_arguments: str
    run: str


COMMANDS = {
    "restore": Command(
        "restore the faces of image files", ".commands.restore", "add_arguments", "run"
    ),
    "inspect": Command(
        "say what a checkpoint holds", ".commands.weights", "add_inspect_arguments", "inspect"
    ),
    "convert": Command(
        "write a checkpoint as .safetensors",
        ".commands.weights",
        "add_convert_arguments",
        "convert",
    ),
    "mix": Command(
        "write the weighted mean of checkpoints",
        ".commands.weights",
        "add_mix_arguments",
        "mix",
    ),
    "models": Command(
        "list known weights, and which are here",
        ".commands.weights",
        "add_models_arguments",
        "models",
    ),
    "download": Command(
        "fetch known weights by name",
        ".commands.weights",
        "add_download_arguments",
        "download",
    ),
    "train": Command(
        "train a GPEN on face images", ".commands.train", "add_train_arguments", "train"
    ),
    "evaluate": Command(
        "measure a GPEN on face images", ".commands.evaluate", "add_arguments", "run"
    ),
    "degrade": Command(
        "make sharp images bad, by a seed",
        ".commands.degrade",
        "add_arguments",
        "run",
    ),
    "bench": Command("time the parts on this machine", ".commands.bench", "add_arguments", "run"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `gpen` with these arguments (the process's own if None) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A console of few letters (Windows, LANG=C) must not turn a name into a crash.
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser(words).parse_args(words)
    try:
        code = parsed.run(parsed)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `gpen models | head`: the reader has seen enough
        # What is left in the buffer would fail again when Python flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except (GPENError, OSError) as error:
        print(f"gpen: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("gpen: interrupted; what was finished stays.", file=sys.stderr)
        return INTERRUPTED


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpen", description="Face restoration with GPEN.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"gpen {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    # Only the subcommand asked for gets its options: other modules may need PyTorch for theirs.
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.about, description=command.about + ".")
        if name == chosen:
            module = importlib.import_module(command.module, __package__)
            getattr(module, command.add_arguments)(subparser)
            subparser.set_defaults(run=getattr(module, command.run))
    return parser
