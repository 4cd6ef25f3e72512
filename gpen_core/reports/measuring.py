"""Measure what was done to each face of a photograph."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from .. import warp
from ..align import alignable, cut, find_alignment
from ..detectors import detect
from ..errors import MismatchError
from ..faces import Faces
from ..images import check_image, check_shape, format_batch
from ..preview import draw_faces, number_faces
from ..spectra import choose_area, choose_block, compare, measure_spectrum
from .figures import FaceReport, Report
from .pictures import draw_where, show_area

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..detectors import Detector
    from ..pasting import Pasted

CROP = 256
"""Side in pixels of the crops that the detector and the identity get."""


def report(
    image: torch.Tensor,
    result: Pasted,
    faces: Faces,
    *,
    detector: Detector | None = None,
    identity: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Report:
    """Tell for each face what was done to it, and how much of it the network made up.

    Args:
        image: [B, 3, H, W] RGB in [0, 1], the photographs before.
        result: of `paste` or `restore_image`; its image may be enlarged.
        faces: the faces of `image`.
        detector: from `load_detector`; finds the landmarks before and after, to compare them.
        identity: turns aligned faces [N, 3, 256, 256] RGB in [0, 1] (template "ffhq") into
            descriptors [N, D], such as a network for recognising people does.

    Returns:
        A `Report`: `.faces` has the figures and pictures of each face, `.to_json()` all figures.

    Raises:
        MismatchError: image, result and faces do not belong together.

    Example:
        >>> import torch
        >>> import gpen_core as gpen
        >>> image = torch.rand(1, 3, 64, 64)
        >>> points = torch.tensor([[24.0, 28], [40, 28], [32, 36], [26, 44], [38, 44]])
        >>> faces = gpen.Faces(
        ...     boxes=torch.tensor([[16.0, 16, 48, 52]]), landmarks=points[None],
        ...     scores=torch.tensor([0.9]), image_index=torch.tensor([0]), image_size=(1, 64, 64))
        >>> result = gpen.paste(image, gpen.align(image, faces, size=32))
        >>> report = gpen.report(image, result, faces)
        >>> face = report.faces[0]
        >>> face.size, face.eye_distance, sorted(face.pictures)
        ((32.0, 36.0), 16.0, ['after', 'before', 'where'])
    """
    check_image(image)
    _check(image, result, faces)
    image, pixels, mask = (part.detach() for part in (image, result.image, result.mask))
    scale = pixels.shape[3] / image.shape[3], pixels.shape[2] / image.shape[2]
    larger = faces.at_size(*pixels.shape[2:])
    fit = alignable(faces)
    numbers = number_faces(faces.image_index)
    reports = []
    for row, number in enumerate(numbers):
        face, place = faces[[row]], larger[[row]]
        moved = distance = None
        if detector is not None and fit[row]:
            moved = _measure_landmarks(image, pixels, face, place, detector)
        if identity is not None and fit[row]:
            distance = _measure_identity(image, pixels, face, place, identity)
        found = _report_face(image, pixels, mask, face, scale)
        reports.append(
            replace(found, number=number + 1, landmarks_moved=moved, identity_distance=distance)
        )
    overview = draw_faces(image, faces, first=1)
    return Report(tuple(reports), faces.image_size, _size(pixels), tuple(overview))


def _check(image: torch.Tensor, result: Pasted, faces: Faces) -> None:
    for name in ("image", "mask"):
        if not isinstance(getattr(result, name, None), torch.Tensor):
            raise MismatchError(
                "The result must be what paste or restore_image return, with image and mask; "
                f"found {type(result).__name__}."
            )
    check_image(result.image, "The result's image")
    check_shape(result.mask, "The result's mask", channels=1)
    if faces.image_size != _size(image):
        raise MismatchError(
            f"These faces were found in {format_batch(faces.image_size)}, the photograph is "
            f"{format_batch(_size(image))}. Give the photograph in which they were found."
        )
    if _size(result.image) != _size(result.mask) or len(result.image) != len(image):
        raise MismatchError(
            f"The result is {format_batch(_size(result.image))}, its mask "
            f"{format_batch(_size(result.mask))}, for {format_batch(_size(image))}. Give the "
            "result that belongs to this photograph."
        )


def _size(image: torch.Tensor) -> tuple[int, int, int]:
    return image.shape[0], image.shape[2], image.shape[3]


def _report_face(
    image: torch.Tensor,
    pixels: torch.Tensor,
    mask: torch.Tensor,
    face: Faces,
    scale: tuple[float, float],
) -> FaceReport:
    """Make the report of one face; `scale` is (x, y), result pixels per photograph pixel."""
    index = int(face.image_index[0])
    x0, y0, x1, y1 = face.boxes[0].tolist()
    eyes = face.landmarks[0, 0] - face.landmarks[0, 1]
    area = choose_area((x0, y0, x1, y1), image.shape[2:])
    place = _scale_area(area, scale)
    photograph = warp.cut_rectangle(image[index][None], area).cpu().float()
    after = warp.cut_rectangle(pixels[index][None], place).cpu().float()
    before = warp.resize(photograph, *after.shape[2:]).clamp(0, 1)
    pasted = float(warp.cut_rectangle(mask[index][None], place).mean())
    figures = {} if pasted == 0 else _measure(photograph, before, after, max(scale))
    wide = choose_area((x0, y0, x1, y1), image.shape[2:], margin=0.4)
    around, painted = (
        warp.cut_rectangle(whole[index][None], at).cpu().float()
        for whole, at in ((image, wide), (pixels, _scale_area(wide, scale)))
    )
    finest = max(scale) * figures.get("finest_before", 2.0)
    where = draw_where(around, painted, finest, figures.get("noise_before", 0.0))
    shown = {"before": around, "after": painted, "where": where}
    return FaceReport(
        number=1,
        image=index,
        box=(x0, y0, x1, y1),
        score=float(face.scores[0]),
        eye_distance=float(eyes.norm()),
        pasted=pasted,
        pictures={name: show_area(part, painted.shape[2:]) for name, part in shown.items()},
        **figures,
    )


def _measure(
    photograph: torch.Tensor, before: torch.Tensor, after: torch.Tensor, scale: float
) -> dict[str, float]:
    """Measure the figures of one face.

    Args:
        photograph: [1, 3, h, w] RGB in [0, 1].
        before: the same at the size of the result.
        after: [1, 3, h', w'] the result.
        scale: result pixels per photograph pixel.
    """
    block, own = choose_block(*after.shape[2:]), choose_block(*photograph.shape[2:])
    if block is None or own is None:
        return {}
    spectrum, both = measure_spectrum(photograph, own), compare(before, after, block)
    return {
        "finest_before": spectrum.finest,
        "finest_after": both.after.finest / scale,
        "noise_before": spectrum.noise_level,
        "noise_after": both.after.noise_level,
        "made_up": both.made_up,
        "changed": both.changed,
    }


def _scale_area(area: warp.Rectangle, scale: tuple[float, float]) -> warp.Rectangle:
    x, y = scale
    left, top, right, bottom = area
    return warp.Rectangle(round(left * x), round(top * y), round(right * x), round(bottom * y))


def _cut_both(
    image: torch.Tensor, pixels: torch.Tensor, face: Faces, larger: Faces, template: str
) -> torch.Tensor:
    """Cut the crops of one face before and after, [2, 3, CROP, CROP]."""
    crops = [
        cut(whole, find_alignment(place, size=CROP, template=template)).pixels.float()
        for whole, place in ((image, face), (pixels, larger))
    ]
    return torch.cat([crops[0], crops[1].to(crops[0].device)]).clamp(0, 1)


def _measure_landmarks(
    image: torch.Tensor, pixels: torch.Tensor, face: Faces, larger: Faces, detector: Detector
) -> float | None:
    """Measure how far the landmarks of one face moved, as a part of its eye distance."""
    crops = _cut_both(image, pixels, face, larger, "gpen")
    alignment = find_alignment(face, size=CROP)
    expected = (
        alignment.affine[0, :, :2] @ face.landmarks[0].double().mT + alignment.affine[0, :, 2:]
    ).mT
    found = detect(detector, crops, turns="never")
    points = []
    for index in range(2):
        landmarks = found.landmarks[found.image_index == index].double()
        if not len(landmarks):
            return None
        off = (landmarks - expected).norm(dim=2).mean(dim=1)
        points.append(landmarks[off.argmin()])
    eyes = (points[0][0] - points[0][1]).norm().clamp(min=1)
    return float((points[1] - points[0]).norm(dim=1).mean() / eyes)


def _measure_identity(
    image: torch.Tensor,
    pixels: torch.Tensor,
    face: Faces,
    larger: Faces,
    identity: Callable[[torch.Tensor], torch.Tensor],
) -> float:
    """Measure the cosine distance of the descriptors of one face before and after."""
    with torch.no_grad():
        descriptors = identity(_cut_both(image, pixels, face, larger, "ffhq"))
    if not isinstance(descriptors, torch.Tensor) or len(descriptors) != 2:
        raise MismatchError(
            "identity must return a tensor with one descriptor for each of 2 faces, found "
            f"{list(getattr(descriptors, 'shape', [])) or type(descriptors).__name__}."
        )
    before, after = descriptors.float().flatten(1).cpu()
    return float(1 - torch.nn.functional.cosine_similarity(before, after, dim=0))
