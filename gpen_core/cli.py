"""The command `gpen`: finds the subcommand and imports only that one."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from . import __version__
from .commands import INTERRUPTED, REFUSED, TERMINATED, UNREAD
from .errors import GPENError
from .printable import printable_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


SPINS = 10_000
"""How often a thread of OpenMP looks whether the others are done before it sleeps.

Without a bound it looks 300,000 times. While another program has a core, threads then burn the time
in which those that they wait for could run."""


class Command(NamedTuple):
    """A subcommand: its help text, its module in `commands`, and two functions of that module."""

    about: str
    module: str
    add_arguments: str = "add_arguments"
    run: str = "run"


COMMANDS = {
    "restore": Command("restore the faces in image files and films", "restore"),
    "colorize": Command(
        "colour the faces in grey image files", "tasks", "add_colorize_arguments", "colorize"
    ),
    "inpaint": Command(
        "fill the holes of faces in image files", "tasks", "add_inpaint_arguments", "inpaint"
    ),
    "segment-to-face": Command(
        "paint faces from maps of their parts", "tasks", "add_segment_arguments", "segment_to_face"
    ),
    "inspect": Command("describe a checkpoint", "weights", "add_inspect_arguments", "inspect"),
    "convert": Command(
        "write a checkpoint as .safetensors", "weights", "add_convert_arguments", "convert"
    ),
    "export": Command("write a checkpoint as .onnx", "weights", "add_export_arguments", "export"),
    "mix": Command("write the weighted mean of checkpoints", "weights", "add_mix_arguments", "mix"),
    "models": Command(
        "list known weights and their files", "weights", "add_models_arguments", "models"
    ),
    "download": Command("download known weights", "weights", "add_download_arguments", "download"),
    "train": Command("train a GPEN on face images", "train", "add_train_arguments", "train"),
    "evaluate": Command("measure how well a GPEN restores face images", "evaluate"),
    "degrade": Command("degrade sharp image files, reproducibly", "degrade"),
    "bench": Command("time the network on this machine", "bench"),
    "status": Command("tell how far a run with a journal is", "status"),
    "chunk": Command(
        "split many files into chunks for a scheduler", "chunks", "add_chunk_arguments", "chunk"
    ),
    "run-chunk": Command("do one chunk", "chunks", "add_run_chunk_arguments", "run_chunk"),
    "join": Command("collect what came of all chunks", "chunks", "add_join_arguments", "join"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `gpen` and return its exit code.

    Args:
        arguments: the words after `gpen`; None takes those of this process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Some consoles (Windows, LANG=C) lack letters that a file name may have.
            stream.reconfigure(errors="backslashreplace")
    _bound_spinning()
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = make_parser(words).parse_args(words)
    try:
        with _end_on_sigterm():
            code = parsed.run(parsed)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader closed the pipe, as in `gpen models | head`
        # At exit Python flushes the rest of the buffer, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except (GPENError, OSError) as error:
        print(f"gpen: {printable_lines(str(error))}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt as error:
        print("gpen: interrupted; finished files are kept.", file=sys.stderr)
        return TERMINATED if isinstance(error, _Terminated) else INTERRUPTED


def _bound_spinning() -> None:
    """Let OpenMP's threads sleep soon, unless the user chose how they wait."""
    # OpenMP reads its settings as torch is imported.
    if "torch" not in sys.modules and not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & {*os.environ}:
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


class _Terminated(KeyboardInterrupt):
    """SIGTERM arrived. It ends a command as Ctrl-C does, with another exit code."""


@contextmanager
def _end_on_sigterm() -> Iterator[None]:
    """Raise `_Terminated` in the block when SIGTERM arrives, unless the host handles it itself."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(*_: object) -> None:
        raise _Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def make_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser of `gpen`. Only the subcommand that `words` name gets its options."""
    parser = argparse.ArgumentParser(
        prog="gpen",
        description="Restore faces with GPEN.",
        epilog="`gpen COMMAND --help` shows the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gpen {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        description = f"{command.about[0].upper()}{command.about[1:]}."
        subparser = subparsers.add_parser(name, help=command.about, description=description)
        if name == chosen:
            module = importlib.import_module(f".commands.{command.module}", __package__)
            getattr(module, command.add_arguments)(subparser)
            subparser.set_defaults(run=getattr(module, command.run))
    return parser
