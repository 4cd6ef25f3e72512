"""Read and write the image files of a command, as its options ask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..media import check_writable, find_losses, find_size, limits, read_picture, write_picture
from .running import SAID_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..media import Picture
    from .jobs import FileOptions, Job


class ImageFiles:
    """Reads inputs and writes results. It tells each kind of loss once in its life."""

    def __init__(self, options: FileOptions, on_notice: Callable[[str, str], None]) -> None:
        """Take a command's options.

        Args:
            options: the options.
            on_notice: called with a file's name and what the user should know of it: the memory
                that a large picture takes, damage, and what its result cannot keep.
        """
        self._options = options
        self._on_notice = on_notice
        self._told: set[str] = set()

    def replacing(self, options: FileOptions) -> ImageFiles:
        """Return the same with other options; what was told is not told again."""
        other = ImageFiles(options, self._on_notice)
        other._told = self._told
        return other

    def read(self, job: Job, *, scale: int = 1, opaque: bool = False) -> Picture:
        """Read the picture of a job, and refuse it if its result could not be written.

        Args:
            job: the file and the path of its result.
            scale: how much larger the result will be.
            opaque: the result may lose its transparency, so that its format is checked later.

        Raises:
            ImageError: the file cannot be read, or the result's format cannot hold the picture.
        """
        options, name = self._options, str(job.source)
        if options.allow_large:
            size = find_size(job.source)
            if size[0] * size[1] > limits.find_pixel_limit():
                self._on_notice(name, f"{limits.describe_memory(size, scale=scale)}.")
        picture = read_picture(
            job.source,
            strict=options.strict,
            allow_large=options.allow_large,
            on_damage=lambda message: self._on_notice(name, message),
        )
        width, height = picture.size
        checked = replace(picture, alpha=None) if opaque else picture
        check_writable(job.target, checked, (scale * width, scale * height))
        return picture

    def write(self, job: Job, picture: Picture) -> None:
        """Write the result of a job.

        Raises:
            ImageError: it cannot be written, or exists and may not be replaced.
        """
        write_picture(job.target, picture, overwrite=self._options.overwrite)
        new = [loss for loss in find_losses(job.target, picture) if loss not in self._told]
        self._told.update(new)
        if new:
            message = f"the result does not keep {'; '.join(new)} {SAID_ONCE}"
            self._on_notice(str(job.source), message)
