"""The pack in ComfyUI started with flags that change where and how it keeps things."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from comfyui_graphs import four_nodes, one_node, put_photo, read
from comfyui_host import ROOT, ComfyUI

pytestmark = pytest.mark.comfyui


@pytest.fixture
def started(tmp_path_factory):
    """Starts a ComfyUI of its own with these arguments."""
    running = []

    def start(*flags, **options) -> ComfyUI:
        host = ComfyUI(tmp_path_factory.mktemp("comfyui"), *flags, **options)
        running.append(host)
        return host

    yield start
    for host in running:
        host.stop()
        shutil.rmtree(host.base, ignore_errors=True)


def with_texts(prompt: dict, **shown: list) -> dict:
    """The graph, and text previews of these outputs."""
    previews = {
        name: {"class_type": "PreviewAny", "inputs": {"source": source}}
        for name, source in shown.items()
    }
    return {**prompt, **previews}


def results(host: ComfyUI, photo: str) -> dict[str, np.ndarray]:
    found = {}
    for name, prompt in (("one", one_node(photo)), ("four", four_nodes(photo))):
        (picture,) = host.pictures(host.run(prompt), "save")
        found[name] = read(picture)
    return found


def test_with_fp16_intermediates_results_are_kept_in_half_precision(started, comfyui):
    host = started("--fp16-intermediates")
    photo = put_photo(host)
    prompt = with_texts(
        four_nodes(photo), crops=["detect", 1], restored=["restore", 0], pasted=["paste", 0]
    )
    outputs = host.run(prompt)["outputs"]
    for name in ("crops", "restored", "pasted"):
        assert "dtype=torch.float16" in outputs[name]["text"][0], name
    full = results(comfyui, put_photo(comfyui))
    for name, picture in results(host, photo).items():
        # SaveImage cuts fractions off, so a value rounded down in half precision is one less.
        assert np.abs(picture - full[name]).max() <= 3, name


def test_with_novram_and_a_pretended_gpu_the_result_is_that_of_the_cpu(started, comfyui):
    launcher = str(ROOT / "tests" / "comfyui_on_pretend_device.py")
    # Which dtype is fast is another thing that it asks the driver.
    host = started("--novram", "--force-fp32", main=(launcher,))
    assert [device["type"] for device in host.get("system_stats")["devices"]] == ["meta"]
    full = results(comfyui, put_photo(comfyui))
    for name, picture in results(host, put_photo(host)).items():
        assert np.abs(picture - full[name]).max() <= 1, name
    assert "Requested to load GPENNetwork" in host.log()
