"""The pack's sockets, and the edge between the host's images and the library's.

The host has images [B, H, W, C] and masks [B, H, W]; gpen_core has both as [B, C, H, W]. The
change happens here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io, ui

from ..gpen_core.errors import MismatchError
from . import host

if TYPE_CHECKING:
    from ..gpen_core.faces import Alignment, Faces

GPENModel = io.Custom("GPEN_MODEL")
GPENDetector = io.Custom("GPEN_DETECTOR")
GPENFaces = io.Custom("GPEN_FACES")
FaceLandmarks = io.Custom("FACE_LANDMARKS")

CATEGORY = "image/face restoration"
CROP_SIZES = ("256", "512", "1024", "2048")
PREVIEW_IMAGES = 16
"""Images shown on a node: a preview of a whole video would take longer than finding its faces."""


@dataclass(frozen=True, eq=False)
class AlignedFaces:
    """What GPEN_FACES carries: N faces and where their crops were cut, in the same order."""

    faces: Faces
    alignment: Alignment

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, rows: torch.Tensor) -> AlignedFaces:
        return AlignedFaces(self.faces[rows], self.alignment[rows])

    def no_crops(self) -> torch.Tensor:
        """An empty batch of crops as the host has images, [0, S, S, 3]."""
        return torch.zeros(0, self.alignment.crop_size, self.alignment.crop_size, 3)

    def check_image(self, image: torch.Tensor) -> None:
        """Raise unless `image` [B, C, H, W] is of the batch and size the faces were found in."""
        found = (image.shape[0], *image.shape[-2:])
        if found != self.faces.image_size:
            raise MismatchError(
                f"These faces were found in {_batch(self.faces.image_size)}, but the image here is "
                f"{_batch(found)}. Connect the image that went into Detect Faces; a larger "
                "version of it goes into the input 'background' of Paste Faces Back."
            )

    def check_mask(self, mask: torch.Tensor | None) -> None:
        """Raise unless `mask` [B, H, W], [H, W] or None fits the images of the faces."""
        images, height, width = self.faces.image_size
        if mask is None:
            return
        masks = mask.shape[:-2].numel()
        if masks not in (1, images):
            raise MismatchError(
                f"{masks} masks do not fit {images} images: connect one for each, or one for all."
            )
        if tuple(mask.shape[-2:]) != (height, width):
            raise MismatchError(
                f"The mask must have the size of the image, {width}×{height}; found "
                f"{mask.shape[-1]}×{mask.shape[-2]}. Load Image gives a mask of 64×64 for a "
                "picture without transparency."
            )

    def check_crops(self, crops: torch.Tensor) -> None:
        """Raise unless there is one crop [N, 3, S, S] for each face."""
        if len(crops) != len(self):
            raise MismatchError(
                f"{len(crops)} crops do not fit {len(self)} faces. Keep one crop per face in the "
                "same order; Select Faces takes faces and crops together."
            )


def image_in(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The host's image [B, H, W, C] as RGB float32 [B, 3, H, W] and, if it has one, its alpha.

    One channel is grey, two are grey and alpha, four are RGB and alpha.
    """
    channels = image.shape[-1]
    if image.ndim != 4 or channels not in (1, 2, 3, 4):
        raise MismatchError(
            f"An image here is [B, H, W, C] with 1 to 4 channels, found {list(image.shape)}."
        )
    planes = image.movedim(-1, 1).float()
    colour = planes[:, : 3 if channels > 2 else 1].expand(-1, 3, -1, -1)
    return colour, planes[:, -1:] if channels in (2, 4) else None


def image_out(image: torch.Tensor, alpha: torch.Tensor | None = None) -> torch.Tensor:
    """An RGB image [B, 3, H, W] as the host wants it: [B, H, W, C] where and how it keeps images.

    Args:
        alpha: [B, 1, H, W] to append as fourth channel.
    """
    if alpha is not None:
        image = torch.cat([image, alpha.to(image)], dim=1)
    return host.keep(image.movedim(1, -1).contiguous())


def preview_out(images: torch.Tensor) -> ui.PreviewImage | None:
    """What a node shows of RGB images [B, 3, H, W] in [0, 1]: the first; nothing if there are none.

    The host's own preview fails on an empty batch.
    """
    return ui.PreviewImage(images[:PREVIEW_IMAGES].movedim(1, -1)) if len(images) else None


def crops_in(crops: torch.Tensor) -> torch.Tensor:
    """Face crops from an IMAGE socket as RGB [N, 3, S, S].

    Raises:
        MismatchError: they are not square.
    """
    pixels, _ = image_in(crops)
    height, width = pixels.shape[-2:]
    if height != width:
        raise MismatchError(
            f"Face crops are square, found {width}×{height}. Detect Faces makes them; for a whole "
            "photo use Restore Image."
        )
    return pixels


def mask_in(mask: torch.Tensor | None) -> torch.Tensor | None:
    """The host's mask [B, H, W] or [H, W] as [B, 1, H, W] float32 in [0, 1]."""
    if mask is None:
        return None
    return mask.reshape(-1, 1, *mask.shape[-2:]).float().clamp(0, 1)


def mask_out(mask: torch.Tensor) -> torch.Tensor:
    """A mask [B, 1, H, W] as the host wants it, [B, H, W]."""
    return host.keep(mask[:, 0])


def faces_in(landmarks: dict[str, Any], image: torch.Tensor) -> Faces:
    """The faces of a FACE_LANDMARKS value that belongs to `image` [B, 3, H, W].

    Raises:
        MismatchError: it was made for another image, or is no face mesh.
    """
    from ..gpen_core.detectors.face_mesh import faces_from_mesh

    size = tuple(image.shape[-2:])
    found = tuple(landmarks.get("image_size", size))
    if found != size:
        raise MismatchError(
            f"These face landmarks were found in images of {found[1]}×{found[0]}, but the image "
            f"here is {size[1]}×{size[0]}. Find them in the image that goes into Detect Faces."
        )
    return faces_from_mesh(landmarks["frames"], (len(image), *size))


def boxes_in(bboxes: Any, count: int) -> list[torch.Tensor]:
    """A BOUNDING_BOX value as [K, 4] xyxy boxes for each of `count` images.

    It may come as one box, as one list of boxes, which then holds for every image, or as a list
    for each image.

    Raises:
        MismatchError: it has lists for another number of images, or holds something else.
    """
    if isinstance(bboxes, dict):
        bboxes = [bboxes]
    if not bboxes or isinstance(bboxes[0], dict):
        bboxes = [bboxes] * count
    if len(bboxes) == 1:
        bboxes = bboxes * count
    if len(bboxes) != count:
        raise MismatchError(
            f"Boxes of {len(bboxes)} images do not fit a batch of {count}: connect boxes that were "
            "found in these images, or one list for all."
        )
    return [_corners(boxes) for boxes in bboxes]


def _corners(boxes: Any) -> torch.Tensor:
    """One image's boxes as [K, 4] xyxy."""
    try:
        return torch.tensor(
            [[b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]] for b in boxes],
            dtype=torch.float32,
        ).reshape(-1, 4)
    except (TypeError, KeyError, ValueError) as error:
        raise MismatchError(
            f"A box is a dictionary of the numbers x, y, width and height; found {boxes!r:.200}."
        ) from error


def boxes_out(faces: Faces) -> list[list[dict[str, Any]]]:
    """The boxes of faces as BOUNDING_BOX: a list for each image, numbered as in the preview."""
    frames: list[list[dict[str, Any]]] = [[] for _ in range(faces.image_size[0])]
    for box, score, image in zip(
        faces.boxes.tolist(), faces.scores.tolist(), faces.image_index.tolist(), strict=True
    ):
        x0, y0, x1, y1 = box
        frames[image].append(
            {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "label": "face", "score": score}
        )
    return frames


def _batch(size: tuple[int, ...]) -> str:
    return f"{size[0]} × {size[2]}×{size[1]}"
