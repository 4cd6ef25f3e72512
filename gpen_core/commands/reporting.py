"""The reports of `gpen restore`: pages and sidecars that say what was done to each face."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .. import __version__
from ..checkpoints import catalog
from ..errors import ImageError
from ..files import mark_unfinished, sha256
from ..printable import printable
from ..reports import report
from ..reports.html import write_page
from ..reports.pages import make_report_page
from .batch_options import WITHOUT_EFFECT

if TYPE_CHECKING:
    from ..detectors import Detector
    from ..faces import Faces
    from ..media import Picture
    from ..pasting import Pasted
    from ..runner import Runner
    from .jobs import Job

FORMAT = "gpen report 1"
"""Names the kind of our JSON. A later version may add names, and changes none."""

NO_CHOICES = WITHOUT_EFFECT | {
    "batch_size", "compare", "model", "report", "save_faces", "sidecar", "size", "strict",
}  # fmt: skip
"""Options that say nothing about how a face was restored."""


class ReportOptions(Protocol):
    """The options of reports, as `commands.restore` defines them."""

    model: str
    report: Path | None
    sidecar: bool


class FaceReports:
    """Writes the reports of the files that one command restores."""

    def __init__(self, options: ReportOptions, model: Runner, detector: Detector | None) -> None:
        self._options, self._model, self._detector = options, model, detector

    @property
    def wanted(self) -> bool:
        """Whether the options ask for a report."""
        return self._options.report is not None or self._options.sidecar

    def find_paths(self, job: Job) -> list[Path]:
        """List the files that are written for a job."""
        paths = [job.sidecar] if self._options.sidecar else []
        folder = self._options.report
        if folder is not None:
            paths += [job.report_path(folder, ending) for ending in (".html", ".json")]
        return list(dict.fromkeys(paths))

    def write(
        self, job: Job, picture: Picture, result: Pasted, faces: Faces, *, overwrite: bool
    ) -> None:
        """Write the reports of a job before its result, if the options ask for any.

        Args:
            job: the file.
            picture: the photograph as it was.
            result: what its faces became.
            faces: the faces that were restored, found in the photograph or in its background.
            overwrite: whether existing reports may be replaced.

        Raises:
            ImageError: a report exists and may not be replaced.
            OSError: it cannot be written.
        """
        if not self.wanted:
            return
        image = picture.pixels.to(result.image.device)
        # They may have been found in the enlarged background.
        of_photograph = faces.at_size(*image.shape[2:])
        found = report(image, result, of_photograph, detector=self._detector)
        facts = {**self._describe(job), **found.to_json()}
        data = json.dumps(facts, indent=2, ensure_ascii=True) + "\n"
        mark_unfinished(job.target)
        for path in self.find_paths(job):
            page = data
            if path.suffix == ".html":
                title, profile = printable(job.source.name), picture.metadata.icc
                page = make_report_page(title, found, _tell(facts), profile=profile)
            try:
                write_page(path, page, overwrite=overwrite)
            except FileExistsError as error:
                raise ImageError(f"{path} exists; pass --overwrite to replace it.") from error

    def _describe(self, job: Job) -> dict[str, Any]:
        """Say with what the faces of a job are restored."""
        return {
            "format": FORMAT,
            "program": f"gpen {__version__}",
            "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "source": {"file": job.source.name, "sha256": sha256(job.source)},
            "target": {"file": job.target.name},
            "model": self._model_facts,
            "detector": self._detector.name if self._detector is not None else None,
            "options": _list_choices(self._options),
        }

    @cached_property
    def _model_facts(self) -> dict[str, Any]:
        path, config = catalog.resolve(self._options.model), self._model.config
        return {
            "name": self._options.model,
            "file": path.name,
            "sha256": sha256(path),
            "in_size": config.in_size,
            "out_size": config.out_size,
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "device": str(self._model.device),
        }


def _list_choices(options: object) -> dict[str, Any]:
    """List the options that say how faces were restored, in values that JSON has."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in sorted(vars(options).items())
        if name not in NO_CHOICES
    }


def _tell(facts: dict[str, Any]) -> dict[str, str]:
    """Say in words how a result was made, for the page."""
    model, source = facts["model"], facts["source"]
    choices = ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in facts["options"].items()
        if value not in (None, False)
    )
    return {
        "Photograph": source["file"],
        "SHA-256 of the photograph": source["sha256"],
        "Result": facts["target"]["file"],
        "Program": f"{facts['program']}, Python {sys.version.split()[0]}",
        "Made": facts["made"],
        "Model": f"{model['name']} ({model['file']}, {model['out_size']} px)",
        "SHA-256 of the model": model["sha256"],
        "Face detector": facts["detector"] or "none",
        "Options": choices,
    }
