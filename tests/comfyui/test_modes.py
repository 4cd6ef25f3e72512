"""The pack in a ComfyUI whose flags change the dtype of results or the place of weights."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from comfyui_graphs import build_four_nodes, build_one_node, put_photo, read_pixels
from comfyui_host import ROOT, ComfyUI

pytestmark = pytest.mark.comfyui


@pytest.fixture
def started(tmp_path_factory):
    """A function that starts a separate ComfyUI with these arguments."""
    running = []

    def start(*flags, **options) -> ComfyUI:
        host = ComfyUI(tmp_path_factory.mktemp("comfyui"), *flags, **options)
        running.append(host)
        return host

    yield start
    for host in running:
        host.stop()
        shutil.rmtree(host.base, ignore_errors=True)


def add_previews(prompt: dict, **shown: list) -> dict:
    """Return the graph with a text preview of each of these outputs."""
    previews = {
        name: {"class_type": "PreviewAny", "inputs": {"source": source}}
        for name, source in shown.items()
    }
    return {**prompt, **previews}


def restore_both_ways(host: ComfyUI, photo: str) -> dict[str, np.ndarray]:
    found = {}
    for name, prompt in (("one", build_one_node(photo)), ("four", build_four_nodes(photo))):
        (picture,) = host.pictures(host.run(prompt), "save")
        found[name] = read_pixels(picture)
    return found


def test_with_fp16_intermediates_the_results_are_float16(started, comfyui):
    host = started("--fp16-intermediates")
    photo = put_photo(host)
    prompt = add_previews(
        build_four_nodes(photo), crops=["detect", 1], restored=["restore", 0], pasted=["paste", 0]
    )
    outputs = host.run(prompt)["outputs"]
    for name in ("crops", "restored", "pasted"):
        assert "dtype=torch.float16" in outputs[name]["text"][0], name
    full = restore_both_ways(comfyui, put_photo(comfyui))
    for name, picture in restore_both_ways(host, photo).items():
        # SaveImage cuts off fractions: a value that half precision rounds down is one lower.
        assert np.abs(picture - full[name]).max() <= 3, name


def test_with_novram_and_a_pretended_gpu_the_result_equals_that_of_the_cpu(started, comfyui):
    launcher = str(ROOT / "tests" / "support" / "comfyui_on_pretend_device.py")
    # Without --force-fp32, ComfyUI would ask the driver which dtype is fast.
    host = started("--novram", "--force-fp32", main=(launcher,))
    assert [device["type"] for device in host.get("system_stats")["devices"]] == ["meta"]
    full = restore_both_ways(comfyui, put_photo(comfyui))
    for name, picture in restore_both_ways(host, put_photo(host)).items():
        assert np.abs(picture - full[name]).max() <= 1, name
    assert "Requested to load GPENNetwork" in host.log()
