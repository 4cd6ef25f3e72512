"""Holds Ctrl+C back where stopping would leave something half done."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def interrupts_later() -> Iterator[None]:
    """A block that Ctrl+C does not break off; KeyboardInterrupt is raised at its end.

    Only the main thread gets Ctrl+C; in others the block is an ordinary one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = []
    before = signal.signal(signal.SIGINT, lambda *_: held.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    if held:
        raise KeyboardInterrupt
