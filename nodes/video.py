"""Restore Video: a film in, a film out. Its frames never stand in memory together."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import InputImpl, io

from ..gpen_core.names import COLOURS, RESTORE, VIDEO_WRITABLE
from ..gpen_core.pasting.options import PasteOptions
from ..gpen_core.runner import check_task
from . import host
from .choices import make_find_inputs
from .files import make_detector, stamp_unconnected_detector
from .messages import speaking_to_comfyui
from .ranges import in_range
from .restore import PLANNED_BATCH, make_strength
from .sockets import CATEGORY, GPENModel, make_ui

if TYPE_CHECKING:
    from ..gpen_core.detectors import Detector
    from ..gpen_core.video import VideoReport
    from .hosted import HostedGPEN

FINDING_SHARE = 0.25
"""The part of the bar that finding the faces moves."""
MATROSKA_START = b"\x1aE\xdf\xa3"


class RestoreVideo(io.ComfyNode):
    """Restore the faces of a film, steady from frame to frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENRestoreVideo",
            display_name="Restore Video (GPEN)",
            category=CATEGORY,
            description="Restores the faces of a video, steady from frame to frame, in little "
            "memory. Sound and subtitles are copied; frames without a face stay as they are.",
            search_aliases=["face restore video", "video face enhance", "gpen video",
                            "restore film"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Video.Input("video", tooltip="From Load Video, of any length."),
                GPENModel.Input("model", tooltip="From Load GPEN or Load Face Restorer."),
                make_strength("How much of the restored faces to use. 0: every pixel stays as it "
                              "is. 1: faces are replaced."),
                *make_find_inputs(),
                io.Int.Input("detect_every", optional=True, default=5, min=1, max=100,
                             advanced=True,
                             tooltip="Search the whole picture in every so many frames. Between, "
                             "faces are followed."),
                io.Boolean.Input("steady", optional=True, default=True, advanced=True,
                                 tooltip="Smooth faces over time: their places, and "
                                 "what the model paints anew in every frame."),
                io.Combo.Input("colour", optional=True, options=list(COLOURS), default=COLOURS[0],
                               advanced=True,
                               tooltip="match: the colours of the video, for models that tint "
                               "faces. grey: the model's, but a grey face stays grey. keep: the "
                               "model's."),
                io.Int.Input("crf", optional=True, default=16, min=0, max=51, advanced=True,
                             tooltip="Quality of the encoder (H.264). Lower is better and larger."),
            ],
            outputs=[
                io.Video.Output("video", tooltip="The restored video. Save Video copies it without "
                                "encoding it again."),
                io.String.Output("report", tooltip="Frames, faces, cuts, and what the result does "
                                 "not keep."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        return stamp_unconnected_detector(inputs)

    @classmethod
    @in_range
    def execute(
        cls,
        video: Any,
        model: HostedGPEN,
        strength: float,
        detector: Detector | None = None,
        threshold: float = 0.0,
        detect_every: int = 5,
        steady: bool = True,
        colour: str = COLOURS[0],
        crf: int = 16,
    ) -> io.NodeOutput:
        check_task(model, RESTORE)
        with speaking_to_comfyui():
            # Imports PyAV, which the library needs for films only.
            from ..gpen_core.video import VideoOptions

            start, length = get_window(video)
            options = VideoOptions(
                paste=PasteOptions(strength=strength),
                threshold=threshold or None,
                detect_every=detect_every,
                steady=steady,
                colour=colour,
                crf=crf,
                codec="h264",
                start=start or None,
                end=start + length if length else None,
            )
            model.load(PLANNED_BATCH)
            path, report = restore(video, model, detector or make_detector(), options)
        said = describe(report)
        host.say(cls.hidden.unique_id, said)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), said, ui=make_ui(said=said))


def get_window(video: Any) -> tuple[float, float]:
    """Return the start of the part that the video stands for, and its length; 0 for all."""
    get = getattr(video, "get_active_trim_window", None)
    start, length = get() if get is not None else (0.0, 0.0)
    return float(start), float(length)


def restore(
    video: Any, model: HostedGPEN, detector: Detector, options: Any
) -> tuple[Path, VideoReport]:
    """Restore a video into a new file of the host's temporary folder.

    Nothing else is left there, also not after an error or Cancel.
    """
    from ..gpen_core.video import restore_video
    from ..gpen_core.video.state import find_folder

    finding, rendering = host.make_stages(FINDING_SHARE, 1 - FINDING_SHARE)
    source = video.get_stream_source()
    copy = None
    if not isinstance(source, (str, Path)):
        copy = name_file(choose_suffix(Path(), source.getvalue()[:4]))
        copy.write_bytes(source.getvalue())
    path = copy or Path(source)
    with path.open("rb") as file:
        target = name_file(choose_suffix(path, file.read(4)))

    def on_progress(stage: str, done: int, total: int) -> None:
        (finding if stage == "faces" else rendering)(done, max(total, done))

    try:
        report = restore_video(model, detector, path, target, options, on_progress=on_progress)
    finally:
        shutil.rmtree(find_folder(target), ignore_errors=True)
        if copy is not None:
            copy.unlink(missing_ok=True)
    return target, report


def name_file(suffix: str) -> Path:
    """Return the path of a new file in the host's temporary folder."""
    folder = host.find_temporary_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"gpen-{secrets.token_hex(8)}{suffix}"


def choose_suffix(path: Path, start: bytes) -> str:
    """Return the suffix of the result: the source's if H.264 and its other streams fit in."""
    if start == MATROSKA_START:
        return ".mkv"
    suffix = path.suffix.lower()
    return suffix if suffix in VIDEO_WRITABLE and suffix != ".webm" else ".mp4"


def describe(report: VideoReport) -> str:
    """Say what was done."""
    lines = [
        f"Restored faces in {report.with_faces} of {report.frames} frames "
        f"({_count(report.tracks, 'track')}, {_count(report.cuts, 'cut')})."
    ]
    if report.damage:
        lines.append(f"{report.damage[0].upper()}{report.damage[1:]}.")
    return "\n".join([*lines, *(f"{note[0].upper()}{note[1:]}" for note in report.notices)])


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
