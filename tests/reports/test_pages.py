"""The page of a report says in words what its figures mean."""

from __future__ import annotations

import pytest
import torch
from report_pictures import Reader, draw, make_faces, paste_all, shrink

from gpen_core import Faces, report
from gpen_core.pasting import Pasted
from gpen_core.reports.figures import FaceReport
from gpen_core.reports.pages import judge, list_figures, make_report_page, summarise

FACE = FaceReport(1, 0, (0.0, 0.0, 64.0, 72.0), 0.9, 27.0, pasted=0.8)


def change(**values: float | None) -> FaceReport:
    return FaceReport(**{**vars(FACE), **values})


def test_a_page_shows_each_face_and_warns():
    found = report(shrink(draw(), 8), paste_all(draw()), make_faces())
    page = make_report_page("<a>.jpg", found, {"Model": "built<in>"})
    text = Reader(page).text
    assert text.strip().startswith("<a>.jpg")
    assert "2 faces restored. 1 face has much detail that the photograph lacks." in text
    assert "no evidence of who somebody is" in text
    assert "64 × 72 px" in text
    assert "Face 2" in text
    assert "built<in>" in text
    assert page.count("<img") == 1 + 2 * 3


def test_a_page_without_restored_faces_does_not_warn():
    image = draw()
    empty = report(image, Pasted(image, torch.zeros(1, 1, 160, 160)), Faces.empty((1, 160, 160)))
    page = make_report_page("a.jpg", empty)
    assert "No face was found" in page
    assert "evidence" not in page
    left = report(image, Pasted(image, torch.zeros(1, 1, 160, 160)), make_faces())
    assert summarise(left) == "0 faces restored. 2 faces left as they were."
    assert "evidence" not in make_report_page("a.jpg", left)


@pytest.mark.parametrize(
    ("face", "said"),
    [
        (change(pasted=0.0), "left as it was"),
        (change(made_up=0.04), "Nearly all detail is the photograph's own: 4%"),
        (change(made_up=0.2), "Part of the fine detail was painted by the network: 20%"),
        (change(made_up=0.62), "The network painted much of the detail: 62%"),
        (FACE, "too small to be measured. Take all its detail as made up"),
    ],
)
def test_a_sentence_judges_a_face(face, said):
    assert said in judge(face)


def test_only_figures_that_were_measured_are_listed():
    assert list_figures(FACE) == []
    rows = list_figures(change(noise_before=4.0, noise_after=0.51, landmarks_moved=0.0123))
    assert rows == [
        ("Noise", "4.0 levels", "0.5 levels"),
        ("Moved", "", "1.2% of the eye distance"),
    ]


def test_photographs_of_a_batch_are_told_apart():
    image = draw().expand(2, -1, -1, -1)
    text = Reader(
        make_report_page("film", report(image, paste_all(image), make_faces((2, 160, 160))))
    ).text
    assert "Face 1 in photograph 1" in text
