"""The sentences that nodes show after their work: how many faces, in how many images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..gpen_core.preview import number_faces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..gpen_core.faces import Faces


def describe_faces(done: str, faces: Faces, missing: str = "found") -> str:
    """Say how many faces were found, restored or pasted.

    Args:
        done: the verb, such as "Restored".
        faces: those with which it was done.
        missing: the verb for images without a face.

    Returns:
        Such as "Restored 3 faces in 2 of 3 images. No face found in 1 of 3 images."
    """
    images = faces.image_size[0]
    with_faces = len(faces.image_index.unique())
    of_all = f"of {images} images"
    sentences = []
    if len(faces):
        sentences.append(f"{done} {count_faces(len(faces))} in {with_faces} {of_all}.")
    if with_faces < images:
        sentences.append(f"No face {missing} in {images - with_faces} {of_all}.")
    return " ".join(sentences)


def describe_clean(weighed: Sequence[tuple[float, float]]) -> list[str]:
    """Say which faces were clean: for each, the share of the restored face, and its change.

    Returns:
        Such as ["Left 1 clean face as it was. Changes: 1.3, 12.0 levels."]; empty if none was
        weighed.
    """
    if not weighed:
        return []
    left = sum(share == 0 for share, _ in weighed)
    changes = ", ".join(f"{change:.1f}" for _, change in weighed)
    were = "as it was" if left == 1 else "as they were"
    count = f"{left} clean face{'' if left == 1 else 's'}"
    return [f"Left {count} {were}. Changes: {changes} levels."]


def list_faces(
    faces: Faces, strengths: Sequence[float], weighed: Sequence[tuple[float, float]] = ()
) -> str:
    """Describe each face in a line: its image and number, size, place, score and strength.

    Args:
        faces: the faces restored.
        strengths: of each face.
        weighed: the share of each restored face, and its change in levels, if clean faces were left
            alone.
    """
    lines = []
    ends = [f"; changes {change:.1f} levels, {share:.0%} used" for share, change in weighed]
    for image, number, box, score, strength, end in zip(
        faces.image_index.tolist(),
        number_faces(faces.image_index),
        faces.boxes.tolist(),
        faces.scores.tolist(),
        strengths,
        ends or [""] * len(faces),
        strict=True,
    ):
        lines.append(
            f"{name_face(image, number, box)}; score {score:.2f}; strength {strength:g}{end}"
        )
    return "\n".join(lines)


def name_face(image: int, number: int, box: Sequence[float]) -> str:
    """Write "image 0, face 1: 48×48 px at 56, 20"; the box is x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    return f"image {image}, face {number}: {x1 - x0:.0f}×{y1 - y0:.0f} px at {x0:.0f}, {y0:.0f}"


def count_faces(count: int) -> str:
    """Write "1 face" or "3 faces"."""
    return f"{count} face{'' if count == 1 else 's'}"
