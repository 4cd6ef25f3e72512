"""The errors that gpen_core raises on purpose. Catch `GPENError` to catch them all."""


class GPENError(Exception):
    """A mistake that a user can mend.

    The message says what happened, what was expected and found, and how to mend it.
    """


class CheckpointError(GPENError):
    """A file is not a checkpoint that we can use."""


class ImageError(GPENError):
    """An image or video file cannot be read, written or used."""


class DetectorError(GPENError):
    """A face detector is unknown, lacks its weights, or cannot run here."""


class DeviceError(GPENError):
    """A device or dtype is unknown or absent, or it does not support the request."""


class MismatchError(GPENError, ValueError):
    """Values do not fit together: their shapes, their counts, or the images that they belong to."""


class DownloadError(GPENError):
    """A file that a user asked for could not be fetched."""


class TrainingError(GPENError):
    """Training cannot go on."""
