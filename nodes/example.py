"""A photograph that comes with the pack, so that the templates run without a user's file."""

from __future__ import annotations

from pathlib import Path

import torch
from comfy_api.latest import io

from ..gpen_core.sharpen import luma
from .sockets import CATEGORY, make_ui, to_host_image

FOLDER = Path(__file__).parent / "photographs"
PORTRAIT, GROUP, CLIP, GREY, MAP, OLD = "portrait", "group", "clip", "grey", "map", "old"
FILES = {GROUP: "group.jpg", MAP: "map.png"}
"""The file of each choice; the others are made from the portrait."""
INK, PAPER = (0.16, 0.11, 0.07), (0.93, 0.86, 0.72)
"""The darkest and the lightest colour of the old print, RGB."""
GRAIN = 0.07
"""Standard deviation of the old print's grain."""
FRAME_WIDTH, FRAME_HEIGHT = 448, 336
FRAME_STEP, FRAME_END = 4, 64
"""The clip's frame moves to the right by FRAME_STEP pixels until it has moved by FRAME_END."""


class ExamplePhotograph(io.ComfyNode):
    """Give one of the photographs in the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENExamplePhotograph",
            display_name="Example Photograph (GPEN)",
            category=CATEGORY,
            description="Gives a photograph that comes with the pack, to try a workflow. Replace "
            "this node by Load Image to restore your own.",
            has_intermediate_output=True,
            search_aliases=["example image", "sample photo", "test image", "gpen"],
            inputs=[
                io.Combo.Input("photograph", options=[PORTRAIT, GROUP, CLIP, GREY, MAP, OLD],
                               default=PORTRAIT,
                               tooltip="portrait: an astronaut, in a noisy and compressed copy. "
                               "group: many faces, most of them small. clip: 16 frames that pan "
                               "over the portrait. grey: the portrait without its colours. map: "
                               "a segmentation map of a face. old: the portrait as a brown, grainy "
                               "print, scanned on its side."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The photograph, or the frames of the clip."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, photograph: str) -> io.NodeOutput:
        from ..gpen_core.media.reading import read_image  # imports OpenCV

        images = read_image(FOLDER / FILES.get(photograph, "portrait.jpg"))
        if photograph == CLIP:
            images = _pan(images)
        elif photograph == GREY:
            images = luma(images).expand_as(images).contiguous()
        elif photograph == OLD:
            images = _age(images)
        return io.NodeOutput(to_host_image(images), ui=make_ui(images))


def _pan(image: torch.Tensor) -> torch.Tensor:
    """Cut the frames of a clip [B, 3, h, w] from one image [1, 3, H, W]."""
    lefts = range(0, FRAME_END, FRAME_STEP)
    return torch.cat([image[..., :FRAME_HEIGHT, x : x + FRAME_WIDTH] for x in lefts])


def _age(image: torch.Tensor) -> torch.Tensor:
    """Turn a photograph [1, 3, H, W] into a scan of an old print, which lies on its left side."""
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 1, *image.shape[2:], generator=draw)
    grain = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)  # silver grains are larger than a pixel
    grey = luma(image) + GRAIN * grain / grain.std()
    ink, paper = (torch.tensor(colour)[:, None, None] for colour in (INK, PAPER))
    return (ink + (paper - ink) * grey).clamp(0, 1).rot90(1, (2, 3)).contiguous()
