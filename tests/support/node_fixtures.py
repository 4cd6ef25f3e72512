"""Fixtures for tests of single nodes: a function that runs them, a small GPEN, a detector."""

from __future__ import annotations

import importlib

import pytest
import torch

SIDE = 64
"""Side in pixels of the test network's crops."""
SCORE = 0.9


SIGNATURES = {
    "LoadGPEN": (["file", "dtype", "engine"], ["model"]),
    "LoadGPENFaceDetector": (["detector", "file"], ["detector"]),
    "GPENDetectFaces": (
        ["image", "threshold", "min_size", "max_faces", "crop_size", "template", "model",
         "detector", "landmarks", "bboxes", "min_face", "turns", "refine", "crop_factor", "segs"],
        ["faces", "crops", "bboxes", "count", "crop_masks", "segs"],
    ),
    "GPENCropFaces": (
        ["image", "faces", "size", "crop_factor"], ["faces", "crops", "crop_masks"],
    ),
    "GPENSelectFaces": (
        ["faces", "crops", "indices", "order", "count", "min_size", "max_size", "size_unit",
         "region"],
        ["selected", "selected_crops", "remaining"],
    ),
    "GPENRestoreFaces": (
        ["model", "crops", "strength", "batch_size", "colour", "leave_clean"], ["restored"],
    ),
    "GPENPasteBack": (
        ["image", "faces", "crops", "feather", "detail", "mask", "background", "strength",
         "strengths", "mask_kind", "regions", "crop_masks", "grain"],
        ["image", "mask"],
    ),
    "GPENRestoreImage": (
        ["image", "model", "strength",
         "detector", "threshold",
         "which", "count", "indices", "min_size", "max_size", "size_unit", "region",
         "template", "colour", "batch_size",
         "detail", "feather", "mask_kind", "regions", "strengths", "scale", "upscale_model",
         "background", "grain", "min_face", "turns", "refine", "leave_clean"],
        ["image", "mask", "crops_before", "crops_after", "faces", "count", "report"],
    ),
    "GPENDegrade": (["image", "seed", "preset", "strength", "face_size"], ["image"]),
    "GPENExamplePhotograph": (["photograph"], ["image"]),
    "GPENColorizeFaces": (
        ["image", "model", "strength", "detector", "spread"], ["image", "mask"],
    ),
    "GPENInpaintFaces": (["image", "model", "mask", "detector"], ["image", "mask"]),
    "GPENFacesFromSegmentation": (["maps", "model", "other_colors"], ["faces"]),
    "GPENRestoreVideo": (
        ["video", "model", "strength", "detector", "threshold", "detect_every", "steady", "colour",
         "crf"],
        ["video", "report"],
    ),
    "GPENFaceInfo": (["faces", "image"], ["text", "json", "count"]),
    "LoadGPENFaceRestorer": (["file", "fidelity", "dtype"], ["model"]),
}  # fmt: skip
"""Inputs and outputs of every node, by its id."""


class KnownFaces:
    """A detector that finds saturated rectangles, so that tests know where the faces are."""

    name = "known"
    device = torch.device("cpu")
    threshold = 0.5
    smallest, largest, short_side = 8, 256, 640

    def __init__(self, core) -> None:
        self.core = core

    def find(self, pixels, *, threshold, largest):
        """Find one face per saturated red, green or blue rectangle of each image."""
        boxes, index = [], []
        for number, image in enumerate(pixels):
            for channel in range(3):
                others = image[[c for c in range(3) if c != channel]].amax(dim=0)
                ys, xs = ((image[channel] > 0.9) & (others < 0.1)).nonzero(as_tuple=True)
                if len(xs):
                    boxes.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                    index.append(number)
        if threshold > SCORE:
            boxes, index = [], []
        boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        five = torch.tensor(self.core("align").TEMPLATES["gpen"])
        sides = boxes[:, None, 2:] - boxes[:, None, :2]
        return self.core("faces").Faces(
            boxes=boxes,
            landmarks=boxes[:, None, :2] + five * sides,
            scores=torch.full((len(boxes),), SCORE),
            image_index=torch.tensor(index, dtype=torch.int64),
            image_size=(len(pixels), *pixels.shape[-2:]),
        )


@pytest.fixture(scope="session")
def core(pack):
    """A function that imports a module of the library as the pack does."""
    return lambda name: importlib.import_module(f"{pack.__name__}.gpen_core.{name}")


@pytest.fixture(scope="session")
def node(nodes):
    """A function that runs a node as the host does: `node("GPENDetectFaces", image=…)`."""
    classes = {cls.GET_SCHEMA().node_id: cls for cls in nodes.NODES}
    defaults = {
        node_id: {
            socket.id: socket.default
            for socket in cls.GET_SCHEMA().inputs
            # A socket with force_input has no widget that would send its default.
            if getattr(socket, "default", None) is not None
            and not getattr(socket, "force_input", None)
        }
        for node_id, cls in classes.items()
    }

    def run(node_id, **inputs):
        clone = classes[node_id].PREPARE_CLASS_CLONE({"hidden_inputs": {}})
        return clone.execute(**{**defaults[node_id], **inputs})

    run.classes = classes
    return run


@pytest.fixture
def detector(core):
    return KnownFaces(core)


@pytest.fixture
def model(core, nodes):
    torch.manual_seed(0)
    config = core("arch").GPENConfig(SIDE, SIDE, (8, 8, 8, 8, 8), style_dim=16, mapping_layers=2)
    return nodes.hosted.HostedGPEN(core("arch").GPEN(config).eval().requires_grad_(False))


def draw_scene(*frames, height=96, width=200):
    """Draw frames of weak noise, [B, H, W, 3], with 48 px faces at the given left edges.

    The first face of a frame is red, the second green, the third blue.
    """
    generator = torch.Generator().manual_seed(1)
    image = 0.3 + 0.2 * torch.rand(len(frames), height, width, 3, generator=generator)
    for number, lefts in enumerate(frames):
        for channel, left in enumerate(lefts):
            image[number, 20:68, left : left + 48] = torch.eye(3)[channel]
    return image
