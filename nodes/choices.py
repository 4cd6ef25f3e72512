"""What Restore Image lets its users choose: the inputs, and their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..gpen_core.images import check_mask
from ..gpen_core.names import AUTO, MASK_KINDS, TEMPLATES
from ..gpen_core.pasting.options import FEATHER, PasteOptions, parse_strengths
from ..gpen_core.pasting.parsing import parse_regions
from ..gpen_core.runner import choose_template
from ..gpen_core.select import ORDERS, SIZE_UNITS, parse_indices, select_faces
from .files import make_parser
from .paste import DETAIL
from .restore import SAVED_COLOUR, make_colour, make_leave_clean
from .searching import DEFAULTS, SAVED_REFINE, SAVED_TURNS, make_search_inputs
from .sockets import (
    FROM_MODEL,
    REGIONS_TEXT,
    GPENDetector,
    from_host_image,
    from_host_mask,
    make_grain,
    make_mask_inputs,
)

if TYPE_CHECKING:
    import torch

    from ..gpen_core.detectors import Detector
    from ..gpen_core.faces import Faces
    from ..gpen_core.runner import RunnerConfig

ALL = "all"
"""The choice of `which` that leaves no face out and numbers them as Detect Faces does."""


@dataclass(frozen=True, eq=False)
class Choices:
    """The values of the node's optional inputs. A saved graph may lack any of them."""

    detector: Detector | None = None
    threshold: float = 0.0
    which: str = ALL
    count: int = 0
    indices: str = ""
    min_size: float = 0.0
    max_size: float = 0.0
    size_unit: str = SIZE_UNITS[0]
    region: torch.Tensor | None = None
    template: str = FROM_MODEL
    colour: str = SAVED_COLOUR
    batch_size: int = 0
    detail: str = AUTO
    feather: float = FEATHER
    mask_kind: str = MASK_KINDS[0]
    regions: str = REGIONS_TEXT
    strengths: str = ""
    scale: float = 1.0
    upscale_model: Any = None
    background: torch.Tensor | None = None
    grain: float = 0.0
    min_face: int = 0
    turns: str = SAVED_TURNS
    refine: str = SAVED_REFINE
    leave_clean: bool = False

    @property
    def search(self) -> dict[str, Any]:
        """The options of the search."""
        chosen = {"threshold": self.threshold or None, "min_face": self.min_face}
        return {**DEFAULTS, **chosen, "turns": self.turns}

    def make_options(self, strength: float) -> PasteOptions:
        """Return the options for pasting, without the enlarged background."""
        return PasteOptions(
            detail=DETAIL[self.detail],
            feather=self.feather,
            strength=strength,
            strengths=parse_strengths(self.strengths),
            mask_kind=self.mask_kind,
            regions=parse_regions(self.regions),
            parser=make_parser(self.mask_kind),
            background=None if self.background is None else from_host_image(self.background)[0],
            grain=self.grain,
        )

    def check(self, pixels: torch.Tensor) -> None:
        """Raise MismatchError for a choice that would be refused only after the search."""
        parse_indices(self.indices)
        region = from_host_mask(self.region)
        if region is not None:
            check_mask(region, pixels, "region")

    def find_template(self, config: RunnerConfig) -> str:
        """Return the template by which the crops are cut."""
        return choose_template(AUTO if self.template == FROM_MODEL else self.template, config)

    def choose(self, faces: Faces) -> Faces:
        """Return the faces to restore, in the chosen order."""
        if not self.chooses:
            return faces  # quicker for a long clip
        kept, _ = select_faces(
            faces,
            indices=self.indices,
            order=ORDERS[0] if self.which == ALL else self.which,
            count=self.count or None,
            min_size=self.min_size,
            max_size=self.max_size or None,
            size_unit=self.size_unit,
            region=from_host_mask(self.region),
        )
        return faces[kept]

    @property
    def chooses(self) -> bool:
        """Whether any choice can leave a face out or change the order."""
        return (
            self.which != ALL
            or bool(self.indices.strip() or self.count or self.min_size or self.max_size)
            or self.region is not None
        )


def make_find_inputs() -> list[Any]:
    """Return the inputs that say how faces are found."""
    return [
        GPENDetector.Input("detector", optional=True,
                           tooltip="From Load Face Detector. Not connected: chosen "
                           "automatically."),
        io.Float.Input("threshold", optional=True, default=0.0, min=0.0, max=1.0, step=0.01,
                       advanced=True,
                       tooltip="Lowest score of a face, 0 to 1. A lower value finds more faces, "
                       "and more that are none. 0: the detector's default."),
    ]  # fmt: skip


def make_choose_inputs() -> list[Any]:
    """Return the inputs that say which of the faces are restored."""
    return [
        io.Combo.Input("which", optional=True, options=[ALL, *ORDERS[1:]], default=ALL,
                       tooltip="Which faces to restore. all: every face. Otherwise the order from "
                       "which count takes the first and in which indices counts: largest and a "
                       "count of 2 restore the two largest."),
        io.Int.Input("count", optional=True, default=0, min=0, max=1000,
                     tooltip="Restore at most this many faces per image, the first in the order "
                     "chosen in which. 0: no maximum."),
        io.String.Input("indices", optional=True, default="", placeholder="0, 2-4", advanced=True,
                        tooltip="Numbers of the faces to restore, such as 0, 2-4. 3-: from 3 on. "
                        "-1: the last. With all, the preview of Detect Faces shows them. Empty: "
                        "no face is left out by its number."),
        io.Float.Input("min_size", optional=True, default=0.0, min=0.0, max=16384.0, step=1.0,
                       advanced=True,
                       tooltip="Smallest face to restore: the shorter side of its box, in "
                       "size_unit. 0: no minimum."),
        io.Float.Input("max_size", optional=True, default=0.0, min=0.0, max=16384.0, step=1.0,
                       advanced=True,
                       tooltip="Largest face to restore, measured in the same way. 0: no maximum."),
        io.Combo.Input("size_unit", optional=True, options=list(SIZE_UNITS), default=SIZE_UNITS[0],
                       advanced=True,
                       tooltip="Unit of min_size and max_size: pixels, or percent of the image's "
                       "shorter side."),
        io.Mask.Input("region", optional=True,
                      tooltip="Restore only faces whose centre is in this mask. It must have the "
                      "size of the image."),
    ]  # fmt: skip


def make_restore_inputs() -> list[Any]:
    """Return the inputs that say how crops are cut and restored."""
    return [
        io.Combo.Input("template", optional=True, options=[*TEMPLATES, FROM_MODEL],
                       default=FROM_MODEL, advanced=True,
                       tooltip="Place and size of the face in the crop. gpen: as GPEN was trained. "
                       "ffhq: the face is 1.12 times larger, as most other models expect it. "
                       f"{FROM_MODEL}: as the model was trained."),
        make_colour(),
        io.Int.Input("batch_size", optional=True, default=0, min=0, max=256, advanced=True,
                     tooltip="Faces per pass through the network. 0: as many as fit into the "
                     "GPU's memory; one on a CPU. When memory runs out, the number is halved."),
    ]  # fmt: skip


def make_paste_inputs() -> list[Any]:
    """Return the inputs that say how crops are pasted, and into what."""
    return [
        io.Combo.Input("detail", optional=True, options=list(DETAIL), default=AUTO,
                       tooltip="Detail of the photo that is too fine for the model. on: keep it. "
                       "off: drop it. auto: keep detail, drop noise and what the model removed."),
        io.Float.Input("feather", optional=True, default=FEATHER, min=0.01, max=0.5, step=0.01,
                       advanced=True,
                       tooltip="Width of the soft edge, as a fraction of the crop's side."),
        *make_mask_inputs(),
        io.String.Input("strengths", optional=True, default="", placeholder="1, 0.5",
                        advanced=True,
                        tooltip="One strength for each face restored, such as 1, 0.5, in the order "
                        "of the report. Empty: strength holds for all."),
        io.Float.Input("scale", optional=True, default=1.0, min=1.0, max=8.0, step=0.25,
                       tooltip="How many times larger the result is. Faces are pasted into the "
                       "enlarged image. 1: the size of the image."),
        io.UpscaleModel.Input("upscale_model", optional=True,
                              tooltip="From Load Upscale Model: enlarges the image by scale. Not "
                              "connected: bicubic interpolation."),
        io.Image.Input("background", optional=True,
                       tooltip="A larger or smaller version of the image, to paste into instead. "
                       "The result has its size, whatever scale says."),
        make_grain(),
        *make_search_inputs(),  # at the end, as they came later
        make_leave_clean(),
    ]  # fmt: skip
