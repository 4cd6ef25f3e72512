"""How near to the clean face's the landmarks of a restored one lie, and dlib's descriptor of it.

    pip install dlib-bin && pip download --no-deps face_recognition_models && tar xzf face_recog*
    python benchmarks/landmarks.py --data people --groups people/groups.tsv \\
        --models face_recognition_models-0.3.0/face_recognition_models/models

Another's eyes than PSNR's: dlib's 68 points (King 2009, Kazemi & Sullivan 2014) and the 128 numbers
by which dlib tells people apart, where two of one person are mostly nearer than 0.6. Each face is
degraded four times, all faces alike; both are found in the rectangle of the clean one. Its models
are CC0, its code has the Boost licence; neither is part of this project.
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

EYES, MOUTH = slice(36, 48), slice(48, 68)  # of the 68 points
FIGURES = ("eyes, px", "mouth, px", "descriptor")


class Dlib:
    """dlib's networks from a folder."""

    def __init__(self, models: Path) -> None:
        import dlib  # pyright: ignore[reportMissingImports]

        self._find = dlib.get_frontal_face_detector()
        self._points = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
        self._describe = dlib.face_recognition_model_v1(
            str(models / "dlib_face_recognition_resnet_model_v1.dat")
        ).compute_face_descriptor

    def find(self, face: np.ndarray) -> Any:
        """The rectangle of the largest face in [S, S, 3] uint8 RGB, or None."""
        return max(self._find(face, 1), key=lambda found: found.area(), default=None)

    def look(self, face: np.ndarray, where: Any) -> tuple[np.ndarray, np.ndarray]:
        """Points [68, 2] and descriptor [128]."""
        shape = self._points(face, where)
        points = np.array([(point.x, point.y) for point in shape.parts()])
        return points, np.array(self._describe(face, shape))


def distances(seen: tuple[np.ndarray, ...], clean: tuple[np.ndarray, ...]) -> list[float]:
    """FIGURES of one image beside the clean one's."""
    apart = np.linalg.norm(seen[0] - clean[0], axis=1)
    return [apart[EYES].mean(), apart[MOUTH].mean(), float(np.linalg.norm(seen[1] - clean[1]))]


def levels(face: torch.Tensor) -> np.ndarray:
    """[3, S, S] in [0, 1] as [S, S, 3] uint8."""
    return np.ascontiguousarray((face * 255).round().byte().permute(1, 2, 0).numpy())


def measure(dlib: Any, restore: Any, faces: torch.Tensor, rounds: int) -> np.ndarray:
    """[N, 2, 3], FIGURES of each face degraded and restored; NaN where dlib finds none in it."""
    rows = np.full((len(faces), 2, len(FIGURES)), np.nan)
    same = DegradationRounds(count=rounds, same=True)
    for number in range(len(faces)):
        clean = levels(faces[number] / 255)
        where = dlib.find(clean)
        if where is None:
            continue
        wanted = dlib.look(clean, where)
        degraded = torch.cat([same.make_pair(faces, number, round_)[1] for round_ in range(rounds)])
        for column, images in enumerate((degraded, restore(degraded))):
            seen = [dlib.look(levels(image), where) for image in images]
            rows[number, column] = np.mean([distances(one, wanted) for one in seen], axis=0)
    return rows


def described(rows: np.ndarray) -> str:
    """Before, after and what is gained, with the standard error between faces."""
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
    parser.add_argument("--groups", type=Path, help="a table as `gpen evaluate --groups` takes")
    parser.add_argument("--models", type=Path, required=True, help="folder of dlib's models")
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    model = load_gpen(args.model, device="cpu", dtype=args.dtype)
    files = find_faces(args.data)
    faces = list(read_faces(files, model.config.in_size))
    for face in faces:
        if isinstance(face, Exception):
            raise face
    dlib = Dlib(args.models)
    rows = measure(dlib, lambda x: restore_pixels(model, x), torch.stack(faces), args.rounds)
    print("all", described(rows))
    if args.groups:
        table = read_table(args.groups, args.data)
        of_face = [table.get(path.absolute(), {}) for path in files]
        for by in sorted({name for row in of_face for name in row} - {"file"}):
            for group in sorted({row.get(by) or "" for row in of_face} - {""}):
                chosen = np.array([row.get(by) == group for row in of_face])
                print(by, group, described(rows[chosen]))


if __name__ == "__main__":
    main()
