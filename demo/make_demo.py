"""Degrades a real photograph, restores its face with the built-in model, and compares the three.

The photograph is scikit-image's astronaut (Eileen Collins, by NASA, public domain).
"""

from __future__ import annotations

import argparse
import io
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import kornia
import numpy as np
import skimage.data
import torch
from PIL import Image, ImageDraw, ImageFont

import gpen_core as gpen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpen_core.pasting import Pasted

SHRINK, NOISE, JPEG_QUALITY = 1, 18.0, 40
"""The degradation: shrink by a factor, add noise of so many levels of 255, save as JPEG, enlarge.

The result looks like a photograph taken in little light and sent by a messenger. The built-in model
is weaker on small faces: `--shrink 4 --noise 5 --quality 75` makes the face 21 px wide.
"""

CLOSE_UP = 1.6
"""Side of the close-up, as a multiple of the height of the face's box."""


def degrade(
    photograph: np.ndarray,
    shrink: int = SHRINK,
    noise: float = NOISE,
    quality: int = JPEG_QUALITY,
) -> Image.Image:
    """Degrade a photograph [H, W, 3] uint8 as above, with fixed noise; the size stays the same."""
    height, width = photograph.shape[:2]
    size = (width // shrink, height // shrink)
    small = Image.fromarray(photograph).resize(size, Image.Resampling.BOX)
    grain = np.random.default_rng(0).normal(0, noise, (size[1], size[0], 3))
    noisy = Image.fromarray((np.asarray(small) + grain).round().clip(0, 255).astype(np.uint8))
    file = io.BytesIO()
    noisy.save(file, "JPEG", quality=quality)
    return Image.open(file).resize((width, height), Image.Resampling.BICUBIC)


def psnr(image: torch.Tensor, original: torch.Tensor, inside: torch.Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB inside a mask [B, 1, H, W]."""
    square = ((image - original) ** 2)[inside.expand_as(image)]
    return float(-10 * square.mean().log10())


def ssim(image: torch.Tensor, original: torch.Tensor, inside: torch.Tensor) -> float:
    """Return the structural similarity (Wang et al. 2004) inside a mask [B, 1, H, W]."""
    similarity = kornia.metrics.ssim(image, original, 11)
    return float(similarity[inside.expand_as(image)].mean())


def draw_side_by_side(pictures: dict[str, Image.Image], face_box: torch.Tensor) -> Image.Image:
    """Draw the named pictures in a row, and below each a close-up of its face at the same width."""
    x0, y0, x1, y1 = face_box.tolist()
    reach = CLOSE_UP * (y1 - y0) / 2
    centre_x, centre_y = (x0 + x1) / 2, (y0 + y1) / 2
    square = (centre_x - reach, centre_y - reach, centre_x + reach, centre_y + reach)
    width, height = next(iter(pictures.values())).size
    sheet = Image.new("RGB", (len(pictures) * width, height + width))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=width // 20)
    for column, (name, picture) in enumerate(pictures.items()):
        left = column * width
        sheet.paste(picture, (left, 0))
        close_up = picture.resize((width, width), Image.Resampling.BICUBIC, box=square)
        sheet.paste(close_up, (left, height))
        draw.text(
            (left + width // 40, height - width // 12), name, "white", font, stroke_width=2,
            stroke_fill="black",
        )  # fmt: skip
    return sheet


@contextmanager
def time_step(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Add the seconds that a `with` block takes."""
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start


def restore_input(
    folder: Path, model: gpen.GPEN, seconds: dict[str, float]
) -> tuple[torch.Tensor, gpen.Faces, Pasted]:
    """Restore input.png in four steps; return its pixels [1, 3, H, W], its faces and the result."""
    with time_step(seconds, "load the detector"):
        detector = gpen.load_detector("mtcnn")
    with time_step(seconds, "read the input"):
        image = gpen.read_image(folder / "input.png")
    with time_step(seconds, "detect"):
        faces = gpen.detect(detector, image)
    if not len(faces):
        raise SystemExit("No face was found in the degraded photograph; this should not happen.")
    with time_step(seconds, "align"):
        crops = gpen.align(image, faces, size=model.config.in_size)
    with time_step(seconds, "restore"):
        restored = gpen.restore(model, crops)
    with time_step(seconds, "paste"):
        result = gpen.paste(image, restored)
    return image, faces, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("demo_output"))
    parser.add_argument("--model", default="builtin", help="a checkpoint instead of the built-in")
    parser.add_argument("--shrink", type=int, default=SHRINK, help="factor (default %(default)s)")
    parser.add_argument(
        "--noise", type=float, default=NOISE, help="σ, levels of 255 (default %(default)s)"
    )
    parser.add_argument(
        "--quality", type=int, default=JPEG_QUALITY, help="of the JPEG (default %(default)s)"
    )
    arguments = parser.parse_args()
    folder = arguments.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}

    with time_step(seconds, "degrade the photograph"):
        original = skimage.data.astronaut()
        degraded = degrade(original, arguments.shrink, arguments.noise, arguments.quality)
        degraded.save(folder / "input.png")
    with time_step(seconds, "load the model"):
        model = gpen.load_gpen(arguments.model)
    image, faces, result = restore_input(folder, model, seconds)
    with time_step(seconds, "write the pictures"):
        gpen.write_image(folder / "restored.png", result.image)
        pictures = {
            "input": Image.open(folder / "input.png"),
            "restored": Image.open(folder / "restored.png"),
            "original": Image.fromarray(original),
        }
        draw_side_by_side(pictures, faces.boxes[0]).save(folder / "side_by_side.jpg", quality=92)

    truth = torch.from_numpy(original).permute(2, 0, 1)[None] / 255
    inside = result.mask.cpu() > 0
    compared = (image.cpu(), result.image.cpu())
    decibels = [psnr(x, truth, inside) for x in compared]
    similarities = [ssim(x, truth, inside) for x in compared]
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"Restored {len(faces)} face with the {arguments.model} model ({model.config.in_size} px, "
        f"{parameters:.1f} M parameters) on {model.device}."
    )
    for step, duration in seconds.items():
        print(f"  {step:<24}{duration:7.2f} s")
    print(
        "Face against the original: SSIM {:.3f} before, {:.3f} after; ".format(*similarities)
        + "PSNR {:.2f} dB before, {:.2f} dB after.".format(*decibels)
    )
    for name in ("input.png", "restored.png", "side_by_side.jpg"):
        print(f"  {folder / name}")


if __name__ == "__main__":
    main()
