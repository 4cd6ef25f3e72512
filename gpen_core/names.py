"""Names that users choose from: one list of each, for the nodes, the command line and the library.

This module imports nothing, so that `gpen --help` and ComfyUI's list of nodes stay fast.
"""

from __future__ import annotations

AUTO = "auto"
"""Where it is offered, the choice is left to the program."""

DETECTORS = ("retinaface_resnet50", "retinaface_mobile0.25", "mtcnn", "yunet")
"""Face detectors, in the order in which "auto" prefers them; `detectors.registry` says why."""

TEMPLATES = ("gpen", "ffhq")
"""Where a face lies in its crop; `templates.TEMPLATES` holds the points."""

MASK_KINDS = ("box", "oval", "parse")
"""Shapes of the mask with which a crop is pasted; `pasting.masks` draws them."""

PARSERS = ("parsenet", "bisenet")
"""Networks that label the parts of a face, in the order in which "auto" prefers them."""

REGIONS = (
    "skin", "brows", "eyes", "nose", "lips", "mouth", "ears", "glasses", "hair", "hat", "neck",
)  # fmt: skip
"""Parts of a face that a parser tells apart and a user may choose."""

FACE_REGIONS = REGIONS[:8]
"""The parts that are pasted unless the user chooses others: the face, with what is worn on it."""

TURNS = ("auto", "never", "always")
"""Whether `detect` also searches images turned by quarters; `detectors.turns` says how."""

REFINE = ("auto", "on", "off")
"""Whether faces' landmarks are placed again on crops; "auto" leaves it to the model's size."""

COLOURS = ("match", "grey", "keep")
"""Whose colours a restored face has: those of the given crop, those that the network painted unless
the crop is grey, or those that the network painted."""

DTYPES = ("fp32", "bf16", "fp16")
"""Number formats of a network; `devices.DTYPES` holds torch's."""

EXPORT_DTYPES = ("fp32", "fp16")
"""Number formats of exported ONNX files."""

ENGINES = ("gpen", "onnxruntime")
"""What can run an ONNX file: our own network, or ONNX Runtime."""

DEGRADATIONS = ("paper", "second-order", "mixed", "traces", "old")
"""Presets of `degrade`; `degradation.presets` holds their ranges."""

WRITABLE = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif")
"""Suffixes of image files that are written, lower case (AVIF where Pillow was built with it)."""

READ_ONLY = (".gif", ".heic", ".heif", ".jp2", ".pbm", ".pgm", ".ppm", ".psd", ".tga")
"""Suffixes of image files that are not written; some of them can be read."""

IMAGE_SUFFIXES = frozenset((*WRITABLE, *READ_ONLY))
"""Suffixes by which a folder's images are found."""

VIDEO_WRITABLE = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
"""Suffixes of films that are written."""

VIDEO_SUFFIXES = frozenset(
    (
        *VIDEO_WRITABLE,
        *(".3gp", ".avi", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".ts"),
        *(".vob", ".wmv"),
    )
)
"""Suffixes by which a folder's films are found."""

VIDEO_CODECS = ("h264", "hevc", "av1", "vp9")
"""Codecs of films that are written; `video.encoding.ENCODERS` holds their encoders."""

MODEL_SUFFIXES = (".safetensors", ".pth", ".pt", ".onnx")
"""Suffixes of checkpoint files."""

RESTORE, COLORIZE, INPAINT, SEGMENT_TO_FACE = "restore", "colorize", "inpaint", "segment-to-face"
TASKS = (RESTORE, COLORIZE, INPAINT, SEGMENT_TO_FACE)
"""The tasks that GPENs are published for, named like the commands that do them."""
