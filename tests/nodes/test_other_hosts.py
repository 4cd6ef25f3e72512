"""Hosts that lack an API which is younger or older than they are: the nodes go on working."""

from __future__ import annotations

import sys

import pytest
import torch
from node_fixtures import draw_scene

IMAGE = draw_scene([10])
LACKING = ("intermediate_dtype", "raise_non_oom")
"""Functions of the host's memory management without which the nodes do."""


@pytest.fixture
def restore(node, model, detector):
    def run(**inputs):
        return node("GPENRestoreImage", image=IMAGE, model=model, detector=detector, **inputs)

    return run


@pytest.mark.parametrize("name", LACKING)
def test_a_function_of_the_memory_management_is_missing(restore, nodes, monkeypatch, name):
    expected = restore()[0]
    monkeypatch.delattr(nodes.host.mm, name)
    assert torch.equal(restore()[0], expected)


def test_errors_are_told_apart_without_the_hosts_help(nodes, monkeypatch):
    monkeypatch.delattr(nodes.host.mm, "raise_non_oom")
    assert nodes.host.is_oom(torch.OutOfMemoryError("CUDA out of memory"))
    assert not nodes.host.is_oom(ValueError("no memory at all"))


def test_models_are_loaded_by_a_host_that_knows_fewer_options(restore, nodes, monkeypatch):
    loaded = []
    monkeypatch.setattr(nodes.host.mm, "load_models_gpu", lambda models: loaded.extend(models))
    restore()
    assert loaded


def test_options_that_the_host_knows_reach_it(restore, nodes, monkeypatch):
    seen = {}

    def load(models, memory_required=0, force_full_load=False, minimum_memory_required=None):
        seen.update(memory=memory_required, whole=force_full_load)

    monkeypatch.setattr(nodes.host.mm, "load_models_gpu", load)
    restore()
    assert seen["whole"] is True
    assert seen["memory"] > 0


def test_a_server_that_shows_no_texts(node, nodes, monkeypatch, caplog):
    monkeypatch.setattr(nodes.host.PromptServer, "instance", object(), raising=False)
    nodes.host.say("7", "Restored 1 face.")
    nodes.host.warn("7", "Left out.")
    assert "Left out." in caplog.text


def test_an_upscaler_that_cannot_be_called_is_named(restore, nodes, monkeypatch):
    monkeypatch.setitem(sys.modules, "comfy_extras.nodes_upscale_model", None)
    with pytest.raises(ValueError, match="connect that to background"):
        restore(upscale_model=object(), scale=2.0)


def test_a_video_without_a_trim_window_is_whole(nodes):
    assert nodes.video.get_window(object()) == (0.0, 0.0)
