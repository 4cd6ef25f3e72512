"""The widgets that say how thoroughly faces are searched, the same for all nodes that search."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..gpen_core.names import REFINE, TURNS

SAVED_TURNS, SAVED_REFINE = TURNS[1], REFINE[2]
"""What graphs saved before the widgets were there get: their faces stay the same."""

DEFAULTS = {"threshold": None, "min_size": 0, "min_face": 0, "turns": SAVED_TURNS}
"""Options of a search by the defaults of all widgets, so that nodes share what was found."""


def make_search_inputs() -> list[Any]:
    """Return the widgets `min_face`, `turns` and `refine`."""
    return [
        io.Int.Input("min_face", default=0, min=0, max=256, optional=True, advanced=True,
                     tooltip="Look for faces down to this size in pixels. Below about 25 the image "
                     "is searched enlarged, too, which takes 4 to 16 times as long. 0: what the "
                     "detector finds without."),
        io.Combo.Input("turns", options=list(TURNS), default=SAVED_TURNS, optional=True,
                       advanced=True,
                       tooltip="auto: an image that lies on its side or upside down is searched in "
                       "its right turn. never: as it is. always: all four turns, for people who "
                       "lie down, too; four times as long."),
        io.Combo.Input("refine", options=list(REFINE), default=SAVED_REFINE, optional=True,
                       advanced=True,
                       tooltip="Look at each face again to place its landmarks more steadily. "
                       "auto: for crops of 512 pixels and more."),
    ]  # fmt: skip
