"""Numbered previews: faces marked in their image, and contact sheets of their crops."""

from .lettering import draw_label
from .locating import Place, locate_in_previews, locate_in_sheets
from .marks import BOX_COLOUR, LANDMARK_COLOUR, MISSED_COLOUR, draw_faces, number_faces
from .sheet import draw_previews, draw_sheet, draw_sheets

__all__ = [
    "BOX_COLOUR",
    "LANDMARK_COLOUR",
    "MISSED_COLOUR",
    "Place",
    "draw_faces",
    "draw_label",
    "draw_previews",
    "draw_sheet",
    "draw_sheets",
    "locate_in_previews",
    "locate_in_sheets",
    "number_faces",
]
