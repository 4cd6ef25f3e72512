"""The pack's sockets, and the conversions between the host's values and the library's.

The host's images are [B, H, W, C] and its masks [B, H, W]; gpen_core has both as [B, C, H, W].
Only this module converts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io, ui

from ..gpen_core.detectors.face_mesh import faces_from_mesh
from ..gpen_core.errors import MismatchError
from ..gpen_core.names import FACE_REGIONS, MASK_KINDS
from . import host
from .clickable import FACES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..gpen_core.faces import Alignment, Faces

GPENModel = io.Custom("GPEN_MODEL")
GPENDetector = io.Custom("GPEN_DETECTOR")
GPENFaces = io.Custom("GPEN_FACES")
FaceLandmarks = io.Custom("FACE_LANDMARKS")

CATEGORY = "image/face restoration"
CROP_SIZES = ("256", "512", "1024", "2048")
FROM_MODEL = "from model"
"""The choice of a crop size or a template that leaves it to the model."""
REGIONS_TEXT = ", ".join(FACE_REGIONS)
"""What "parse" pastes unless the user writes something else."""
SAID = "gpen_said"
"""The key of a node's text in its `ui` value."""
PREVIEW_IMAGES = 16
"""Images that a node shows. A preview of a whole video would take longer than its detection."""


def make_mask_inputs() -> list[Any]:
    """Return the widgets that choose the mask, the same for all nodes that paste."""
    return [
        io.Combo.Input("mask_kind", optional=True, options=list(MASK_KINDS), default=MASK_KINDS[0],
                       advanced=True,
                       tooltip="Where the face is pasted. box: most of the crop. oval: the face "
                       "alone, so that hair and background stay. parse: the parts in regions; "
                       "needs parsing_parsenet.pth or parsing_bisenet.pth in "
                       "models/facedetection."),
        io.String.Input("regions", optional=True, default=REGIONS_TEXT, advanced=True,
                        tooltip="For parse: what to paste, some of skin, brows, eyes, nose, lips, "
                        "mouth, ears, glasses, hair, hat, neck."),
    ]  # fmt: skip


def make_grain() -> Any:
    """Return the widget of the photograph's grain, the same for all nodes that paste."""
    return io.Float.Input("grain", optional=True, default=0.0, min=0.0, max=1.0, step=0.05,
                          advanced=True,
                          tooltip="How much of the photo's own grain to lay over restored faces, "
                          "which are too smooth in a noisy photo. 0: none. 1: as much as around "
                          "the faces.")  # fmt: skip


@dataclass(frozen=True, eq=False)
class AlignedFaces:
    """N faces and where their crops were cut, in the same order; the value of GPEN_FACES."""

    faces: Faces
    alignment: Alignment

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, rows: torch.Tensor) -> AlignedFaces:
        return AlignedFaces(self.faces[rows], self.alignment[rows])

    def make_empty_crops(self) -> torch.Tensor:
        """Return an empty batch of crops in the host's layout, [0, S, S, 3]."""
        return torch.zeros(0, self.alignment.crop_size, self.alignment.crop_size, 3)

    def check_image(self, image: torch.Tensor) -> None:
        """Raise unless `image` [B, C, H, W] has the batch and size that the faces were found in."""
        found = (image.shape[0], *image.shape[-2:])
        if found != self.faces.image_size:
            raise MismatchError(
                f"The faces were found in {_format_size(self.faces.image_size)}, but this image is "
                f"{_format_size(found)}. Connect the image that Detect Faces got. A larger version "
                "of it belongs into the input `background` of Paste Faces Back."
            )

    def check_mask(self, mask: torch.Tensor | None) -> None:
        """Raise unless `mask`, [B, H, W], [H, W] or None, fits the images of the faces."""
        images, height, width = self.faces.image_size
        if mask is None:
            return
        masks = mask.shape[:-2].numel()
        if masks not in (1, images):
            raise MismatchError(
                f"{masks} masks do not fit {images} images. Connect one per image, or one for all."
            )
        if tuple(mask.shape[-2:]) != (height, width):
            raise MismatchError(
                f"The mask must have the size of the image, {width}×{height}; found "
                f"{mask.shape[-1]}×{mask.shape[-2]}. For a picture without transparency, Load "
                "Image gives a mask of 64×64."
            )

    def check_crops(self, crops: torch.Tensor) -> None:
        """Raise unless there is one crop per face; any layout whose first axis counts crops."""
        if len(crops) != len(self):
            raise MismatchError(
                f"{len(crops)} crops do not fit {len(self)} faces. Keep one crop per face, in the "
                "same order. Select Faces filters faces and crops together."
            )


def from_host_image(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Convert an image [B, H, W, C] to RGB float32 [B, 3, H, W] and its alpha, if it has one.

    One channel is grey, two are grey and alpha, four are RGB and alpha.

    Returns:
        RGB [B, 3, H, W], and alpha [B, 1, H, W] or None.

    Raises:
        MismatchError: it has another number of axes or channels.
    """
    # Another pack's node may forget that the host computes no gradients.
    image = image.detach()
    channels = image.shape[-1]
    if image.ndim != 4 or channels not in (1, 2, 3, 4):
        raise MismatchError(
            f"An image must be [B, H, W, C] with 1 to 4 channels, found {list(image.shape)}."
        )
    planes = image.movedim(-1, 1).float()
    colour = planes[:, : 3 if channels > 2 else 1].expand(-1, 3, -1, -1)
    return colour, planes[:, -1:] if channels in (2, 4) else None


def to_host_image(image: torch.Tensor, alpha: torch.Tensor | None = None) -> torch.Tensor:
    """Convert RGB [B, 3, H, W] to the host's layout [B, H, W, C], device and dtype.

    Args:
        alpha: [B, 1, H, W], appended as the fourth channel.
    """
    if alpha is not None:
        image = torch.cat([image, alpha.to(image)], dim=1)
    return host.keep(image.movedim(1, -1).contiguous())


def make_ui(
    images: Sequence[torch.Tensor] | torch.Tensor = (),
    said: str = "",
    faces: Sequence[Sequence[dict[str, Any]]] = (),
) -> dict[str, Any] | None:
    """Return the `ui` value with which a node shows images and a text.

    The host keeps this value with the node's results and sends it again when they come from its
    cache. `web/js/said.js` then shows the text.

    Args:
        images: RGB [3, H, W] in [0, 1], of any sizes; only the first are shown.
        said: what `host.say` shows while the node runs.
        faces: of each image, those that a click can choose; see `clickable`.

    Returns:
        None if there is nothing to show.
    """
    shown: Any = [image.movedim(0, -1) for image in images[:PREVIEW_IMAGES]]
    # The host's preview fails without an image.
    pictures = ui.PreviewImage(shown).as_dict() if shown else {}
    text = {SAID: [said]} if said else {}
    places = {FACES: [list(part) for part in faces]} if any(faces) else {}
    return {**pictures, **text, **places} or None


def from_host_crops(crops: torch.Tensor) -> torch.Tensor:
    """Convert face crops [N, S, S, C] to RGB float32 [N, 3, S, S].

    Raises:
        MismatchError: they are not square.
    """
    pixels, _ = from_host_image(crops)
    height, width = pixels.shape[-2:]
    if height != width:
        raise MismatchError(
            f"Face crops must be square, found {width}×{height}. Detect Faces cuts them. For a "
            "whole photo use Restore Image."
        )
    return pixels


def from_host_mask(mask: torch.Tensor | None) -> torch.Tensor | None:
    """Convert a mask [B, H, W] or [H, W] to [B, 1, H, W] float32 in [0, 1]; None stays None."""
    if mask is None:
        return None
    return mask.detach().reshape(-1, 1, *mask.shape[-2:]).float().clamp(0, 1)


def to_host_mask(mask: torch.Tensor) -> torch.Tensor:
    """Convert a mask [B, 1, H, W] to the host's layout [B, H, W], device and dtype."""
    return host.keep(mask[:, 0])


def from_host_landmarks(landmarks: dict[str, Any], image: torch.Tensor) -> Faces:
    """Convert a FACE_LANDMARKS value to the faces of `image` [B, 3, H, W].

    Raises:
        MismatchError: it was made for an image of another size, or holds no face mesh.
    """
    size = tuple(image.shape[-2:])
    found = tuple(landmarks.get("image_size", size))
    if found != size:
        raise MismatchError(
            f"The face landmarks were found in images of {found[1]}×{found[0]}, but this image is "
            f"{size[1]}×{size[0]}. Find them in the image that is connected to Detect Faces."
        )
    return faces_from_mesh(landmarks["frames"], (len(image), *size))


def from_host_boxes(bboxes: Any, count: int) -> list[torch.Tensor]:
    """Convert a BOUNDING_BOX value to boxes [K, 4] xyxy for each of `count` images.

    The value is a list of boxes per image, or one box or one list of boxes for all images.

    Raises:
        MismatchError: it has lists for another number of images, or something else than boxes.
    """
    if isinstance(bboxes, dict):
        bboxes = [bboxes]
    if not bboxes or isinstance(bboxes[0], dict):
        bboxes = [bboxes] * count
    if len(bboxes) == 1:
        bboxes = bboxes * count
    if len(bboxes) != count:
        raise MismatchError(
            f"Boxes of {len(bboxes)} images do not fit a batch of {count}. Connect boxes that were "
            "found in these images, or one list for all."
        )
    return [_to_xyxy(boxes) for boxes in bboxes]


def _to_xyxy(boxes: Any) -> torch.Tensor:
    """Convert the boxes of one image to [K, 4] xyxy."""
    try:
        return torch.tensor(
            [[b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]] for b in boxes],
            dtype=torch.float32,
        ).reshape(-1, 4)
    except (TypeError, KeyError, ValueError) as error:
        raise MismatchError(
            "A box must be a dictionary of the numbers x, y, width and height; found "
            f"{boxes!r:.200}."
        ) from error


def to_host_boxes(faces: Faces) -> list[list[dict[str, Any]]]:
    """Convert boxes of faces to a BOUNDING_BOX value: a list per image, in the preview's order."""
    frames: list[list[dict[str, Any]]] = [[] for _ in range(faces.image_size[0])]
    for box, score, image in zip(
        faces.boxes.tolist(), faces.scores.tolist(), faces.image_index.tolist(), strict=True
    ):
        x0, y0, x1, y1 = box
        frames[image].append(
            {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "label": "face", "score": score}
        )
    return frames


def _format_size(size: tuple[int, ...]) -> str:
    """Write a batch's size (B, H, W) as "B × W×H"."""
    return f"{size[0]} × {size[2]}×{size[1]}"
