"""The pack together with ComfyUI's nodes for faces and boxes, through `/prompt`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from comfyui_graphs import (
    DETECT_DEFAULTS,
    build_four_nodes,
    build_graph,
    build_one_node,
    find_outside,
    put_photo,
    read_pixels,
)
from comfyui_host import describe_error
from other_restorers import write_restoreformer
from safetensors.numpy import save_file

from gpen_core.align import align
from gpen_core.detectors.face_mesh import MESH_LANDMARKS
from gpen_core.faces import Faces

pytestmark = pytest.mark.comfyui

EYES_NOSE_MOUTH = ((203.0, 107.0), (246.0, 109.0), (222.0, 134.0), (206.0, 158.0), (242.0, 159.0))
LANDMARKER = "constant_landmarker.safetensors"
SIDE = 512
BOX = 10.0
"""Side of the box that the constant detector finds, in sides of the photograph. It is so large that
the boxes of all anchors overlap and merge into one box in the middle."""
ROI = 1.5
"""Factor by which the box is enlarged before the mesh is searched in it, at 192 px."""
CONTOURS = ("face_oval", "left_eye", "right_eye", "left_eyebrow", "right_eyebrow", "lips", "nose",
            "irises", "tesselation")  # fmt: skip


def make_constant_landmarker(points: np.ndarray) -> dict[str, np.ndarray]:
    """Make weights with which ComfyUI's MediaPipe nodes always find one face, with this mesh.

    We do not have Google's weights. In these the kernels are zero, so that the biases alone decide
    the result.

    Args:
        points: the mesh, [478, 2] in pixels of the photograph.
    """
    weights = {}

    def add_layer(name: str, inputs: int, bias: np.ndarray, kernel: int = 1) -> None:
        weights[f"{name}.weight"] = np.zeros((len(bias), inputs, kernel, kernel), np.float32)
        weights[f"{name}.bias"] = bias.astype(np.float32)

    # Box centre, sides and six points relative to each anchor, in 128 px. The eyes are level.
    one = np.array([0, 0, BOX, BOX, -1, 0, 1, 0, *[0] * 8]) * 128
    for name, inputs, anchors in (("16", 88, 2), ("8", 96, 6)):
        add_layer(f"detector_short.cls_{name}", inputs, np.full(anchors, 2.0))
        add_layer(f"detector_short.reg_{name}", inputs, np.tile(one, anchors))
    in_roi = (points - SIDE / 2) * 192 / (SIDE * BOX * ROI) + 96
    mesh = np.concatenate([in_roi, np.zeros((478, 1))], axis=1)
    add_layer("mesh.head_landmarks", 8, mesh.reshape(-1), kernel=3)
    random = np.random.default_rng(0)
    weights["canonical_vertices"] = random.random((468, 3), np.float32)
    weights["procrustes_indices"] = np.arange(30, dtype=np.int32)
    weights["procrustes_weights"] = np.ones(30, np.float32)
    for part in CONTOURS:
        weights[f"topology.{part}"] = np.array([[0, 1], [1, 2], [2, 0]], np.int32)
    return weights


def make_mesh(landmarks: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Make a mesh [478, 2] with these five landmarks and random other points in the face."""
    points = np.random.default_rng(1).uniform((170, 60), (280, 200), (478, 2))
    for places, landmark in zip(MESH_LANDMARKS, landmarks, strict=True):
        points[list(places)] = landmark
        if len(places) == 2:  # the two corners of an eye, whose middle is the landmark
            points[places[0], 0] -= 9
            points[places[1], 0] += 9
    return points


def test_detect_faces_takes_the_landmarks_of_comfyuis_mediapipe_node(comfyui):
    points = make_mesh(EYES_NOSE_MOUTH)
    folder = comfyui.base / "models" / "detection"
    folder.mkdir(exist_ok=True)
    save_file(make_constant_landmarker(points), folder / LANDMARKER)
    prompt = build_graph(
        load=("LoadImage", {"image": put_photo(comfyui)}),
        mediapipe=("LoadMediaPipeFaceLandmarker", {"model_name": LANDMARKER}),
        mesh=("MediaPipeFaceLandmarker", {
            "face_detection_model": ["mediapipe", 0], "image": ["load", 0],
            "detector_variant": "short", "num_faces": 0, "min_confidence": 0.5,
            "missing_frame_fallback": "empty",
        }),
        detect=("GPENDetectFaces", {
            "image": ["load", 0], **DETECT_DEFAULTS, "crop_size": "256", "landmarks": ["mesh", 0],
        }),
        boxes=("PreviewAny", {"source": ["detect", 2]}),
        theirs=("PreviewAny", {"source": ["mesh", 1]}),
        save=("SaveImage", {"images": ["detect", 1], "filename_prefix": "meshed"}),
    )  # fmt: skip
    entry = comfyui.run(prompt)
    ((ours,),), ((theirs,),) = (
        json.loads(entry["outputs"][name]["text"][0]) for name in ("boxes", "theirs")
    )
    assert ours == pytest.approx(theirs, abs=1e-2)
    assert ours["x"] == pytest.approx(points[:, 0].min(), abs=0.05)
    (crop,) = comfyui.pictures(entry, "save")
    photo = read_pixels(comfyui.base / "input" / "astronaut.png")
    faces = Faces(
        boxes=torch.tensor([[170.0, 60.0, 280.0, 200.0]]),
        landmarks=torch.tensor([EYES_NOSE_MOUTH]),
        scores=torch.ones(1),
        image_index=torch.zeros(1, dtype=torch.int64),
        image_size=(1, SIDE, SIDE),
    )
    image = torch.from_numpy(photo).movedim(2, 0)[None] / 255
    expected = align(image, faces, size=256).pixels[0].movedim(0, 2).numpy() * 255
    # SaveImage cuts off half a level on average, and the mesh is exact to 0.02 px. A shift by half
    # a pixel would give 5.
    assert np.abs(read_pixels(crop) - expected).mean() < 0.8


def test_boxes_go_to_and_come_from_comfyuis_own_nodes(comfyui):
    prompt = build_four_nodes(put_photo(comfyui))
    prompt |= build_graph(
        draw=("DrawBBoxes", {"image": ["load", 0], "bboxes": ["detect", 2]}),
        cut=("CropByBBoxes", {
            "image": ["load", 0], "bboxes": ["detect", 2], "output_width": 64, "output_height": 64,
            "padding": 0, "keep_aspect": "stretch",
        }),
        again=("GPENDetectFaces", {
            "image": ["load", 0], **DETECT_DEFAULTS, "crop_size": "256", "bboxes": ["detect", 2],
        }),
        count=("PreviewAny", {"source": ["again", 3]}),
        drawn=("PreviewImage", {"images": ["draw", 0]}),
        small=("PreviewImage", {"images": ["cut", 0]}),
    )  # fmt: skip
    entry = comfyui.run(prompt)
    assert entry["outputs"]["count"]["text"] == ["1"]
    (drawn,), (small,) = comfyui.pictures(entry, "drawn"), comfyui.pictures(entry, "small")
    photo = read_pixels(comfyui.base / "input" / "astronaut.png")
    assert 0 < (read_pixels(drawn) != photo).any(axis=2).mean() < 0.1
    assert read_pixels(small).shape == (64, 64, 3)


def test_a_box_without_a_face_is_reported_in_the_log(comfyui):
    prompt = build_four_nodes(put_photo(comfyui))
    prompt |= build_graph(
        grey=("EmptyImage", {"width": SIDE, "height": SIDE, "batch_size": 1, "color": 8421504}),
        nothing=("GPENDetectFaces", {
            "image": ["grey", 0], **DETECT_DEFAULTS, "bboxes": ["detect", 2],
        }),
        count=("PreviewAny", {"source": ["nothing", 3]}),
    )  # fmt: skip
    entry = comfyui.run(prompt)
    assert entry["outputs"]["count"]["text"] == ["0"]
    assert "No face in the box" in comfyui.log()


def test_a_restoreformer_restores_a_photo_and_an_upscaler_is_refused(comfyui):
    compact = pytest.importorskip("spandrel.architectures.Compact").Compact
    write_restoreformer(comfyui.extra_models / "RestoreFormer.pth")
    photo = put_photo(comfyui)
    prompt = build_one_node(photo)
    prompt["model"] = {
        "class_type": "LoadGPENFaceRestorer",
        "inputs": {"file": "RestoreFormer.pth", "fidelity": 0.5, "dtype": "auto"},
    }
    entry = comfyui.run(prompt)
    (picture,), (mask,) = comfyui.pictures(entry, "save"), comfyui.pictures(entry, "mask")
    before, after = read_pixels(comfyui.base / "input" / photo), read_pixels(picture)
    outside = find_outside(mask)
    assert np.array_equal(before[outside], after[outside])
    assert np.abs(after - before)[~outside].mean() > 1  # random weights draw no face
    upscaler = compact(num_feat=8, num_conv=1).state_dict()
    torch.save(upscaler, comfyui.extra_models / "upscaler.pth")
    prompt["model"]["inputs"]["file"] = "upscaler.pth"
    entry = comfyui.wait(comfyui.queue(prompt))
    assert "Load Upscale Model loads it" in describe_error(entry)
