"""The library's messages inside ComfyUI: every step can be taken there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {"commands", "training", "evaluation", "cli.py", "__main__.py"}
"""Parts of gpen_core that no node uses."""
COMMAND = re.compile(r"`?\bgpen (?:models|download|convert|inspect|restore)\b")


def texts() -> set[str]:
    """The strings of the library that a node might show, docstrings left out."""
    found = set()
    for path in (ROOT / "gpen_core").rglob("*.py"):
        if path.relative_to(ROOT / "gpen_core").parts[0] in OUTSIDE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        plain = {
            id(part.value) for part in ast.walk(tree)
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
        }  # fmt: skip
        pieces_of_others = set()
        for part in ast.walk(tree):
            if isinstance(part, ast.JoinedStr):
                pieces = (p.value if isinstance(p, ast.Constant) else "…" for p in part.values)
                found.add("".join(pieces))
                pieces_of_others |= {id(p) for p in part.values}
        for part in ast.walk(tree):
            if isinstance(part, ast.Constant) and id(part) not in plain | pieces_of_others:
                found.add(str(part.value))
    return found


def test_no_message_of_the_library_names_the_command_line_in_comfyui(nodes):
    named = {text for text in texts() if COMMAND.search(text)}
    checked_before = {text for text in named if "gpen download" in text}  # explain_missing
    assert len(checked_before) == 2
    assert named - checked_before
    for text in named - checked_before:
        assert not COMMAND.search(nodes.messages.translate(text)), text


def test_help_pages_and_texts_name_no_command_line():
    pages = [*(ROOT / "web" / "docs").rglob("*.md"), *(ROOT / "locales").rglob("*.json")]
    for page in [*pages, *(ROOT / "workflows").glob("*.json")]:
        assert not COMMAND.search(page.read_text(encoding="utf-8")), page


def test_a_missing_published_file_says_that_its_published_name_may_stay(nodes, tmp_path):
    message = nodes.files.explain_missing(nodes.host.GPEN_FOLDERS, "GPEN-BFR-2048.pth")
    folders = nodes.host.list_model_folders(nodes.host.GPEN_FOLDERS)
    assert f"Put it into `{folders[0]}`" in message
    assert folders[0].is_absolute()
    assert "as `pytorch_model-2048.pt`: keep that name" in message


def test_detectors_that_are_missing_name_a_step_in_comfyui(nodes, core, monkeypatch):
    monkeypatch.setattr(nodes.files, "find_weights", lambda *_: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for name, words in (
        ("auto", r"detection_Resnet50_Final\.pth.*pip install --no-deps facenet-pytorch==2\.5\.3"),
        ("mtcnn", r"-m pip install --no-deps facenet-pytorch==2\.5\.3"),
        ("yunet", r"face_detection_yunet_2023mar\.onnx.*facedetection.*https://"),
        ("retinaface_resnet50", r"detection_Resnet50_Final\.pth.*facedetection.*https://"),
    ):
        with pytest.raises(core("errors").DetectorError, match=words) as caught:
            nodes.files.make_detector(name)
        assert not COMMAND.search(str(caught.value))


@pytest.mark.parametrize(
    "name", ["../../secret.pth", "..\\secret.pth", "/etc/passwd", "C:\\a.pth", "a\0b.pth", "", 3]
)
def test_names_that_lead_out_of_the_model_folders_find_nothing(nodes, core, name):
    assert nodes.host.find_model_file(nodes.host.GPEN_FOLDERS, name) is None
    with pytest.raises(core("errors").CheckpointError):
        nodes.files.find_gpen(name)
