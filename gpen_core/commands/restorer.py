"""Restore image files one after the other; the networks are loaded once."""

from __future__ import annotations

import copy
import glob
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..align import left_out_messages
from ..detectors import Detector, load_detector
from ..errors import GPENError, ImageError
from ..files import clear_mark, is_unfinished, mark_unfinished, write_atomically
from ..media import Metadata, Picture, write_picture
from ..media.formats import is_same_format
from ..names import RESTORE
from ..pasting.background import Upscaler, enlarge, load_upscaler
from ..pipeline import restore_detected
from ..restore import restore_pixels
from ..select import choose_faces
from .find_options import find_chosen_faces
from .image_files import ImageFiles
from .mask_options import choose_regions, load_chosen_parser
from .model_options import load_model
from .pasting_options import make_paste_options
from .reporting import FaceReports
from .running import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..faces import Crops, Faces
    from ..pasting.parsing import LabelParser
    from ..progress import OnProgress
    from ..runner import Runner
    from .jobs import Job
    from .restore_options import RestoreOptions
    from .running import OnJobProgress


@dataclass(frozen=True)
class Restorer:
    """The options of `gpen restore` and the networks that they name.

    Attributes:
        options: the options.
        model: the network that restores faces.
        detector: the face detector; None if each input is one aligned face.
        upscaler: the network that enlarges the background, if there is one.
        parser: the network that finds the parts of a face, if masks need it.
        regions: the parts to paste.
        files: reads the inputs and writes the results.
        reports: writes what was done to each face, if the options ask for it.
        notify: called with a file's name and what the user should know of it.
    """

    options: RestoreOptions
    model: Runner
    detector: Detector | None
    upscaler: Upscaler | None
    parser: LabelParser | None
    regions: tuple[str, ...]
    files: ImageFiles
    reports: FaceReports
    notify: Callable[[str, str], None]

    @classmethod
    def load(
        cls, options: RestoreOptions, on_notice: Callable[[str, str], None] | None = None
    ) -> Restorer:
        """Load the networks that the options name.

        Args:
            options: the options.
            on_notice: called with a file's name and what the user should know of it.

        Raises:
            GPENError: a network cannot be loaded, or the model's size is not `--size`.
        """
        device, dtype = options.device, options.dtype
        regions = choose_regions(options)  # before anything is loaded
        notify = on_notice or (lambda name, message: None)
        model = load_model(options, RESTORE, notify)
        detector = upscaler = None
        if not options.aligned:
            weights = options.detector_weights
            detector = load_detector(options.detector, device=device, weights=weights)
        if options.upscaler:
            upscaler = load_upscaler(options.upscaler, device=device, dtype=dtype)
            if options.scale == 1 and upscaler.scale > 1:
                raise GPENError(
                    f"--upscaler enlarges {upscaler.scale} times, and nothing without --scale 2 or "
                    "--scale 4. Without --scale, name one of scale 1, which only cleans."
                )
        parser = load_chosen_parser(options, device)
        files = ImageFiles(options, notify)
        reports = FaceReports(options, model, detector)
        return cls(options, model, detector, upscaler, parser, regions, files, reports, notify)

    def replacing(self) -> Restorer:
        """Return one with the same networks that replaces existing results."""
        options = copy.copy(self.options)
        options.overwrite = True
        return replace(self, options=options, files=self.files.replacing(options))

    def restore(self, job: Job, on_progress: OnJobProgress) -> Outcome:
        """Restore one file; return what was done.

        Raises:
            GPENError: the file cannot be read, restored or written. No incomplete file is left.
        """
        options = self.options
        if job.is_film and self.detector is not None:
            from .films import restore_film  # imports PyAV

            paste = make_paste_options(options, None, self.regions, self.parser)
            return restore_film(
                job, options, paste, self.model, self.detector, on_progress, self.notify
            )
        # With --skip-existing the result is missing, so that what lies beside it is outdated.
        replace_extras = options.overwrite or options.skip_existing or is_unfinished(job.target)
        if not replace_extras:
            self._refuse_existing(job)
        outcome = self._restore(job, on_progress, replace_extras=replace_extras)
        clear_mark(job.target)
        return outcome

    def _restore(self, job: Job, on_progress: OnProgress, *, replace_extras: bool) -> Outcome:
        """Restore one file; `replace_extras` allows to replace comparison and faces only."""
        options = self.options
        picture = self.files.read(job, scale=options.scale)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        if self.detector is None:
            return self._restore_aligned(job, picture, on_progress, replace_extras=replace_extras)
        image = picture.pixels.to(self.model.device)
        background = None
        if options.scale > 1 or self.upscaler:
            background = enlarge(image, options.scale, upscaler=self.upscaler)
        if options.find_in == "background" and background is not None:
            image, background = background, None
        count = 0
        shares: list[float] = []
        messages: list[str] = []
        chosen: list[Faces] = []

        def report_left_out(faces: Faces) -> None:
            messages.extend(left_out_messages(faces))

        def save_crops(crops: Crops) -> None:
            nonlocal count
            if options.save_faces:
                self._save_crops(job, picture, crops, first=count + 1, overwrite=replace_extras)
            count += len(crops)

        faces = find_chosen_faces(self.detector, image, options, self.model.config.in_size)
        found = len(faces)
        faces = choose_faces(faces, options.faces)
        result = restore_detected(
            self.model,
            image,
            faces,
            make_paste_options(options, background, self.regions, self.parser),
            template=options.template,
            max_faces=options.max_faces,
            batch_size=options.batch_size,
            colour=options.colour,
            on_progress=on_progress,
            on_restored=save_crops,
            on_left_out=report_left_out,
            on_chosen=chosen.append,
            leave_clean=options.leave_clean,
            on_weighed=lambda found, _: shares.extend(found),
            # A comparison and a report need the picture as it was.
            in_place=not (options.compare or self.reports.wanted),
        )
        self.reports.write(job, picture, result, chosen[0], overwrite=replace_extras)
        restored = picture.with_pixels(result.image.cpu())
        del result, image, background  # fewer copies of a large picture while it is written
        clean = shares.count(0)
        count -= clean
        if count:
            self._write(job, picture, restored, replace_extras=replace_extras)
            outcome = _describe_restored(count, clean)
        else:
            reason = _explain_none(found, len(faces), clean)
            outcome = f"{reason}; {self._write_without_faces(job, restored)}"
        if messages:
            outcome = "\n  ".join([f"{outcome}; {len(messages)} left out", *messages])
        return Outcome(outcome, count)

    def _restore_aligned(
        self, job: Job, picture: Picture, on_progress: OnProgress, *, replace_extras: bool
    ) -> Outcome:
        width, height = picture.size
        if width != height:
            raise ImageError(
                f"{job.source} is {width} × {height} px; an aligned face is square. Leave "
                "--aligned out (with run_gpen.py: add --face_align), and the faces are found and "
                "cut."
            )
        restored = restore_pixels(
            self.model,
            picture.pixels,
            strength=self.options.strength,
            leave_clean=self.options.leave_clean,
            batch_size=self.options.batch_size,
            colour=self.options.colour,
            on_progress=on_progress,
        )
        after = picture.with_pixels(restored)
        self._write(job, picture, after, replace_extras=replace_extras)
        return Outcome("restored as an aligned face", 1)

    def _write(self, job: Job, before: Picture, after: Picture, *, replace_extras: bool) -> None:
        """Write the comparison if it was asked for, and last the restored picture.

        If the run is interrupted in between, the result is missing, and a second run makes it.
        """
        if self.options.compare:
            self._write_comparison(job, before, after, overwrite=replace_extras)
        self.files.write(job, after)

    def _write_comparison(
        self, job: Job, before: Picture, after: Picture, *, overwrite: bool
    ) -> None:
        pixels = before.pixels
        if before.size != after.size:
            size = (after.pixels.shape[2], after.pixels.shape[3])
            pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True)
        both = torch.cat([pixels, after.pixels], dim=3)
        mark_unfinished(job.target)
        job.comparison.parent.mkdir(parents=True, exist_ok=True)
        write_picture(job.comparison, _replace_pixels(after, both), overwrite=overwrite)

    def _write_without_faces(self, job: Job, picture: Picture) -> str:
        """Write a picture of which no face was restored; return how.

        The file is copied if neither its size nor its kind changes.
        """
        if self.options.scale > 1 or self.upscaler:
            self.files.write(job, picture)
            return "enlarged only" if self.options.scale > 1 else "cleaned by the upscaler only"
        if not is_same_format(job.source, job.target):
            self.files.write(job, picture)
            return "converted only"
        with write_atomically(job.target, overwrite=self.options.overwrite) as scratch:
            shutil.copyfile(job.source, scratch)
        return "copied unchanged"

    def _save_crops(
        self, job: Job, picture: Picture, crops: Crops, *, first: int, overwrite: bool
    ) -> None:
        """Write each restored face to its file; the first one has the number `first`."""
        mark_unfinished(job.target)
        job.crop_stem.parent.mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(crops.pixels.cpu(), start=first):
            crop = _replace_pixels(picture, pixels[None])
            write_picture(job.crop_path(number), crop, overwrite=overwrite)

    def _refuse_existing(self, job: Job) -> None:
        """Raise ImageError for existing files beside the result, before any work is done."""
        extras = self.reports.find_paths(job)
        extras += [job.comparison] if self.options.compare else []
        if self.options.save_faces:
            stem = job.crop_stem
            extras += stem.parent.glob(f"{glob.escape(stem.name)}-[0-9]*.png")
        for path in extras:
            if path.exists():
                raise ImageError(f"{path} exists; pass --overwrite to replace it.")


def _replace_pixels(picture: Picture, pixels: torch.Tensor) -> Picture:
    """Return other pixels in the colours of a picture, without its transparency and EXIF."""
    metadata = Metadata(icc=picture.metadata.icc)
    return replace(picture, pixels=pixels, alpha=None, metadata=metadata).with_pixels(pixels)


def _describe_restored(count: int, clean: int) -> str:
    """Say how many faces were restored, and how many were left because they are clean."""
    return f"{_count_faces(count)} restored" + (f", {clean} clean left" if clean else "")


def _explain_none(found: int, chosen: int, clean: int) -> str:
    """Say why no face was restored."""
    if clean:
        return f"{_count_faces(clean)} found, clean"
    return f"none of {found} faces chosen" if found > chosen else "no face found"


def _count_faces(count: int) -> str:
    return f"{count} face{'' if count == 1 else 's'}"
