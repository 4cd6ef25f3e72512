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


def list_faces(faces: Faces, strengths: Sequence[float]) -> str:
    """Describe each face in a line: its image and number, size, place, score and strength."""
    lines = []
    for image, number, (x0, y0, x1, y1), score, strength in zip(
        faces.image_index.tolist(),
        number_faces(faces.image_index),
        faces.boxes.tolist(),
        faces.scores.tolist(),
        strengths,
        strict=True,
    ):
        lines.append(
            f"image {image}, face {number}: {x1 - x0:.0f}×{y1 - y0:.0f} px at "
            f"{x0:.0f}, {y0:.0f}; score {score:.2f}; strength {strength:g}"
        )
    return "\n".join(lines)


def count_faces(count: int) -> str:
    """Write "1 face" or "3 faces"."""
    return f"{count} face{'' if count == 1 else 's'}"
