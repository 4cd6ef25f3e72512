"""The errors that gpen_core raises on purpose; catch `GPENError` to catch them all."""


class GPENError(Exception):
    """Something a user can mend: the message says what, expected against found, and how."""


class CheckpointError(GPENError):
    """A file is not a checkpoint that can be used."""


class ImageError(GPENError):
    """An image or video file cannot be read, written or used."""


class DetectorError(GPENError):
    """A face detector is unknown, lacks its weights, or cannot run here."""


class DeviceError(GPENError):
    """A device or dtype is unknown, absent, or cannot do what was asked."""


class MismatchError(GPENError, ValueError):
    """Values that belong together do not fit: shapes, counts, or the image they were made for."""


class DownloadError(GPENError):
    """A file that a user asked for could not be fetched."""


class TrainingError(GPENError):
    """Training cannot go on."""
