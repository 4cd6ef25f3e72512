"""Restores one file after the other with what was loaded once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..align import left_out_messages
from ..checkpoints.loading import load_gpen
from ..detectors import Detector, load_detector
from ..errors import CheckpointError, ImageError
from ..files import write_atomically
from ..media import Metadata, Picture, read_picture, write_picture
from ..media.formats import is_same_format
from ..pasting.background import Upscaler, enlarge, load_upscaler
from ..pipeline import restore_image
from ..restore import restore_pixels

if TYPE_CHECKING:
    import argparse

    from ..arch import GPEN
    from ..faces import Crops, Faces
    from ..progress import OnProgress
    from .jobs import Job


@dataclass(frozen=True)
class Restorer:
    """What restores files: the options given and the networks loaded for them."""

    options: argparse.Namespace
    model: GPEN
    detector: Detector | None
    upscaler: Upscaler | None

    @classmethod
    def load(cls, options: argparse.Namespace) -> Restorer:
        """Load the networks that `options` (of `gpen restore`) name.

        Raises:
            GPENError: one of them cannot be loaded, or restores at another size than `--size`.
        """
        place = {"device": options.device, "dtype": options.dtype}
        model = load_gpen(options.model, **place)
        if options.size not in (None, model.config.out_size):
            raise CheckpointError(
                f"{options.model} restores at {model.config.out_size} px, but --size "
                f"{options.size} was given. Leave it out, or name a model of that size "
                "(`gpen models` lists some)."
            )
        return cls(
            options,
            model,
            detector=None
            if options.aligned
            else load_detector(
                options.detector, device=options.device, weights=options.detector_weights
            ),
            upscaler=load_upscaler(options.upscaler, **place) if options.upscaler else None,
        )

    def restore(self, job: Job, on_progress: OnProgress) -> str:
        """Restore one file, and say in a few words what was done.

        Raises:
            GPENError: it cannot be read, restored or written; nothing half done is left.
        """
        self._refuse_existing(job)
        picture = read_picture(job.source)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        if self.detector is None:
            return self._restore_aligned(job, picture, on_progress)
        options = self.options
        image = picture.pixels.to(self.model.device)
        background = None
        if options.scale > 1:
            background = enlarge(image, options.scale, upscaler=self.upscaler)
        found, left_out = 0, []

        def on_left_out(faces: Faces) -> None:
            left_out.extend(left_out_messages(faces))

        def on_restored(crops: Crops) -> None:
            nonlocal found
            if options.save_faces:
                self._save_faces(job, picture, crops, found)
            found += len(crops)

        feather = {} if options.feather is None else {"feather": options.feather}
        result = restore_image(
            self.model,
            self.detector,
            image,
            strength=options.strength,
            template=options.template,
            detail=options.detail,
            threshold=options.threshold,
            min_size=options.min_size,
            max_faces=options.max_faces,
            background=background,
            batch_size=options.batch_size,
            on_progress=on_progress,
            on_restored=on_restored,
            on_left_out=on_left_out,
            **feather,
        )
        restored = picture.with_pixels(result.image.cpu())
        del result, image, background  # a large picture is written beside few copies of it
        if found:
            self._write(job, picture, restored)
            outcome = f"{found} face{'s' if found > 1 else ''} restored"
        else:
            outcome = self._pass_on(job, restored)
        if left_out:
            outcome = "\n  ".join([f"{outcome}; {len(left_out)} left out", *left_out])
        return outcome

    def _restore_aligned(self, job: Job, picture: Picture, on_progress: OnProgress) -> str:
        width, height = picture.size
        if width != height:
            raise ImageError(
                f"{job.source} is {width} × {height} px; an aligned face is square. Leave "
                "--aligned out (with run_gpen.py: add --face_align) to have faces found and cut."
            )
        restored = restore_pixels(
            self.model,
            picture.pixels,
            strength=self.options.strength,
            batch_size=self.options.batch_size,
            on_progress=on_progress,
        )
        self._write(job, picture, picture.with_pixels(restored))
        return "restored as an aligned face"

    def _write(self, job: Job, before: Picture, after: Picture) -> None:
        overwrite = self.options.overwrite
        write_picture(job.target, after, overwrite=overwrite)
        if not self.options.compare:
            return
        pixels = before.pixels
        if before.size != after.size:
            size = (after.pixels.shape[2], after.pixels.shape[3])
            pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True)
        both = torch.cat([pixels, after.pixels], dim=3)
        job.compare.parent.mkdir(parents=True, exist_ok=True)
        write_picture(job.compare, _bare(after, both), overwrite=overwrite)

    def _pass_on(self, job: Job, picture: Picture) -> str:
        """Write a picture without a face: the very bytes where nothing else is asked for."""
        if self.options.scale > 1:
            write_picture(job.target, picture, overwrite=self.options.overwrite)
            return "no face found; enlarged only"
        if not is_same_format(job.source, job.target):
            write_picture(job.target, picture, overwrite=self.options.overwrite)
            return "no face found; converted only"
        with write_atomically(job.target, overwrite=self.options.overwrite) as scratch:
            shutil.copyfile(job.source, scratch)
        return "no face found; copied as it is"

    def _save_faces(self, job: Job, picture: Picture, crops: Crops, first: int) -> None:
        job.faces.parent.mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(crops.pixels.cpu(), start=first + 1):
            face = _bare(picture, pixels[None])
            write_picture(_face_path(job, number), face, overwrite=self.options.overwrite)

    def _refuse_existing(self, job: Job) -> None:
        """Before the work, not after it."""
        extras = [job.compare] if self.options.compare else []
        extras += [_face_path(job, 1)] if self.options.save_faces else []
        for path in extras:
            if path.exists() and not self.options.overwrite:
                raise ImageError(f"{path} exists; pass --overwrite to replace it.")


def _bare(picture: Picture, pixels: torch.Tensor) -> Picture:
    """Other pixels in the picture's colours, without its transparency and its EXIF."""
    metadata = Metadata(icc=picture.metadata.icc)
    return replace(picture, pixels=pixels, alpha=None, metadata=metadata).with_pixels(pixels)


def _face_path(job: Job, number: int) -> Path:
    return job.faces.with_name(f"{job.faces.name}-{number}.png")
