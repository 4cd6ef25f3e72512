"""Measures how many faces each detector finds, how steady its landmarks are, and how fast it is.

    python benchmarks/detectors.py [--device cpu] [--threads 2]

The results are in NOTES.md, section Detectors. A detector is measured if its weights are in the
catalogue's folders or in `../shared/weights`; photographs and faces are read from `../shared`.

The first table is about photographs. We looked at these when we chose the thresholds.

- right: photographs of MANIFEST.tsv in which the detector finds the right number of faces;
- crowds: faces found in the photographs whose number of faces is unknown;
- mirror: how far the landmarks move if we mirror the picture and mirror the landmarks back. This
  is an error of the landmarks. It is the median, in percent of the face's width;
- 12 MP: seconds for a photograph of 4000 × 3000 pixels, the best of three.

The second table is about aligned faces, on which no setting was chosen. They have a grey margin and
are 256 px large or shrunk to 64 px.

- missed: images in which the detector finds no face;
- several: images in which it finds more than one;
- mirror: as above.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from gpen_core import DetectorError, detect, load_detector
from gpen_core.detectors import DETECTORS

SHARED = Path(__file__).parents[2] / "shared"
FILES = {
    "retinaface_mobile0.25": SHARED / "weights" / "detection_mobilenet0.25_Final.pth",
    "yunet": SHARED / "weights" / "yunet_n_dynamic.onnx",
}
MIRRORED = [1, 0, 2, 4, 3]
"""The order of our landmarks after mirroring a face."""


def read_upright(file: Path) -> torch.Tensor:
    """Read an image file as [1, 3, H, W] float32 RGB in [0, 1], turned as its EXIF asks."""
    picture = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255


def measure_mirror_errors(detector, image: torch.Tensor, faces) -> torch.Tensor:
    """Compare the landmarks with those found in the mirrored image.

    Returns:
        [K] mean distances of a face's landmarks, in face widths, for faces found in both images.
    """
    again = detect(detector, image.flip(3)).landmarks[:, MIRRORED]
    if not len(faces) or not len(again):
        return torch.zeros(0)
    again = torch.stack([image.shape[3] - again[..., 0], again[..., 1]], dim=2)
    distances = (faces.landmarks[:, None] - again).norm(dim=3).mean(dim=2) / faces.widths[:, None]
    nearest = distances.amin(dim=1)
    return nearest[nearest < 0.5]


def time_detector(detector, image: torch.Tensor) -> float:
    times = []
    for _ in range(4):  # the first call warms up
        start = time.perf_counter()
        detect(detector, image)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def measure_photographs(name: str, device: str) -> tuple[str, ...]:
    detector = load_detector(name, device=device, weights=FILES.get(name))
    known, right, crowd, errors = 0, 0, 0, []
    lines = (SHARED / "photos" / "MANIFEST.tsv").read_text("utf-8").splitlines()
    for line in lines[1:]:
        file, *_, count = line.split("\t")
        image = read_upright(SHARED / "photos" / file)
        faces = detect(detector, image)
        errors.append(measure_mirror_errors(detector, image, faces))
        if count.strip():
            known += 1
            right += len(faces) == int(count)
        else:
            crowd += len(faces)
    photo = read_upright(SHARED / "photos" / "meeting_dark.jpg")
    photo = F.interpolate(photo, (4000, 3000), mode="bicubic", antialias=True).clamp(0, 1)
    median = 100 * float(torch.cat(errors).median())
    taken = time_detector(detector, photo)
    return name, f"{right} of {known}", str(crowd), f"{median:.2f} %", f"{taken:.2f} s"


def measure_faces(name: str, device: str, size: int) -> tuple[str, ...]:
    detector = load_detector(name, device=device, weights=FILES.get(name))
    missed, several, errors = 0, 0, []
    lines = (SHARED / "faces" / "INDEX.tsv").read_text("utf-8").splitlines()[1:]
    for line in lines:
        image = read_upright(SHARED / "faces" / line.split("\t")[0])
        image = F.interpolate(image, (size, size), mode="bilinear", antialias=True)
        image = F.pad(image, [size // 4] * 4, value=0.5)
        faces = detect(detector, image)
        missed += len(faces) == 0
        several += len(faces) > 1
        errors.append(measure_mirror_errors(detector, image, faces))
    median = 100 * float(torch.cat(errors).median())
    return name, f"{size} px", f"{missed} of {len(lines)}", str(several), f"{median:.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"device {options.device}, {options.threads} threads, PyTorch {torch.__version__}")
    here = []
    for name in DETECTORS:
        try:
            load_detector(name, device=options.device, weights=FILES.get(name))
            here.append(name)
        except DetectorError as error:
            print(f"{name} is not measured: {error}")
    print("\n| detector | right | crowds | mirror | 12 MP |\n|---|---|---|---|---|")
    for name in here:
        print("|", " | ".join(measure_photographs(name, options.device)), "|", flush=True)
    print("\n| detector | faces | missed | several | mirror |\n|---|---|---|---|---|")
    for name in here:
        for size in (256, 64):
            print("|", " | ".join(measure_faces(name, options.device, size)), "|", flush=True)


if __name__ == "__main__":
    main()
