"""Do the other tasks of GPEN on image files; the networks are loaded once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from ..align import left_out_messages
from ..detectors import load_detector
from ..errors import ImageError
from ..files import is_folder, write_atomically
from ..media import read_picture
from ..media.formats import is_same_format
from ..names import COLORIZE, IMAGE_SUFFIXES, INPAINT, SEGMENT_TO_FACE
from ..select import choose_faces
from ..sharpen import luma
from ..tasks.colour import colorize_detected
from ..tasks.holes import HOLE, inpaint_detected
from ..tasks.segmentation import segment_to_face
from .find_options import FindOptions, find_chosen_faces
from .image_files import ImageFiles
from .jobs import FileOptions
from .model_options import ModelOptions, load_model
from .running import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..faces import Faces
    from ..media import Picture
    from ..pasting import Pasted
    from ..progress import OnProgress
    from .jobs import Job

    OnNotice = Callable[[str, str], None]

GREY_PROFILE = b"GRAY"
"""The colour space that a profile of grey pictures names at byte 16."""


class TaskOptions(ModelOptions, FileOptions, Protocol):
    """The options of files and of the model."""

    batch_size: int | None


class FaceTaskOptions(TaskOptions, FindOptions, Protocol):
    """These and the options of finding faces."""


class ColorizeOptions(FaceTaskOptions, Protocol):
    """The options of `gpen colorize`."""

    strength: float
    spread: str | None


class InpaintOptions(FaceTaskOptions, Protocol):
    """The options of `gpen inpaint`."""

    mask: str | None


class SegmentOptions(TaskOptions, Protocol):
    """The options of `gpen segment-to-face`."""

    nearest: bool


class _FaceWorker:
    """The model, the detector and the files of a task that changes faces in photographs."""

    def __init__(self, options: FaceTaskOptions, on_notice: OnNotice, task: str) -> None:
        self.find = options
        self.model = load_model(options, task, on_notice)
        self.detector = load_detector(
            options.detector, device=options.device, weights=options.detector_weights
        )
        self.files = ImageFiles(options, on_notice)

    def detect(self, image: torch.Tensor) -> Faces:
        """Find the faces of an image."""
        size = self.model.config.in_size
        faces = find_chosen_faces(self.detector, image, self.find, size)
        return choose_faces(faces, self.find.faces)

    def write(self, job: Job, picture: Picture, pasted: Pasted, messages: list[str]) -> Outcome:
        """Write the result, or copy the file if nothing changed; return what was done."""
        job.target.parent.mkdir(parents=True, exist_ok=True)
        if bool((pasted.mask > 0).any()):
            self.files.write(job, picture.with_pixels(pasted.image.cpu()))
            outcome = "done"
        elif is_same_format(job.source, job.target):
            with write_atomically(job.target, overwrite=self.find.overwrite) as scratch:
                shutil.copyfile(job.source, scratch)
            outcome = "nothing to do; copied unchanged"
        else:
            self.files.write(job, picture)
            outcome = "nothing to do; converted only"
        return Outcome("\n  ".join([outcome, *messages]))


class Colorizer(_FaceWorker):
    """Colourises the faces of files."""

    def __init__(self, options: ColorizeOptions, on_notice: OnNotice) -> None:
        super().__init__(options, on_notice, COLORIZE)
        self.options = options

    def restore(self, job: Job, on_progress: OnProgress) -> Outcome:
        """Colourise one file; return what was done."""
        picture = self.files.read(job)
        image = picture.pixels.to(self.model.device)
        spread = None
        if self.options.spread:
            spread = _read_mask(self.options.spread, job).to(image)
        messages: list[str] = []
        pasted = colorize_detected(
            self.model,
            image,
            self.detect(image),
            strength=self.options.strength,
            spread=spread,
            template=self.options.template,
            max_faces=self.options.max_faces,
            batch_size=self.options.batch_size,
            on_progress=on_progress,
            on_left_out=lambda faces: messages.extend(left_out_messages(faces)),
        )
        coloured = _allow_colour(picture) if bool((pasted.mask > 0).any()) else picture
        return self.write(job, coloured, pasted, messages)


class Inpainter(_FaceWorker):
    """Fills the holes in the faces of files."""

    def __init__(self, options: InpaintOptions, on_notice: OnNotice) -> None:
        super().__init__(options, on_notice, INPAINT)
        self.options = options

    def restore(self, job: Job, on_progress: OnProgress) -> Outcome:
        """Fill the holes of one file; return what was done."""
        picture = self.files.read(job, opaque=self.options.mask is None)
        image = picture.pixels.to(self.model.device)
        holes = self._find_holes(job, picture).to(image)
        messages: list[str] = []
        pasted = inpaint_detected(
            self.model,
            image,
            self.detect(image),
            holes,
            template=self.options.template,
            max_faces=self.options.max_faces,
            batch_size=self.options.batch_size,
            on_progress=on_progress,
            on_left_out=lambda faces: messages.extend(left_out_messages(faces)),
        )
        left = int(((holes >= HOLE) & (pasted.mask == 0)).sum())
        if left:
            total = int((holes >= HOLE).sum())
            messages.append(f"{left} of {total} pixels of the holes lie outside the faces found")
        if self.options.mask is None and picture.alpha is not None:
            alpha = torch.where(pasted.mask.cpu() > 0, 1, picture.alpha)
            picture = replace(picture, alpha=None if bool((alpha == 1).all()) else alpha)
        return self.write(job, picture, pasted, messages)

    def _find_holes(self, job: Job, picture: Picture) -> torch.Tensor:
        if self.options.mask is not None:
            return _read_mask(self.options.mask, job)
        if picture.alpha is None:
            raise ImageError(
                f"{job.source} has no transparent pixels. Name a mask of its holes with --mask, in "
                "which white is a hole, or make the holes transparent."
            )
        return 1 - picture.alpha


class FacePainter:
    """Paints faces from files of segmentation maps."""

    def __init__(self, options: SegmentOptions, on_notice: OnNotice) -> None:
        self.options = options
        self.model = load_model(options, SEGMENT_TO_FACE, on_notice)
        self.files = ImageFiles(options, on_notice)

    def restore(self, job: Job, on_progress: OnProgress) -> Outcome:
        """Paint the face of one map; return what was done."""
        picture = self.files.read(job)
        messages: list[str] = []
        face = segment_to_face(
            self.model,
            picture.pixels,
            nearest=self.options.nearest,
            batch_size=self.options.batch_size,
            on_progress=on_progress,
            on_replaced=messages.append,
        )
        job.target.parent.mkdir(parents=True, exist_ok=True)
        self.files.write(job, replace(_allow_colour(picture), alpha=None).with_pixels(face))
        return Outcome("\n  ".join(["face painted", *messages]), 1)


def _allow_colour(picture: Picture) -> Picture:
    """Let a grey picture have colours; a colour profile of grey pictures no longer fits it."""
    metadata = picture.metadata
    if metadata.icc[16:20] == GREY_PROFILE:
        metadata = replace(metadata, icc=b"", is_icc_made=False)
    return replace(picture, grey=False, channels=3, metadata=metadata)


def _read_mask(source: str, job: Job) -> torch.Tensor:
    """Read the mask of a job, [1, 1, H, W]: the file itself, or the one of its name in a folder."""
    path = Path(source)
    if is_folder(path):
        stem = job.source.stem
        files = (file for file in path.iterdir() if file.stem == stem)
        found = sorted(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise ImageError(f"{path} holds no mask for {job.source}: expected {stem}.png.")
        path = found[0]
    return luma(read_picture(path).pixels)
