"""YuNet (Wu et al., MIR 2023): OpenCV's `FaceDetectorYN`, on the CPU."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import DetectorError
from ..faces import Faces
from ..files import name_special
from .interrupts import check_interrupt

if TYPE_CHECKING:
    from pathlib import Path

NMS_IOU = 0.3
"""Intersection over union above which the box with the lower score is dropped."""
CANDIDATES = 5000
"""The largest number of boxes before non-maximum suppression."""


_LOG_ERRORS = 2
"""OpenCV's LOG_LEVEL_ERROR. OpenCV 5 warns on every load that targets cannot be chosen; we choose
none."""


def can_load_dynamic() -> bool:
    """Whether the installed OpenCV can load yunet_n_dynamic.onnx; 4.10 to 4.13 cannot."""
    try:
        import cv2
    except ImportError:
        return False
    return int(cv2.__version__.partition(".")[0]) >= 5


def _set_log_level(level: int) -> int:
    """Set from which level on OpenCV prints; return the level before."""
    import cv2

    place: Any = getattr(cv2.utils, "logging", cv2)  # newer than OpenCV 4.11, else at the top
    return place.setLogLevel(level)


class YuNet:
    """A `Detector` that reads an .onnx file and runs on the CPU.

    Args:
        file: the network, e.g. face_detection_yunet_2023mar.onnx.

    Raises:
        DetectorError: OpenCV is not installed, or the file cannot be read or loaded.
    """

    name = "yunet"
    device = torch.device("cpu")
    threshold = 0.8
    smallest = 16
    largest = 192
    short_side = 320

    def __init__(self, file: Path) -> None:
        try:
            import cv2
        except ImportError as error:
            raise DetectorError(
                f'Detector "yunet" needs OpenCV, which cannot be imported ({error}). '
                "Install it with: pip install opencv-python"
            ) from error
        try:
            if special := name_special(file):
                raise DetectorError(f"`{file}` is {special}; expected a file with weights.")
            # Read it here: OpenCV cannot open every Unicode path on Windows.
            network = np.frombuffer(file.read_bytes(), np.uint8)
        except OSError as error:
            raise DetectorError(f"`{file}` cannot be read: {error.strerror or error}.") from error
        level = _set_log_level(_LOG_ERRORS)
        try:
            self._net = cv2.FaceDetectorYN.create(
                "onnx", network, network[:0], (64, 32), self.threshold, NMS_IOU, CANDIDATES
            )
            # A first run shows whether the file is YuNet and takes images of any size.
            self._net.detect(np.zeros((32, 64, 3), np.uint8))
        except cv2.error as error:
            raise DetectorError(
                f"OpenCV {cv2.__version__} cannot use `{file}` as YuNet ({error.err}). "
                "yunet_n_dynamic.onnx loads in OpenCV 5 only, not in 4.10 to 4.13: use "
                "face_detection_yunet_2023mar.onnx there. `gpen models` says where both are "
                "published."
            ) from error
        finally:
            _set_log_level(level)
        self._lock = threading.Lock()

    def find(self, pixels: torch.Tensor, *, threshold: float, largest: float) -> Faces:
        """Find faces at the scale of the pixels only; see `Detector.find`."""
        del largest  # one pass finds all sizes
        N, _, H, W = pixels.shape
        # Convert to bytes before the copy to the CPU; pad to sides that every stride divides.
        rgb = (pixels.float() * 255).add_(0.5).clamp_(0, 255).byte()
        bgr = F.pad(rgb, (0, -W % 32, 0, -H % 32)).flip(1).permute(0, 2, 3, 1).cpu().numpy()
        with self._lock:  # OpenCV's detector stores size and threshold between calls
            self._net.setInputSize((bgr.shape[2], bgr.shape[1]))
            self._net.setScoreThreshold(threshold)
            found = []
            for frame in bgr:
                check_interrupt()
                found.append(self._net.detect(np.ascontiguousarray(frame))[1])
        found = [np.zeros((0, 15), np.float32) if rows is None else rows for rows in found]
        rows = torch.from_numpy(np.concatenate(found))
        index = torch.repeat_interleave(torch.tensor([len(part) for part in found], device="cpu"))
        boxes = torch.cat([rows[:, :2], rows[:, :2] + rows[:, 2:4]], dim=1)
        return Faces(boxes, rows[:, 4:14].view(-1, 5, 2), rows[:, 14], index, (N, H, W))
