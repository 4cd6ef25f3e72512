"""Measures with dlib how near a restored face comes to the clean one, as a check beside PSNR.

    pip install dlib-bin && pip download --no-deps face_recognition_models && tar xzf face_recog*
    python benchmarks/landmarks.py --data people --groups people/groups.tsv \\
        --models face_recognition_models-0.3.0/face_recognition_models/models

The results are in weights/README.md, section "Landmarks and identity". `unseen_people.py` makes the
folder `people`.

dlib finds 68 landmarks (King 2009, Kazemi & Sullivan 2014) and computes a descriptor of 128 numbers
by which it tells people apart: two descriptors of one person are mostly nearer than 0.6. Each face
is degraded four times, and all faces are degraded alike. dlib looks into the rectangle of the clean
face each time. dlib's models are CC0 and its code has the Boost licence; neither is part of this
project.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpen_core import load_gpen
from gpen_core.evaluation.face_folder import find_faces, read_table
from gpen_core.evaluation.lazy_faces import read_faces
from gpen_core.evaluation.scores import DegradationRounds
from gpen_core.restore import restore_pixels

EYES, MOUTH = slice(36, 48), slice(48, 68)  # among the 68 landmarks
FIGURES = ("eyes, px", "mouth, px", "descriptor")


class Dlib:
    """dlib's detector, landmarks and descriptor, from a folder with its models."""

    def __init__(self, models: Path) -> None:
        import dlib  # pyright: ignore[reportMissingImports]

        self._find = dlib.get_frontal_face_detector()
        self._points = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
        self._describe = dlib.face_recognition_model_v1(
            str(models / "dlib_face_recognition_resnet_model_v1.dat")
        ).compute_face_descriptor

    def find(self, face: np.ndarray) -> Any:
        """Return the rectangle of the largest face in [S, S, 3] uint8 RGB, or None."""
        return max(self._find(face, 1), key=lambda found: found.area(), default=None)

    def describe(self, face: np.ndarray, where: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return landmarks [68, 2] in px and descriptor [128] of the face in a rectangle."""
        shape = self._points(face, where)
        points = np.array([(point.x, point.y) for point in shape.parts()])
        return points, np.array(self._describe(face, shape))


def measure_distances(found: tuple[np.ndarray, ...], clean: tuple[np.ndarray, ...]) -> list[float]:
    """Return FIGURES: how far landmarks and descriptor of an image are from the clean one's."""
    offsets = np.linalg.norm(found[0] - clean[0], axis=1)
    return [offsets[EYES].mean(), offsets[MOUTH].mean(), float(np.linalg.norm(found[1] - clean[1]))]


def to_levels(pixels: torch.Tensor) -> np.ndarray:
    """Turn [3, S, S] in [0, 1] into [S, S, 3] uint8."""
    return np.ascontiguousarray((pixels * 255).round().byte().permute(1, 2, 0).numpy())


def measure(dlib: Any, restore: Any, crops: torch.Tensor, rounds: int) -> np.ndarray:
    """Measure each face before and after it is restored.

    Args:
        dlib: a `Dlib`.
        restore: turns [B, 3, S, S] in [0, 1] into the same shape.
        crops: [N, 3, S, S] uint8 RGB, clean.
        rounds: how often each face is degraded.

    Returns:
        [N, 2, 3], FIGURES of each face, degraded and restored; NaN if dlib finds no face in the
        clean image.
    """
    rows = np.full((len(crops), 2, len(FIGURES)), np.nan)
    same = DegradationRounds(count=rounds, same=True)
    for number in range(len(crops)):
        clean = to_levels(crops[number] / 255)
        where = dlib.find(clean)
        if where is None:
            continue
        wanted = dlib.describe(clean, where)
        degraded = torch.cat([same.make_pair(crops, number, round_)[1] for round_ in range(rounds)])
        for column, images in enumerate((degraded, restore(degraded))):
            found = [dlib.describe(to_levels(image), where) for image in images]
            rows[number, column] = np.mean(
                [measure_distances(one, wanted) for one in found], axis=0
            )
    return rows


def describe_gains(rows: np.ndarray) -> str:
    """Format the means before and after, and the gain with its standard error between faces."""
    rows = rows[~np.isnan(rows).any((1, 2))]
    gains = rows[:, 0] - rows[:, 1]
    errors = gains.std(axis=0) / max(len(rows), 1) ** 0.5
    columns = zip(FIGURES, *rows.mean(axis=0), gains.mean(axis=0), errors, strict=True)
    return f"{len(rows):4} faces  " + "   ".join(
        f"{name} {before:.3f} → {after:.3f} ({gain:+.3f} ± {error:.3f})"
        for name, before, after, gain, error in columns
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of clean aligned faces")
    parser.add_argument("--groups", type=Path, help="a table as for `gpen evaluate --groups`")
    parser.add_argument("--models", type=Path, required=True, help="folder of dlib's models")
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    model = load_gpen(args.model, device="cpu", dtype=args.dtype)
    files = find_faces(args.data)
    crops = list(read_faces(files, model.config.in_size))
    for crop in crops:
        if isinstance(crop, Exception):
            raise crop
    dlib = Dlib(args.models)
    rows = measure(dlib, lambda x: restore_pixels(model, x), torch.stack(crops), args.rounds)
    print("all", describe_gains(rows))
    if args.groups:
        table = read_table(args.groups, args.data)
        of_face = [table.get(path.absolute(), {}) for path in files]
        for by in sorted({name for row in of_face for name in row} - {"file"}):
            for group in sorted({row.get(by) or "" for row in of_face} - {""}):
                chosen = np.array([row.get(by) == group for row in of_face])
                print(by, group, describe_gains(rows[chosen]))


if __name__ == "__main__":
    main()
