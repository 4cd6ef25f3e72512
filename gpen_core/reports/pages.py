"""The page of a report: what was done to the faces of one photograph, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .html import (
    Html,
    encode_picture,
    escape,
    make_card,
    make_details,
    make_grid,
    make_heading,
    make_list,
    make_page,
    make_paragraph,
    make_picture,
    make_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .figures import FaceReport, Report

LITTLE, MUCH = 0.1, 0.4
"""Shares of made-up detail: up to the first, a face is the photograph's own; from the second on,
the page warns."""

WARNING = (
    "A network painted parts of these faces. It has learned from many faces, and paints whatever "
    "such a face probably looks like. The result is no evidence of who somebody is, or of how "
    "somebody looked. Show it beside the photograph, and say that it was restored."
)

READING = (
    "Finest detail: the length of the finest waves that stand out from the noise. A smaller number "
    "is sharper; 2 px is as sharp as a picture can be.",
    "Noise: grain and speckles, as a standard deviation in levels. There are 256 levels from black "
    "to white.",
    "Made up: the part of the restored face's detail that is finer than the photograph shows, and "
    "does not follow it. In the picture it is orange.",
    "Changed: by how much the tones differ where the photograph does show the face. In the picture "
    "it is blue. A change of 5 levels is hard to see.",
    "Moved: how far eyes, nose and mouth corners moved, as a part of the distance between the "
    "eyes. The detector itself errs by 2 to 8 %.",
    "Damage by compression (blocks, rings around edges) counts as detail of the photograph: in a "
    "strongly compressed one, more is made up than this page can tell.",
)


def make_report_page(
    title: str,
    report: Report,
    facts: Mapping[str, str] | None = None,
    *,
    profile: bytes | None = None,
) -> Html:
    """Make the page of a report.

    Args:
        title: such as the photograph's name.
        report: from `report`.
        facts: what else a reader should know, such as the model, by name.
        profile: the ICC profile of the photograph's colours.
    """
    several = report.image_size[0] > 1
    parts: list[str] = [make_paragraph(summarise(report))]
    if any(face.pasted for face in report.faces):
        parts.append(make_paragraph(WARNING))
    for index, overview in enumerate(report.overview):
        caption = f"Photograph {index + 1}, its faces numbered" if several else "The photograph"
        parts.append(make_picture(encode_picture(overview, profile=profile), caption, caption))
    for face in report.faces:
        parts += _describe_face(face, several, profile)
    if report.faces:
        parts.append(make_heading("How to read the figures"))
        parts.append(make_list(READING))
    if facts:
        parts.append(make_details("How it was made", make_table([], list(facts.items()))))
    return make_page(title, *parts)


def summarise(report: Report) -> str:
    """Say in one or two sentences how many faces were restored, and how much was made up."""
    restored = [face for face in report.faces if face.pasted > 0]
    left = len(report.faces) - len(restored)
    if not report.faces:
        return "No face was found. The picture was not restored."
    sentences = [f"{_count(len(restored))} restored."]
    if left:
        sentences.append(f"{_count(left)} left as {'it was' if left == 1 else 'they were'}.")
    painted = sum(1 for face in restored if (face.made_up or 0) >= MUCH)
    if painted:
        verb = "has" if painted == 1 else "have"
        sentences.append(f"{_count(painted)} {verb} much detail that the photograph lacks.")
    return " ".join(sentences)


def judge(face: FaceReport) -> str:
    """Say in a sentence how much of a face's detail the network made up."""
    if face.pasted == 0:
        return "This face was left as it was."
    if face.made_up is None:
        return "This face is too small to be measured. Take all its detail as made up."
    share = f"{face.made_up:.0%} of the detail in the restored face is not in the photograph"
    if face.made_up <= LITTLE:
        return f"Nearly all detail is the photograph's own: {share}."
    if face.made_up < MUCH:
        return f"Part of the fine detail was painted by the network: {share}."
    return f"The network painted much of the detail: {share}. It is likely, but nobody saw it."


def list_figures(face: FaceReport) -> list[tuple[str, str, str]]:
    """List a face's figures: name, in the photograph, in the result. Missing ones are left out."""
    rows = [
        ("Finest detail", _format(face.finest_before, "px"), _format(face.finest_after, "px")),
        ("Noise", _format(face.noise_before, "levels"), _format(face.noise_after, "levels")),
        ("Made up", "", "" if face.made_up is None else f"{face.made_up:.0%} of the detail"),
        ("Changed", "", _format(face.changed, "levels")),
    ]
    if face.landmarks_moved is not None:
        rows.append(("Moved", "", f"{face.landmarks_moved:.1%} of the eye distance"))
    if face.identity_distance is not None:
        rows.append(("Identity", "", f"distance {face.identity_distance:.3f} (0: the same)"))
    return [row for row in rows if row[1] or row[2]]


def _describe_face(face: FaceReport, several: bool, profile: bytes | None) -> list[Html]:
    width, height = face.size
    where = f" in photograph {face.image + 1}" if several else ""
    parts = [
        make_heading(f"Face {face.number}{where}"),
        make_paragraph(
            f"{width:.0f} × {height:.0f} px, {face.eye_distance:.0f} px between the eyes. ",
            judge(face),
        ),
    ]
    if face.pasted == 0:
        return parts
    captions = {
        "before": "Photograph",
        "after": "Restored",
        "where": "Orange: made-up detail. Blue: changed tones",
    }
    cards = [
        make_card(
            make_picture(
                encode_picture(face.pictures[name], profile=profile),
                f"Face {face.number}: {caption}",
                caption,
            )
        )
        for name, caption in captions.items()
        if name in face.pictures
    ]
    head: Sequence[str] = ("", "Photograph", "Result")
    return [*parts, make_grid(cards), make_table(head, list_figures(face))]


def _count(faces: int) -> Html:
    return escape(f"{faces} face{'' if faces == 1 else 's'}")


def _format(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.1f} {unit}"
