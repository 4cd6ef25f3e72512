"""Detection as the nodes do it: kept for the next run, in one bar, and stopped by Cancel.

The host runs a node again when anything changes that is wired into it, such as the model that sets
the crop size. The search for faces is the dearest step on a CPU and depends on less.
"""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch

from ..gpen_core.detectors import detect, refine_landmarks
from ..gpen_core.detectors.interrupts import interruptible
from ..gpen_core.detectors.regions import detect_in_boxes
from . import host
from .files import make_detector, stamp_detector

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..gpen_core.detectors import Detector
    from ..gpen_core.detectors.regions import Missed
    from ..gpen_core.faces import Faces
    from ..gpen_core.progress import OnProgress

    Detection = tuple[Faces, list[Missed]]

MOST_ENTRIES, MOST_FACES = 64, 100_000
"""Detections that are kept, and faces in all of them together: 8 MB, at 76 bytes a face."""


class DetectionCache:
    """The latest detections by key; the least recently used are dropped first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Detection] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str) -> Detection | None:
        """Return the detection of this key, or None."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: str, detection: Detection) -> None:
        """Keep a detection; drop the oldest ones beyond the limits."""
        with self._lock:
            self._entries[key] = detection
            self._entries.move_to_end(key)
            while len(self._entries) > MOST_ENTRIES or self.count_faces() > MOST_FACES:
                self._entries.popitem(last=False)

    def count_faces(self) -> int:
        """Count the faces and missed boxes of all entries."""
        return sum(len(faces) + len(missed) for faces, missed in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)


CACHE = DetectionCache()
_STAMPS: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
"""Which detector and file each detector of Load Face Detector was made from."""


def remember_stamp(detector: Detector, stamp: str) -> None:
    """Note which name and file a detector was made from: an equal one finds the same faces."""
    _STAMPS[detector] = stamp


def find_faces(
    detector: Detector | None,
    pixels: torch.Tensor,
    boxes: list[torch.Tensor] | None,
    conditions: dict[str, Any],
    on_progress: OnProgress,
    *,
    refine: bool,
) -> Detection:
    """Detect faces everywhere, or in the boxes; return them and the boxes without a face.

    Args:
        detector: from Load Face Detector; None chooses one automatically.
        pixels: [B, 3, H, W] RGB in [0, 1].
        boxes: [K, 4] for each image, or None.
        conditions: options of `detect`.
        on_progress: told of every pass. The search may be cancelled inside a pass, too.
        refine: look at each face again to place its landmarks more steadily.
    """
    stamp = stamp_detector() if detector is None else _STAMPS.get(detector)
    key = None if stamp is None else _make_key(pixels, stamp, boxes, conditions)
    load = cache(lambda: detector or make_detector())

    def search() -> Detection:
        if boxes is None:
            return detect(load(), pixels, **conditions, on_progress=on_progress), []
        return detect_in_boxes(load(), pixels, boxes, **conditions, on_progress=on_progress)

    found = _keep(key, search)
    on_progress(1, 1)
    if refine and len(found[0]):
        faces, missed = found
        key = None if key is None else f"{key} refined"
        found = _keep(key, lambda: (refine_landmarks(load(), pixels, faces), missed))
    return found


def _keep(key: str | None, find: Callable[[], Detection]) -> Detection:
    """Return the detection that was kept under a key, or find it and keep it."""
    found = None if key is None else CACHE.get(key)
    if found is None:
        with interruptible(host.stop_if_cancelled):
            found = find()
        if key is not None:
            CACHE.put(key, found)
    return found


def _make_key(
    pixels: torch.Tensor,
    stamp: str,
    boxes: list[torch.Tensor] | None,
    conditions: dict[str, Any],
) -> str:
    """Return a text that is equal only for the same pixels, detector, boxes and conditions."""
    content = hashlib.sha256()
    for image in pixels:  # one by one: a whole video would be copied otherwise
        content.update(image.detach().cpu().contiguous().view(torch.uint8).numpy())
    places = None if boxes is None else [part.tolist() for part in boxes]
    facts = (content.hexdigest(), tuple(pixels.shape), str(pixels.dtype), stamp, places)
    return repr((*facts, sorted(conditions.items())))
