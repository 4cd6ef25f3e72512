"""Measures what restoring keeps of a photograph, and what it gains.

    python benchmarks/fidelity.py masks [PHOTOGRAPH…]

The results are in NOTES.md, section Fidelity. Each section is a function; `SECTIONS` lists them.
Those about finding faces are in `found_faces.py`.

*masks*: faces are damaged, restored with the built-in model and pasted with each kind of mask.
Figures are the PSNR in dB against the undamaged photograph, over the crop's square / over the
face's oval. The first table has the means over scikit-image's astronaut and all faces of the
photographs; parts are drawn by hand for the astronaut only (`drawn_face.py`), so that no parser's
errors are measured. The last table shows how well each mask keeps the background when a crop that
has nothing of the photograph is pasted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from clean_faces import measure_clean
from damages import DAMAGES
from drawn_face import DrawnParser, find_face
from found_faces import measure_landmarks, measure_tiny, measure_turns

import gpen_core as gpen
from gpen_core.align import cut, find_alignment
from gpen_core.commands import bench
from gpen_core.names import FACE_REGIONS
from gpen_core.warp import resize

if TYPE_CHECKING:
    from gpen_core.detectors import Detector

CASES = {
    "box": {"mask_kind": "box"},
    "oval": {"mask_kind": "oval"},
    "parse": {"mask_kind": "parse"},
    "parse, with hair": {"mask_kind": "parse", "regions": (*FACE_REGIONS, "hair")},
}


CROP_SIDE = 256
"""Pixels of a photograph to which its median crop is shrunk: damage has the same scale in all."""


def measure_psnr(one: torch.Tensor, other: torch.Tensor, where: torch.Tensor) -> float:
    """Return the PSNR in dB of [1, 3, S, S] where a mask [1, 1, S, S] is 1."""
    error = ((one - other).square() * where).sum() / (3 * where.sum())
    return float(-10 * torch.log10(error.clamp(min=1e-10)))


def measure_masks(paths: list[Path]) -> list[list[list[str]]]:
    """Return three tables: means over all photographs, the astronaut, and a stranger's crop."""
    from skimage.data import astronaut

    model = gpen.load_gpen("builtin", device="cpu")
    portrait = torch.from_numpy(astronaut()).permute(2, 0, 1)[None] / 255
    detector = gpen.load_detector("mtcnn", device="cpu") if paths else None
    scenes = [(portrait, find_face())]
    scenes += [_read_faces(path, detector) for path in paths if detector is not None]
    count = sum(len(faces) for _, faces in scenes)
    means = [[f"{count} faces", "damaged", "box", "oval"]]
    drawn = [["astronaut", "damaged", *CASES]]
    for name, damage in DAMAGES.items():
        figures = []
        for image, faces in scenes:
            damaged = damage(image)
            crops = gpen.restore(model, gpen.align(damaged, faces, size=model.config.in_size))
            figures += _compare(image, damaged, crops)
        drawn.append([name, *map(_format, figures[0])])
        means.append([name, *map(_format, torch.stack(figures).mean(dim=0)[:3])])
    stranger = [["a stranger's crop", *CASES], ["background", *_paint_stranger(portrait)]]
    return [means, drawn, stranger]


def _format(figures: torch.Tensor) -> str:
    square, face = figures.tolist()
    return f"{square:.2f} / {face:.2f}"


def _read_faces(path: Path, detector: Detector) -> tuple[torch.Tensor, gpen.Faces]:
    """Read a photograph, shrunk until the crops of its faces have about `CROP_SIDE` pixels."""
    image = gpen.read_image(path)
    faces = gpen.detect(detector, image)
    faces = faces[gpen.alignable(faces)]
    affine = find_alignment(faces, size=CROP_SIDE).affine
    scale = float(affine[:, 0, :2].norm(dim=1).median())
    if scale < 1:
        image = resize(image, *(round(side * scale) for side in image.shape[2:])).clamp(0, 1)
        faces = gpen.detect(detector, image)
    return image, faces[gpen.alignable(faces)]


def _compare(clean: torch.Tensor, damaged: torch.Tensor, crops: gpen.Crops) -> list[torch.Tensor]:
    """Return [5, 2] dB for each face: of the damaged image and each mask, in square and face."""
    oval = gpen.paste(damaged, crops, mask_kind="oval", feather=0.01).mask
    images = [damaged]
    for options in CASES.values():
        images.append(gpen.paste(damaged, crops, parser=DrawnParser(), **options).image)
    alignment = crops.alignment.at_size(CROP_SIDE)
    truth = cut(clean, alignment).pixels
    face = cut(oval.expand(-1, 3, -1, -1), alignment).pixels[:, :1]
    pixels = [cut(image, alignment).pixels for image in images]
    return [
        torch.tensor(
            [
                [
                    measure_psnr(crop[[n]], truth[[n]], where[[n]])
                    for where in (torch.ones_like(face), face)
                ]
                for crop in pixels
            ]
        )
        for n in range(len(truth))
    ]


def _paint_stranger(portrait: torch.Tensor) -> list[str]:
    """Return the background's PSNR in dB when a crop is pasted that has nothing of the face."""
    crops = gpen.align(portrait, find_face(), size=256)
    stranger = gpen.Crops(1 - crops.pixels.flip(3), crops.alignment)
    parser = DrawnParser()
    person = parser.find_regions(crops.pixels, (*FACE_REGIONS, "hair"))
    alignment = find_alignment(find_face(), size=parser.size)
    figures = []
    for options in CASES.values():
        pasted = gpen.paste(portrait, stranger, detail=0.0, parser=parser, **options).image
        pixels, truth = (cut(image, alignment).pixels for image in (pasted, portrait))
        figures.append(f"{measure_psnr(pixels, truth, 1 - person):.1f}")
    return figures


Table = list[list[str]]

SECTIONS: dict[str, tuple[str, Callable[[list[Path]], list[Table]]]] = {
    "masks": ("what each kind of mask costs and gains", measure_masks),
    "turns": ("faces found in turned photographs", measure_turns),
    "tiny": ("small faces found", measure_tiny),
    "clean": ("what leave_clean keeps and costs", measure_clean),
    "landmarks": ("how far landmarks move from view to view", measure_landmarks),
}
"""Help and function of each section. A function gets the photographs and returns tables."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = parser.add_subparsers(dest="section", required=True)
    for name, (what, _) in SECTIONS.items():
        section = sections.add_parser(name, help=what)
        section.add_argument("photographs", nargs="*", type=Path, help="photographs with faces")
    options = parser.parse_args()
    _, measure = SECTIONS[options.section]
    print(*map(bench.format_table, measure(options.photographs)), sep="\n\n")


if __name__ == "__main__":
    main()
