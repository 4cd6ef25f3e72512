"""`gpen restore --model` with face restorers other than GPEN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from other_restorers import make_echo
from PIL import Image

from gpen_core import cli, pipeline
from gpen_core.commands import model_options, restorer
from gpen_core.faces import Faces

POINTS = torch.tensor([[[12.0, 14.0], [22.0, 14.0], [17.0, 20.0], [13.0, 26.0], [21.0, 26.0]]])


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A photograph of 60 × 40 px in the working folder, with one face."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(2).integers(30, 220, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")
    one = torch.ones(1)
    faces = Faces(torch.tensor([[8.0, 10, 26, 30]]), POINTS, one, one.long() * 0, (1, 40, 60))
    monkeypatch.setattr(restorer, "find_chosen_faces", lambda *words, **options: faces)
    monkeypatch.setattr(restorer, "load_detector", lambda *words, **options: object())
    return pixels


def test_the_model_cuts_its_own_template_and_pastes_as_gpen_does(photo, monkeypatch, capsys):
    asked, templates = [], []
    fit = pipeline.find_alignment

    def find_alignment(*words, template, **options):
        templates.append(template)
        return fit(*words, template=template, **options)

    def load_face_restorer(source, *, fidelity, **options):
        asked.append((source, fidelity))
        return make_echo()

    monkeypatch.setattr(pipeline, "find_alignment", find_alignment)
    monkeypatch.setattr(model_options, "load_face_restorer", load_face_restorer)
    words = ["restore", "a.png", "--model", "codeformer.pth", "--detail", "1"]
    assert cli.main([*words, "-o", "r.png", "--fidelity", "0.2"]) == 0
    assert cli.main([*words, "-o", "s.png", "--template", "gpen"]) == 0
    assert "1 face restored" in capsys.readouterr().out
    assert templates == ["ffhq", "gpen"]
    assert asked == [("codeformer.pth", 0.2), ("codeformer.pth", None)]
    # The network returns its input, and all detail is kept, so the photograph comes back.
    assert np.abs(np.asarray(Image.open("r.png")).astype(int) - photo).max() <= 1


def test_fidelity_without_a_codeformer_is_an_error(photo, capsys):
    assert cli.main(["restore", "a.png", "-o", "r.png", "--fidelity", "0.5"]) == 2
    assert "GPEN has no fidelity; leave it out" in capsys.readouterr().err
