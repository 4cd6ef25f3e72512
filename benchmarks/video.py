"""Measure films: how steady faces are, how much memory a film takes, and the time of a frame.

    python benchmarks/video.py steady [--frames 75]
    python benchmarks/video.py memory [--frames 150,600] [--width 640]
    python benchmarks/video.py speed [--frames 50] [--width 1920]

The film is scikit-image's astronaut (NASA, public domain), moved, turned and scaled along a known
path, with fresh noise and JPEG in every frame. `memory` takes a process for each film.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import av
import cv2
import numpy as np
from skimage import data

import gpen_core as gpen
from gpen_core.video.films import inspect_film
from gpen_core.video.options import Watcher
from gpen_core.video.plans import TrackFile, make_plan
from gpen_core.video.searching import find_faces

FACE = (220.0, 110.0)
"""The middle of the astronaut's face in the photograph of 512×512."""


def find_path(frames: int, width: int, height: int) -> np.ndarray:
    """Return [N, 2, 3], maps from the photograph to each frame."""
    t = np.arange(frames) / 25
    scale = height / 360 * (1 + 0.12 * np.sin(2 * np.pi * 0.3 * t))
    angle = 0.15 * np.sin(2 * np.pi * 0.4 * t)
    x = width / 2 + 0.12 * width * np.sin(2 * np.pi * 0.25 * t)
    y = height * 0.45 + 0.05 * height * np.sin(2 * np.pi * 0.5 * t)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    left = x - cosine * FACE[0] + sine * FACE[1]
    top = y - sine * FACE[0] - cosine * FACE[1]
    rows = [np.stack([cosine, -sine, left], 1), np.stack([sine, cosine, top], 1)]
    return np.stack(rows, axis=1)


def draw(matrix: np.ndarray, width: int, height: int, seed: int | None) -> np.ndarray:
    """Draw one frame; without a seed it is clean."""
    picture = cv2.warpAffine(
        data.astronaut(), matrix, (width, height), flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip
    if seed is None:
        return picture
    noise = np.random.default_rng(seed).normal(0, 12, picture.shape)
    noisy = np.clip(picture + noise, 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1)


def make_film(path: Path, frames: int, width: int) -> np.ndarray:
    """Write the film; return its path."""
    height = width * 9 // 16 // 2 * 2
    matrices = find_path(frames, width, height)
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "crf": "8"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, matrix in enumerate(matrices):
            picture = draw(matrix, width, height, number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return matrices


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def measure_steadiness(frames: int, width: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        matrices = make_film(folder / "in.mp4", frames, width)
        model, detector = gpen.load_gpen("builtin"), gpen.load_detector("mtcnn")
        report_landmarks(folder, detector, matrices)
        before = read(folder / "in.mp4")
        report_pictures("given", before, matrices)
        for steady in (False, True):
            options = gpen.VideoOptions(steady=steady, crf=4, preset="veryfast")
            target = folder / f"{steady}.mp4"
            gpen.restore_video(model, detector, folder / "in.mp4", target, options)
            report_pictures("steady" if steady else "frame by frame", read(target), matrices)


def report_landmarks(folder: Path, detector, matrices: np.ndarray) -> None:
    options, film = gpen.VideoOptions(), inspect_film(folder / "in.mp4")
    records, _ = find_faces(film, detector, options, "gpen", TrackFile(folder / "t"), Watcher())
    paths = {}
    for steady in (False, True):
        plan = make_plan(records, "gpen", steady=steady)
        longest = np.bincount(plan.tracks).argmax()
        rows = plan.faces[np.flatnonzero(plan.tracks == longest)]
        inverse = [np.linalg.inv(np.vstack([matrices[n], [0, 0, 1]]))[:2] for n in rows.frame]
        back = np.stack(
            [p @ m[:, :2].T + m[:, 2] for p, m in zip(rows.landmarks, inverse, strict=True)]
        )
        truth = np.stack(
            [back.mean(axis=0) @ matrices[n][:, :2].T + matrices[n][:, 2] for n in rows.frame]
        )
        paths[steady] = rows.landmarks - truth
    for steady, error in paths.items():
        jitter = np.sqrt((np.diff(error, 2, axis=0) ** 2).sum(axis=2).mean())
        away = np.sqrt((error**2).sum(axis=2)).mean()
        name = "smoothed" if steady else "found"
        print(f"landmarks {name}: jitter {jitter:.3f} px, error {away:.3f} px")


def report_pictures(name: str, pictures: list[np.ndarray], matrices: np.ndarray) -> None:
    """Print the difference of neighbouring frames in the photograph's frame, PSNR, sharpness."""
    height, width = pictures[0].shape[:2]
    side = int(height / 3.2)
    view = np.float32([[1, 0, side / 2 - FACE[0]], [0, 1, side / 2 - FACE[1]]])
    faces, errors = [], []
    for picture, matrix in zip(pictures, matrices, strict=True):
        back = np.vstack([view, [0, 0, 1]]) @ np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
        clean = draw(matrix, width, height, None)
        for store, source in ((faces, picture), (errors, clean)):
            store.append(cv2.warpAffine(source, back[:2], (side, side), flags=cv2.INTER_CUBIC))
    given, clean = np.float32(faces), np.float32(errors)
    change = np.abs(np.diff(given, axis=0)).mean()
    psnr = 10 * np.log10(255**2 / ((given - clean) ** 2).mean())
    sharp = np.mean([cv2.Laplacian(one.mean(axis=2), cv2.CV_32F).std() for one in given])
    print(f"{name}: frame to frame {change:.2f} levels, PSNR {psnr:.2f} dB, sharpness {sharp:.2f}")


def measure_run(frames: int, width: int) -> None:
    """Restore one film in this process; print its peak memory and the time of a frame."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [
            "film",
            "--frames",
            str(frames),
            "--width",
            str(width),
            "-o",
            str(folder / "in.mp4"),
        ]
        subprocess.run([sys.executable, __file__, *words], check=True)  # its memory is not ours
        model, detector = gpen.load_gpen("builtin"), gpen.load_detector("mtcnn")
        stages: dict[str, list[float]] = {}

        def note(stage: str, done: int, total: int) -> None:
            stages.setdefault(stage, []).append(time.perf_counter())

        options = gpen.VideoOptions(preset="veryfast")
        begun, processor = time.perf_counter(), time.process_time()
        target = folder / "out.mp4"
        gpen.restore_video(model, detector, folder / "in.mp4", target, options, on_progress=note)
        seconds, used = time.perf_counter() - begun, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    paces = ", ".join(
        f"{stage} {1000 * (t[-1] - t[0]) / max(1, len(t) - 1):.0f} ms"
        for stage, t in stages.items()
    )
    print(
        f"{frames} frames of {width} px: {seconds:.1f} s, {1000 * used / frames:.0f} ms of "
        f"processor a frame ({paces} by the clock), peak {peak:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("steady", "memory", "speed", "run", "film"))
    parser.add_argument("--frames", default=None)
    parser.add_argument("--width", type=int, default=None)
    parser.add_argument("-o", "--output", type=Path, default=None)
    args = parser.parse_args()
    if args.what == "steady":
        measure_steadiness(int(args.frames or 75), args.width or 640)
    elif args.what == "film":
        make_film(args.output, int(args.frames), args.width)
    elif args.what == "run":
        measure_run(int(args.frames), args.width)
    else:
        default, width = ("150,600", 640) if args.what == "memory" else ("50", 1920)
        for frames in (args.frames or default).split(","):
            words = ["run", "--frames", frames, "--width", str(args.width or width)]
            subprocess.run([sys.executable, __file__, *words], check=True)


if __name__ == "__main__":
    main()
