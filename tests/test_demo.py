"""`make demo` runs and restores the face of its photograph."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def test_the_demo_restores_the_face_and_changes_nothing_else(tmp_path):
    folder = tmp_path / "Bilder für 写真"
    done = subprocess.run(
        [sys.executable, "demo/make_demo.py", "-o", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = ("input.png", "restored.png", "side_by_side.jpg")
    for name in names:
        assert str(folder / name) in done.stdout
    ssim = re.search(r"SSIM ([\d.]+) before, ([\d.]+) after", done.stdout)
    assert ssim and float(ssim[2]) > float(ssim[1]) + 0.02
    psnr = re.search(r"PSNR ([\d.]+) dB before, ([\d.]+) dB after", done.stdout)
    assert psnr and float(psnr[2]) > float(psnr[1]) + 0.1
    pictures = []
    for name in names:
        with Image.open(folder / name) as picture:
            pictures.append(np.asarray(picture).astype(int))
    before, after, side_by_side = pictures
    changed = np.abs(after - before).max(axis=2) > 0
    rows, columns = np.nonzero(changed)
    assert 0.02 < changed.mean() < 0.3
    # The face is in the upper middle of the 512 × 512 photograph.
    assert rows.max() < 300 and columns.min() > 80 and columns.max() < 370
    assert side_by_side.shape == (2 * 512, 3 * 512, 3)
