"""Numbers beyond a widget's range, which links bring: our errors, or used sensibly.

The host checks the range of what a user types, not of what another node computes.
"""

from __future__ import annotations

import math

import films
import numpy as np
import pytest
import torch
from node_fixtures import draw_scene

NUMBERS = {
    "-1e9": -1e9, "1e9": 1e9, "nan": math.nan, "inf": math.inf, "-inf": -math.inf,
    "-10**9": -(10**9), "10**9": 10**9, "10**40": 10**40, "0.5": 0.5, "true": True,
}  # fmt: skip


class Video:
    """A video as the host hands it over."""

    def __init__(self, path):
        self.path = path

    def get_stream_source(self):
        return self.path


@pytest.fixture
def inputs(node, detector, model, tmp_path):
    """What every socket of every node can be given, by the socket's name."""
    image = draw_scene([10, 80], [120])
    faces, crops, *_ = node("GPENDetectFaces", image=image, detector=detector, model=model).args
    return {"image": image, "faces": faces, "crops": crops, "model": model, "detector": detector,
            "video": Video(str(films.make_film(tmp_path / "in.mp4", films.plain(1))))}  # fmt: skip


def find_widgets(nodes):
    """The names of all numeric widgets, with those of their nodes."""
    for cls in nodes.NODES:
        schema = cls.GET_SCHEMA()
        for socket in schema.inputs:
            if isinstance(getattr(socket, "default", None), int | float):
                yield schema.node_id, socket.id


def run(node, inputs, node_id, **values):
    sockets = {socket.id for socket in node.classes[node_id].GET_SCHEMA().inputs}
    given = {name: value for name, value in inputs.items() if name in sockets}
    return node(node_id, **given, **values)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_beyond_range_is_refused_in_our_words_or_used(node, nodes, core, inputs, name):
    number, tried = NUMBERS[name], 0
    for node_id, widget in find_widgets(nodes):
        tried += 1
        try:
            results = run(node, inputs, node_id, **{widget: number}).args
        except core("errors").GPENError as error:
            assert str(error).isprintable() and len(str(error)) < 400, (node_id, widget)
            continue
        for result in results:
            if isinstance(result, torch.Tensor):
                assert torch.isfinite(result).all(), (node_id, widget)
                assert result.numel() == 0 or 0 <= result.min() <= result.max() <= 1
    assert tried >= 14


@pytest.mark.parametrize(
    ("widget", "number", "words"),
    [
        (
            "max_faces",
            2.5,
            "max_faces must be a whole number from 0 to 1000, found 2.5. Change",
        ),
        ("threshold", math.nan, "threshold must be a number from 0.0 to 1.0, found nan"),
        ("min_size", 10**40, "found a number of more than 20 digits"),
        ("min_size", "9", "found a str"),
    ],
)
def test_the_error_names_widget_range_and_number(node, inputs, core, widget, number, words):
    with pytest.raises(core("errors").MismatchError, match=words):
        run(node, inputs, "GPENDetectFaces", **{widget: number})


def test_a_whole_number_may_come_as_a_float_or_from_numpy(node, inputs):
    for number in (1.0, np.int64(1), np.float32(1)):
        assert run(node, inputs, "GPENDetectFaces", max_faces=number)[3] == 2
