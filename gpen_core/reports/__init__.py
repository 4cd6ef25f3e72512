"""Tell people what was done to each face: figures, words, pictures, as HTML and JSON."""

from .figures import FaceReport, Report
from .measuring import report

__all__ = ["FaceReport", "Report", "report"]
