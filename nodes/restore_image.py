"""Restore Image: the four verbs in one node, with every choice that they offer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io

from ..gpen_core.align import alignable, find_alignment, left_out_messages
from ..gpen_core.detectors.refining import chooses_refining
from ..gpen_core.names import RESTORE
from ..gpen_core.pipeline import restore_detected
from ..gpen_core.runner import check_task
from ..gpen_core.warp import resize
from . import host
from .choices import (
    Choices,
    make_choose_inputs,
    make_find_inputs,
    make_paste_inputs,
    make_restore_inputs,
)
from .clickable import compare
from .detections import find_faces
from .enlarging import enlarge
from .files import stamp_parser, stamp_unconnected_detector
from .ranges import in_range
from .reports import count_faces, describe_clean, describe_faces, list_faces
from .restore import PLANNED_BATCH, SEARCH_SHARE, make_strength
from .sockets import (
    CATEGORY,
    AlignedFaces,
    GPENFaces,
    GPENModel,
    from_host_image,
    make_ui,
    to_host_image,
    to_host_mask,
)

if TYPE_CHECKING:
    from ..gpen_core.faces import Crops, Faces
    from ..gpen_core.pasting import Pasted
    from ..gpen_core.pasting.options import PasteOptions
    from ..gpen_core.progress import OnProgress
    from ..gpen_core.runner import RunnerConfig
    from .hosted import HostedGPEN

KEPT_BYTES = 512 << 20
"""Bytes of crops, before and after, that the node gives out: 5 faces at 2048 px, 85 at 512."""


class KeptCrops:
    """The first crops of a run, before and after, while they take at most `KEPT_BYTES`."""

    def __init__(self, config: RunnerConfig) -> None:
        self._sides = config.in_size, config.out_size
        self.most = max(1, KEPT_BYTES // (12 * sum(side**2 for side in self._sides)))
        self._before: list[torch.Tensor] = []
        self._after: list[torch.Tensor] = []

    def keep_before(self, crops: Crops) -> Crops:
        """Keep crops as they were cut; give them back."""
        self._keep(self._before, crops)
        return crops

    def keep_after(self, crops: Crops) -> None:
        """Keep the same crops restored."""
        self._keep(self._after, crops)

    def join(self) -> list[torch.Tensor]:
        """Return the crops before and those after, each [N, S, S, 3]."""
        return [
            torch.cat(kept or [torch.zeros(0, side, side, 3)])
            for kept, side in zip((self._before, self._after), self._sides, strict=True)
        ]

    def _keep(self, kept: list[torch.Tensor], crops: Crops) -> None:
        room = self.most - sum(map(len, kept))
        if room > 0:
            kept.append(to_host_image(crops.pixels[:room]))


class RestoreImage(io.ComfyNode):
    """Detect faces, restore them and paste them back."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GPENRestoreImage",
            display_name="Restore Image (GPEN)",
            category=CATEGORY,
            description="Finds every face, restores it with GPEN and pastes it back. Images "
            "without a face and pixels outside the faces stay exactly as they are.",
            search_aliases=["face restore", "face enhance", "gpen", "upscale face", "fix face",
                            "restore photo"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="Photos or video frames."),
                GPENModel.Input("model", tooltip="From Load GPEN or Load Face Restorer."),
                make_strength("How much of the restored faces to use. 0: every pixel stays as it "
                              "is. 1: faces are replaced."),
                *make_find_inputs(),
                *make_choose_inputs(),
                *make_restore_inputs(),
                *make_paste_inputs(),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The image with its faces restored."),
                io.Mask.Output("mask", tooltip="Where faces were pasted."),
                io.Image.Output("crops_before", tooltip="The crops as they were cut, one per face "
                                "restored; the first that fit into 512 MB."),
                io.Image.Output("crops_after", tooltip="The same crops restored."),
                GPENFaces.Output("faces", tooltip="The faces restored, for Crop Faces, Select "
                                 "Faces and Paste Faces Back."),
                io.Int.Output("count", tooltip="Number of faces restored in the whole batch."),
                io.String.Output("report", tooltip="Place, size, score and strength of each face, "
                                 "one a line."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        return stamp_unconnected_detector(inputs) + stamp_parser(inputs)

    @classmethod
    @in_range
    def execute(
        cls, image: torch.Tensor, model: HostedGPEN, strength: float, **chosen: Any
    ) -> io.NodeOutput:
        check_task(model, RESTORE)
        choices = Choices(**chosen)
        pixels, alpha = from_host_image(image)
        options = choices.make_options(strength)
        options.check(pixels)  # before a long search
        choices.check(pixels)
        template = choices.find_template(model.config)
        searching, restoring = host.make_stages(SEARCH_SHARE, 1 - SEARCH_SHARE)
        model.load(PLANNED_BATCH)
        refine = chooses_refining(choices.refine, model.config.in_size)
        found, _ = find_faces(
            choices.detector, pixels, None, choices.search, searching, refine=refine
        )
        fit = alignable(found, template=template)
        faces = choices.choose(found[fit])
        crops = KeptCrops(model.config)
        warnings = [*left_out_messages(found[~fit]), *_warn(choices, crops, faces)]
        if warnings:
            host.warn(cls.hidden.unique_id, "\n".join(warnings))
        weighed: list[tuple[float, float]] = []
        pasted = _restore(model, pixels, faces, options, choices, crops, weighed, restoring)
        lines = [*_describe(choices, faces, int(fit.sum())), *describe_clean(weighed)]
        said = "\n".join([*lines, *warnings])
        host.say(cls.hidden.unique_id, said)
        compared = compare(pixels, pasted.image) if len(faces) else {}
        alignment = find_alignment(faces, size=model.config.in_size, template=template)
        return io.NodeOutput(
            to_host_image(pasted.image, _fit_alpha(alpha, choices.background, pasted.image)),
            to_host_mask(pasted.mask),
            *crops.join(),
            AlignedFaces(faces, alignment),
            len(faces),
            list_faces(faces, [options.strength_of(row) for row in range(len(faces))], weighed),
            ui={**(make_ui(said=said) or {}), **compared},
        )


def _restore(
    model: HostedGPEN,
    pixels: torch.Tensor,
    faces: Faces,
    options: PasteOptions,
    choices: Choices,
    crops: KeptCrops,
    weighed: list[tuple[float, float]],
    on_progress: OnProgress,
) -> Pasted:
    """Restore the faces and paste them, into an enlarged image if the user wants that.

    `weighed` gets the share and the change of each face, if clean ones are left alone.
    """
    restoring = on_progress
    enlarges = options.background is None and choices.scale > 1
    if enlarges:
        enlarging, restoring = host.split(on_progress, 0.5)
        larger = enlarge(pixels, choices.scale, choices.upscale_model, enlarging)
        options = replace(options, background=larger)
    pasted = restore_detected(
        model,
        pixels,
        faces,
        options,
        template=choices.find_template(model.config),
        batch_size=choices.batch_size or None,
        on_progress=restoring,
        on_restored=crops.keep_after,
        in_place=enlarges,
        colour=choices.colour,
        prepare=crops.keep_before,
        leave_clean=choices.leave_clean,
        on_weighed=lambda shares, changes: weighed.extend(zip(shares, changes, strict=True)),
    )
    on_progress(1, 1)
    return pasted


def _warn(choices: Choices, crops: KeptCrops, faces: Faces) -> list[str]:
    """Say what the user connected or asked for in vain."""
    warnings = []
    if choices.upscale_model is not None and choices.background is not None:
        warnings.append("The background is connected, so upscale_model is not used.")
    elif choices.upscale_model is not None and choices.scale == 1:
        warnings.append("The scale is 1, so upscale_model is not used.")
    if len(faces) > crops.most:
        warnings.append(
            f"crops_before and crops_after hold the first {crops.most} of {len(faces)} faces, "
            "which is all that fits into 512 MB. Crop Faces cuts the others."
        )
    return warnings


def _describe(choices: Choices, faces: Faces, found: int) -> list[str]:
    """Say how many faces were restored, and how many were left as they are."""
    if not choices.chooses:
        return [describe_faces("Restored", faces)]
    lines = [describe_faces("Restored", faces, missing="restored")]
    if len(faces) < found:
        lines.append(f"Left {count_faces(found - len(faces))} as they were.")
    return lines


def _fit_alpha(
    alpha: torch.Tensor | None, background: torch.Tensor | None, image: torch.Tensor
) -> torch.Tensor | None:
    """Return the alpha of the result [B, 3, H, W]: the background's, else the image's, resized."""
    if background is not None:
        of_background = from_host_image(background)[1]
        alpha = alpha if of_background is None else of_background
    return None if alpha is None else resize(alpha, *image.shape[-2:]).clamp(0, 1)
