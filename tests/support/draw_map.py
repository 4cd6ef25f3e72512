"""Draws the segmentation map that comes with the pack, in the palette of Faces from Segmentation.

    python tests/support/draw_map.py

The parts lie where an aligned face of 512 px has them. We drew them: the map shows nobody.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gpen_core.tasks.segmentation import PALETTE  # noqa: E402

FILE = ROOT / "nodes" / "photographs" / "map.png"
SIDE = 512
ELLIPSES = [
    ("hair", (62, 10, 450, 440)),
    ("cloth", (-60, 440, 572, 800)),
    ("neck", (176, 330, 336, 520)),
    ("left ear", (92, 226, 140, 322)), ("right ear", (372, 226, 420, 322)),
    ("skin", (112, 70, 400, 482)),
]  # fmt: skip
"""Part and box (left, top, right, bottom), from the back to the front."""
OUTLINES = [
    ("hair", [(112, 200), (140, 150), (215, 128), (300, 150), (372, 130), (402, 205), (404, 120),
              (330, 50), (190, 45), (110, 110)]),
    ("left brow", [(150, 212), (185, 196), (228, 204), (228, 214), (186, 208), (152, 220)]),
    ("right brow", [(362, 212), (327, 196), (284, 204), (284, 214), (326, 208), (360, 220)]),
    ("left eye", [(163, 242), (180, 231), (205, 231), (222, 244), (205, 251), (180, 251)]),
    ("right eye", [(349, 242), (332, 231), (307, 231), (290, 244), (307, 251), (332, 251)]),
    ("nose", [(246, 236), (266, 236), (276, 290), (292, 314), (284, 328), (256, 334), (228, 328),
              (220, 314), (236, 290)]),
    ("upper lip", [(200, 372), (236, 358), (256, 363), (276, 358), (312, 372), (256, 382)]),
    ("mouth", [(206, 373), (256, 371), (306, 373), (282, 384), (256, 387), (230, 384)]),
    ("lower lip", [(206, 375), (230, 384), (256, 387), (282, 384), (306, 375), (280, 400),
                   (256, 405), (232, 400)]),
]  # fmt: skip


def draw_map() -> Image.Image:
    """Draw the map: every pixel has a colour of the palette."""
    names = list(PALETTE)
    drawn = Image.new("P", (SIDE, SIDE), names.index("background"))
    drawn.putpalette(b"".join(color.to_bytes(3, "big") for color in PALETTE.values()))
    draw = ImageDraw.Draw(drawn)
    for part, box in ELLIPSES:
        draw.ellipse(box, fill=names.index(part))
    for part, points in OUTLINES:
        draw.polygon(points, fill=names.index(part))
    return drawn


if __name__ == "__main__":
    draw_map().save(FILE, optimize=True)
