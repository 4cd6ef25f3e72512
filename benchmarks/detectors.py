"""What each face detector finds in `../shared`, how steady it is, and how long it takes.

    python benchmarks/detectors.py [--device cpu] [--threads 2]

For every detector whose weights are in the catalogue's folders or in `../shared/weights`, on the
photographs (thresholds were chosen while looking at these):

- right: photographs of MANIFEST.tsv in which it finds exactly as many faces as there are;
- crowds: faces found in the photographs whose number of faces is not known;
- mirror: how far landmarks move when the picture is mirrored (and they are mirrored back), the
  median in percent of the face's width: what is left is error of the landmarks;
- 12 MP: seconds for a photograph of 4000 × 3000 pixels, the best of three;

and on the aligned faces, which no setting was chosen on, at 256 px and shrunk to 64 px, each with a
grey margin: pictures with no face found, with more than one, and the same mirror error.
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
"""The order of the landmarks in a mirrored face."""


def read(file: Path) -> torch.Tensor:
    picture = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255


def mirror_errors(detector, image: torch.Tensor, faces) -> torch.Tensor:
    """[K] mean distance of a face's landmarks from those in the mirrored image, in face widths."""
    again = detect(detector, image.flip(3)).landmarks[:, MIRRORED]
    if not len(faces) or not len(again):
        return torch.zeros(0)
    again = torch.stack([image.shape[3] - again[..., 0], again[..., 1]], dim=2)
    distances = (faces.landmarks[:, None] - again).norm(dim=3).mean(dim=2) / faces.widths[:, None]
    nearest = distances.amin(dim=1)
    return nearest[nearest < 0.5]


def seconds(detector, image: torch.Tensor) -> float:
    times = []
    for _ in range(4):  # the first one warms up
        start = time.perf_counter()
        detect(detector, image)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def measure(name: str, device: str) -> tuple[str, ...]:
    detector = load_detector(name, device=device, weights=FILES.get(name))
    known, right, crowd, errors = 0, 0, 0, []
    lines = (SHARED / "photos" / "MANIFEST.tsv").read_text("utf-8").splitlines()
    for line in lines[1:]:
        file, *_, count = line.split("\t")
        image = read(SHARED / "photos" / file)
        faces = detect(detector, image)
        errors.append(mirror_errors(detector, image, faces))
        if count.strip():
            known += 1
            right += len(faces) == int(count)
        else:
            crowd += len(faces)
    photo = read(SHARED / "photos" / "meeting_dark.jpg")
    photo = F.interpolate(photo, (4000, 3000), mode="bicubic", antialias=True).clamp(0, 1)
    median = 100 * float(torch.cat(errors).median())
    taken = seconds(detector, photo)
    return name, f"{right} of {known}", str(crowd), f"{median:.2f} %", f"{taken:.2f} s"


def measure_faces(name: str, device: str, size: int) -> tuple[str, ...]:
    detector = load_detector(name, device=device, weights=FILES.get(name))
    missed, several, errors = 0, 0, []
    lines = (SHARED / "faces" / "INDEX.tsv").read_text("utf-8").splitlines()[1:]
    for line in lines:
        image = read(SHARED / "faces" / line.split("\t")[0])
        image = F.interpolate(image, (size, size), mode="bilinear", antialias=True)
        image = F.pad(image, [size // 4] * 4, value=0.5)
        faces = detect(detector, image)
        missed += len(faces) == 0
        several += len(faces) > 1
        errors.append(mirror_errors(detector, image, faces))
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
        print("|", " | ".join(measure(name, options.device)), "|", flush=True)
    print("\n| detector | faces | missed | several | mirror |\n|---|---|---|---|---|")
    for name in here:
        for size in (256, 64):
            print("|", " | ".join(measure_faces(name, options.device, size)), "|", flush=True)


if __name__ == "__main__":
    main()
