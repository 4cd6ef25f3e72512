"""Measure the peak memory of `gpen restore` in bytes for each pixel of the photograph.

    python benchmarks/memory.py

It restores photographs of 8 and 24 megapixels, each in a process of its own, and divides the
difference of the two peaks by the difference in pixels. So the interpreter, the libraries and the
networks do not count. One photograph holds six faces (scikit-image's astronaut, NASA), the other
none (its rocket, NASA). Linux and macOS only. Needs the extra `demo`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from skimage import data

MEGAPIXELS = (8, 24)
FORMATS = (".jpg", ".png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detector", default="auto")
    parser.add_argument("options", nargs="*", help="further options of `gpen restore`, after --")
    arguments = parser.parse_args()
    options = ["--detector", arguments.detector, *arguments.options]
    with tempfile.TemporaryDirectory() as folder:
        for name, photograph in (("six faces", six_faces()), ("no face", rocket())):
            for suffix in FORMATS:
                peaks = [
                    measure_restoring(save(photograph, count, Path(folder), suffix), options)
                    for count in MEGAPIXELS
                ]
                slope = (peaks[1] - peaks[0]) / (MEGAPIXELS[1] - MEGAPIXELS[0]) / 1e6
                shown = ", ".join(f"{peak / 1e6:,.0f} MB" for peak in peaks)
                print(f"{name:<10} {suffix}: {slope:5.1f} bytes a pixel ({shown})", flush=True)


def six_faces() -> Image.Image:
    one = Image.fromarray(data.astronaut())
    sheet = Image.new("RGB", (3 * one.width, 2 * one.height))
    for column in range(3):
        for row in range(2):
            sheet.paste(one, (column * one.width, row * one.height))
    return sheet


def rocket() -> Image.Image:
    return Image.fromarray(data.rocket())


def save(photograph: Image.Image, megapixels: int, folder: Path, suffix: str) -> Path:
    """Enlarge the photograph to that many megapixels and write it."""
    scale = (megapixels * 1e6 / (photograph.width * photograph.height)) ** 0.5
    size = (round(photograph.width * scale), round(photograph.height * scale))
    path = folder / f"photograph{suffix}"
    photograph.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def measure_restoring(path: Path, options: list[str]) -> int:
    """Restore a file in a process of its own; return its peak of resident memory in bytes."""
    target = path.with_stem("restored")
    command = [sys.executable, "-m", "gpen_core", "restore", str(path), "-o", str(target)]
    process = subprocess.Popen([*command, "--overwrite", *options], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"`gpen restore` ended with exit code {process.returncode}.")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
