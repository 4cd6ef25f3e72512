"""One node restores the two largest faces of a group and enlarges the photograph twice."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from comfyui_graphs import build_graph, find_outside, read_pixels
from comfyui_host import ComfyUI
from safetensors.torch import save_file

pytestmark = pytest.mark.comfyui

UPSCALER = "seeded_x2.safetensors"
FEATURES = 8


def write_upscaler(host: ComfyUI) -> None:
    """Write an upscaler × 2 of the architecture Compact, whose detail comes from a seed."""
    draw = torch.Generator().manual_seed(0)

    def convolution(inputs: int, outputs: int) -> torch.Tensor:
        return 0.02 * torch.randn(outputs, inputs, 3, 3, generator=draw)

    sizes = {0: (3, FEATURES), 2: (FEATURES, FEATURES), 4: (FEATURES, 3 * 2 * 2)}
    tensors = {}
    for place, (inputs, outputs) in sizes.items():
        tensors[f"body.{place}.weight"] = convolution(inputs, outputs)
        tensors[f"body.{place}.bias"] = torch.zeros(outputs)
    for place in (1, 3):
        tensors[f"body.{place}.weight"] = torch.full((FEATURES,), 0.2)
    folder = host.base / "models" / "upscale_models"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / UPSCALER)


def build(with_model: bool, **inputs) -> dict:
    upscaler = {"upscaler": ("UpscaleModelLoader", {"model_name": UPSCALER})} if with_model else {}
    if with_model:
        inputs["upscale_model"] = ["upscaler", 0]
    return build_graph(
        photo=("GPENExamplePhotograph", {"photograph": "group"}),
        model=("LoadGPEN", {"file": "built-in (256)", "dtype": "auto"}),
        restore=(
            "GPENRestoreImage",
            {"image": ["photo", 0], "model": ["model", 0], "strength": 1.0, "scale": 2.0, **inputs},
        ),
        info=("GPENFaceInfo", {"faces": ["restore", 4]}),
        figures=("PreviewAny", {"source": ["info", 1]}),
        save=("SaveImage", {"images": ["restore", 0], "filename_prefix": "some"}),
        mask=("MaskPreview", {"mask": ["restore", 1]}),
        **upscaler,
    )


@pytest.mark.parametrize("with_model", [False, True], ids=["resampled", "upscale model"])
def test_the_two_largest_faces_are_restored_in_the_enlarged_photograph(comfyui, with_model):
    write_upscaler(comfyui)
    entry = comfyui.run(build(with_model, which="largest", count=2))
    (text,) = entry["outputs"]["figures"]["text"]
    figures = json.loads(text)
    every = comfyui.run(build(with_model, strength=0.0))
    sizes = sorted(
        min(face["width"], face["height"])
        for face in json.loads(every["outputs"]["figures"]["text"][0])
    )
    assert len(sizes) == 67
    assert len(figures) == 2
    assert min(min(face["width"], face["height"]) for face in figures) >= sizes[-4]

    (result,), (plain,) = (comfyui.pictures(done, "save") for done in (entry, every))
    (mask,) = comfyui.pictures(entry, "mask")
    after, before = read_pixels(result), read_pixels(plain)
    assert after.shape == before.shape
    changed = np.abs(after - before).max(axis=2) > 0
    assert not changed[find_outside(mask)].any()
    for face in figures:
        x0, y0, x1, y1 = (round(2 * side) for side in face["box"])
        assert (np.abs(after - before)[y0:y1, x0:x1].max(axis=2) > 2).mean() > 0.3
        changed[2 * y0 - y1 : 2 * y1 - y0, 2 * x0 - x1 : 2 * x1 - x0] = False
    assert not changed.any()  # no other face


def test_the_upscale_model_makes_the_pixels_outside_the_faces(comfyui):
    write_upscaler(comfyui)
    pictures = []
    for with_model in (False, True):
        (path,) = comfyui.pictures(comfyui.run(build(with_model, strength=0.0)), "save")
        pictures.append(read_pixels(path))
    assert pictures[0].shape == pictures[1].shape
    difference = np.abs(pictures[0] - pictures[1])
    assert 1 < difference.mean() < 40
