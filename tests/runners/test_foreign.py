from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gpen_core.errors import CheckpointError
from gpen_core.runners.foreign import check_restorer


@dataclass(frozen=True)
class Value:
    name: str
    shape: tuple[int | str | None, ...]
    dtype: str = "fp32"


@dataclass(frozen=True)
class Node:
    name: str
    op: str = "Conv"


class Outline:
    def __init__(self, inputs=(), outputs=(), tensors=(), nodes=()) -> None:
        self.inputs, self.outputs, self.nodes = inputs, outputs, nodes
        self.initialisers = dict.fromkeys(tensors)


FACE = Value("input", (1, 3, 512, 512))
RESTORED = Value("output", (1, 3, 512, 512))


@pytest.mark.parametrize("shape", [(1, 3, 512, 512), ("N", 3, "H", "W"), (None, 3, None, None)])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_one_picture_to_one_picture_is_a_restorer(shape, dtype):
    check_restorer(Path("a.onnx"), Outline((FACE,), (Value("output", shape, dtype),)))


@pytest.mark.parametrize(
    ("outline", "kind"),
    [
        (
            Outline((Value("target", (1, 3, 128, 128)), Value("source", (1, 512))), (RESTORED,)),
            "a face swapper",
        ),
        (Outline((FACE, Value("weight", (1,), "fp64")), (RESTORED,)), "a CodeFormer"),
        (Outline((FACE, Value("weight", ())), (RESTORED,)), "a CodeFormer"),
        (
            Outline((FACE,), (RESTORED, Value("rgb", (1, 3, 8, 8))), ("stylegan_decoder.conv1",)),
            "a GFPGAN",
        ),
        (
            Outline((FACE,), (RESTORED,) * 2, nodes=(Node("/stylegan_decoder/to_rgb1/Conv"),)),
            "a GFPGAN",
        ),
        (Outline((FACE,), (RESTORED,) * 2, ("quantize.embedding.weight",)), "a RestoreFormer"),
        (Outline((FACE,), tuple(Value(f"cls_{i}", (1, 80, 1)) for i in range(9))), "face detector"),
        (Outline((FACE,), (Value("embedding", (1, 512)),)), "describes or classifies"),
        (Outline((FACE,), (Value("labels", (1, 19, 512, 512)),)), "masks or labels"),
        (Outline((Value("x", ("N", 3, "H", "W")),), (RESTORED,)), "an upscaler"),
    ],
)
def test_other_networks_are_named_by_their_inputs_and_outputs(outline, kind):
    with pytest.raises(CheckpointError, match=f"is no GPEN; it looks like .*{kind}.*Expected one"):
        check_restorer(Path("a.onnx"), outline)


@pytest.mark.parametrize(
    "outline",
    [
        Outline((), ()),
        Outline((Value("input", (1, 3, 512, 256)),), (RESTORED,)),
        Outline((Value("input", (1, 512, 512, 3)),), (RESTORED,)),
        Outline((Value("input", (1, 3, 512, 512), "uint8"),), (RESTORED,)),
        Outline((Value("input", (1, 3, 0, 0)),), (RESTORED,)),
    ],
)
def test_what_nothing_tells_is_refused_with_its_inputs_and_outputs(outline):
    with pytest.raises(CheckpointError, match=r"is no GPEN\. Expected one float input"):
        check_restorer(Path("a.onnx"), outline)


def test_a_graph_in_a_graph_is_refused():
    outline = Outline((FACE,), (RESTORED,), nodes=(Node("choose", "If"),))
    with pytest.raises(CheckpointError, match=r"refused: it holds a graph in a graph \(`If`\)"):
        check_restorer(Path("a.onnx"), outline)


def test_names_from_the_file_do_not_reach_the_terminal_as_they_are():
    odd = Outline((Value("a\x1b[2J" + 500 * "b", ("\x1b[2J", 3, 5)),), (RESTORED,))
    with pytest.raises(CheckpointError) as caught:
        check_restorer(Path("a.onnx"), odd)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400
