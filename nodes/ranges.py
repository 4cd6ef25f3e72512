"""Check the numbers that links bring: the host checks only those that a user types."""

from __future__ import annotations

import functools
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from ..gpen_core.errors import MismatchError

if TYPE_CHECKING:
    from comfy_api.latest import io


def in_range(execute: Callable[..., io.NodeOutput]) -> Callable[..., io.NodeOutput]:
    """Let a node's `execute` run only with numbers that its widgets accept.

    The numbers become plain int and float.

    Raises:
        MismatchError: a number is beyond its widget's range, NaN, or no whole number where the
            widget asks for one.
    """

    @functools.wraps(execute)
    def run(cls: type[io.ComfyNode], **values: Any) -> io.NodeOutput:
        for widget in cls.define_schema().inputs:
            default = getattr(widget, "default", None)
            is_number = isinstance(default, int | float) and not isinstance(default, bool)
            if widget.id in values and is_number:
                values[widget.id] = _check(widget, values[widget.id])
        return execute(cls, **values)

    return run


def _check(widget: Any, number: object) -> float:
    is_whole = isinstance(widget.default, int)
    if (
        isinstance(number, Real)
        and widget.min <= number <= widget.max  # False for NaN
        and (not is_whole or isinstance(number, Integral) or float(number).is_integer())
    ):
        return int(number) if is_whole else float(number)
    raise MismatchError(
        f"{widget.id} must be a {'whole number' if is_whole else 'number'} from {widget.min} to "
        f"{widget.max}, found {_describe(number)}. Change the node that is linked to it."
    )


def _describe(number: object) -> str:
    if isinstance(number, Integral) and abs(number) >= 10**20:
        return "a number of more than 20 digits"  # Python prints none of thousands of digits
    return f"{number:g}" if isinstance(number, Real) else f"a {type(number).__name__}"
