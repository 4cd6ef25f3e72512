"""Stop a search inside a forward pass, which may take seconds on a CPU."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

_CHECK: ContextVar[Callable[[], None] | None] = ContextVar("check", default=None)


@contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Call `check` often while detectors search in this block; it may raise to stop the search.

    Args:
        check: called between the layers of a network, many times a second.
    """
    token = _CHECK.set(check)
    try:
        yield
    finally:
        _CHECK.reset(token)


def check_interrupt() -> None:
    """Call the check of the `interruptible` block that this runs in, if there is one."""
    check = _CHECK.get()
    if check is not None:
        check()


def check_between_layers(network: nn.Module) -> None:
    """Make a network call `check_interrupt` before each of its layers."""
    for module in network.modules():
        if next(module.children(), None) is None:
            module.register_forward_pre_hook(lambda *_: check_interrupt())
