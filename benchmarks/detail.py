"""Measures what `paste` keeps of a face's fine detail.

    python benchmarks/detail.py [PHOTOGRAPH…]

The results are in NOTES.md, section Fidelity. Without photographs, scikit-image's astronaut is
taken. The largest face of each is scaled to 450 px, damaged, restored with the built-in model in
crops of 256 px, and pasted with shares of the detail from 0 to 1 and with "auto". Figures are the
PSNR in dB against the undamaged photograph in the face's box. The second table has crops that no
network has touched, pasted back with "auto".
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from fidelity import add_noise, blur, shrink

import gpen_core as gpen
from gpen_core.commands import bench
from gpen_core.degradation.jpeg import compress
from gpen_core.warp import resize

WIDTH = 450
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, "auto")
FACES = (20, 30, 50, 100, 300)
CROPS = (256, 512, 1024, 2048)


def add_grain(image: torch.Tensor) -> torch.Tensor:
    """Add noise of σ = 8 levels that is blurred and equal in all channels, as film has it."""
    grain = add_noise(torch.full_like(image[:, :1], 0.5).expand(-1, 3, -1, -1) * 1.0, 20)[:, :1]
    grain = blur(grain.expand(-1, 3, -1, -1) - 0.5, 0.8)[:, :1]
    return (image + grain / grain.std() * 8 / 255).clamp(0, 1)


def as_jpeg(image: torch.Tensor, quality: float) -> torch.Tensor:
    return compress(image, torch.tensor([quality]))


DAMAGES = {
    "clean": lambda image: image,
    "JPEG 50": lambda image: as_jpeg(image, 50),
    "JPEG 30": lambda image: as_jpeg(image, 30),
    "JPEG 15": lambda image: as_jpeg(image, 15),
    "blur 2": lambda image: blur(image, 2),
    "blur 4": lambda image: blur(image, 4),
    "quarter size": lambda image: shrink(image, 4),
    "noise 3": lambda image: add_noise(image, 3),
    "noise 6": lambda image: add_noise(image, 6),
    "noise 12": lambda image: add_noise(image, 12),
    "noise 10, JPEG 40": lambda image: as_jpeg(add_noise(image, 10), 40),
    "grain 8": add_grain,
}


def scale_to(image: torch.Tensor, detector, width: float) -> tuple[torch.Tensor, gpen.Faces]:
    """Scale an image so that its largest face has that width; return it with the face."""
    faces = gpen.detect(detector, image, max_faces=1)
    factor = width / float(faces.widths[0])
    height, columns = (round(side * factor) for side in image.shape[2:])
    image = resize(image, height, columns).clamp(0, 1)
    scales = torch.tensor([columns / faces.image_size[2], height / faces.image_size[1]])
    boxes = (faces.boxes.view(-1, 2, 2) * scales).view(-1, 4)
    landmarks = faces.landmarks * scales
    size = (1, height, columns)
    return image, gpen.Faces(boxes, landmarks, faces.scores, faces.image_index, size)


def measure(result: torch.Tensor, truth: torch.Tensor, faces: gpen.Faces) -> float:
    left, top, right, bottom = faces.boxes[0].int().tolist()
    error = (result - truth)[..., max(0, top) : bottom, max(0, left) : right].square().mean()
    return float(-10 * torch.log10(error.clamp(min=1e-10)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", nargs="*", type=Path)
    paths = parser.parse_args().photographs
    detector = gpen.load_detector("mtcnn", device="cpu")
    model = gpen.load_gpen("builtin", device="cpu")
    images = [gpen.read_image(path) for path in paths] or [load_astronaut()]
    scenes = [scale_to(image, detector, WIDTH) for image in images]
    rows = [["", *(str(share) for share in SHARES), "auto against the best"]]
    for name, damage in DAMAGES.items():
        figures = []
        for image, faces in scenes:
            damaged = damage(image)
            crops = gpen.restore(model, gpen.align(damaged, faces, size=256))
            pasted = [gpen.paste(damaged, crops, detail=share).image for share in SHARES]
            figures.append([measure(result, image, faces) for result in pasted])
        means = torch.tensor(figures).mean(dim=0).tolist()
        best = f"{means[-1] - max(means[:-1]):+.2f}"
        rows.append([name, *(f"{mean:.2f}" for mean in means), best])
    print(bench.format_table(rows), end="\n\n")
    rows = [["face", *(f"crop {size}" for size in CROPS)]]
    for width in FACES:
        image, faces = scale_to(images[0], detector, width)
        pasted = [gpen.paste(image, gpen.align(image, faces, size=size)).image for size in CROPS]
        rows.append([f"{width} px", *(f"{measure(result, image, faces):.1f}" for result in pasted)])
    print(bench.format_table(rows))


def load_astronaut() -> torch.Tensor:
    from skimage.data import astronaut

    return torch.from_numpy(astronaut()).permute(2, 0, 1)[None] / 255


if __name__ == "__main__":
    main()
