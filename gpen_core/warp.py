"""Cut a rectangle from an image and resample it by an affine, with a low-pass where it shrinks.

Convention: points are (x, y), pixel centres lie at integers + 0.5, and a matrix [2, 3] maps
*destination* points to *source* points. kornia puts pixel centres at integers. Only this module
converts between the two, by T(−½)·M·T(+½).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .progress import OnProgress

KERNEL_REACH = 2
"""Samples that a cubic kernel reads on either side of a point."""


PIXELS_PER_WARP = 2**22
"""Most pixels of crops that are warped together: one crop of 2048 px, sixteen of 512 px."""


class Rectangle(NamedTuple):
    """The pixels left ≤ x < right, top ≤ y < bottom. It may reach outside the image."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def origin(self) -> tuple[int, int]:
        return self.left, self.top


def overlap(one: Rectangle, other: Rectangle) -> bool:
    """Return whether two rectangles share a pixel."""
    return (
        one.left < other.right
        and other.left < one.right
        and one.top < other.bottom
        and other.top < one.bottom
    )


def working_dtype(image: torch.Tensor) -> torch.dtype:
    """Return float64 for a float64 image, else float32: half precision cannot interpolate."""
    return torch.float64 if image.dtype == torch.float64 else torch.float32


def shrink_factor(to_source: torch.Tensor) -> float:
    """Return how many source pixels one destination pixel of a [2, 3] similarity spans."""
    (a, b, _), (c, d, _) = to_source.tolist()
    return math.sqrt(abs(a * d - b * c))


def compose(outer: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    """Return the [..., 2, 3] affine that applies `inner`, then `outer`."""
    linear = outer[..., :2]
    return torch.cat([linear @ inner[..., :2], linear @ inner[..., 2:] + outer[..., 2:]], dim=-1)


def scaling(x: float, y: float) -> torch.Tensor:
    """Return the [2, 3] float64 affine (X, Y) → (x·X, y·Y)."""
    return torch.tensor([[x, 0.0, 0.0], [0.0, y, 0.0]], dtype=torch.float64, device="cpu")


def translation(x: float, y: float) -> torch.Tensor:
    """Return the [2, 3] float64 affine (X, Y) → (X + x, Y + y)."""
    return torch.tensor([[1.0, 0.0, x], [0.0, 1.0, y]], dtype=torch.float64, device="cpu")


def bounding_rectangle(affine: torch.Tensor, width: float, height: float) -> Rectangle:
    """Return the smallest rectangle that holds `affine` of 0 … width × 0 … height."""
    corners = torch.tensor(
        [[0.0, width, 0.0, width], [0.0, 0.0, height, height]], dtype=torch.float64, device="cpu"
    )
    points = affine[:, :2] @ corners + affine[:, 2:]
    left, top = (math.floor(low) for low in points.amin(dim=1).tolist())
    right, bottom = (math.ceil(high) for high in points.amax(dim=1).tolist())
    return Rectangle(left, top, right, bottom)


def resize(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize [N, C, h, w] to [N, C, height, width]: bicubic, with a low-pass where it shrinks.

    Crops are resized by this function everywhere in gpen_core. `paste` relies on it: it subtracts
    the content of a crop, which only works if both were resized the same way.
    """
    if pixels.shape[-2:] == (height, width):
        return pixels
    return F.interpolate(pixels, size=(height, width), mode="bicubic", antialias=True)


def cut_rectangle(image: torch.Tensor, rectangle: Rectangle) -> torch.Tensor:
    """Cut a rectangle [..., h, w] from `image` [..., H, W], which is mirrored at its borders.

    The result is a view if the rectangle lies inside. Mirroring repeats as often as needed.
    """
    rows = _mirror_index(rectangle.top, rectangle.bottom, image.shape[-2])
    columns = _mirror_index(rectangle.left, rectangle.right, image.shape[-1])
    for dim, index in ((-2, rows), (-1, columns)):
        if isinstance(index, slice):
            image = image[..., index, :] if dim == -2 else image[..., index]
        else:
            image = image.index_select(dim, index.to(image.device))
    return image


def _mirror_index(start: int, stop: int, length: int) -> slice | torch.Tensor:
    """Return the index of start … stop − 1 along an axis of `length`, mirrored beyond its ends."""
    if 0 <= start and stop <= length:
        return slice(start, stop)
    folded = torch.arange(start, stop, device="cpu").remainder(2 * length)
    return torch.where(folded < length, folded, 2 * length - 1 - folded)


def resample(
    source: torch.Tensor, to_source: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """Resample `source` [1, C, h, w] by `to_source` [2, 3]; gives [1, C, height, width].

    Where a destination pixel spans more than one source pixel, the source is low-passed first.
    Beyond its border, the source repeats its edge.
    """
    source, to_source = _match_density(source, to_source)
    return _interpolate(source, to_source[None], height, width)


def cut_crops(
    image: torch.Tensor,
    to_image: torch.Tensor,
    image_index: torch.Tensor,
    size: int,
    device: torch.device | None = None,
    on_progress: OnProgress | None = None,
) -> torch.Tensor:
    """Cut crops [N, C, size, size] from `image` [B, C, H, W], which is mirrored at its borders.

    Only each crop's rectangle of the image is read, and values are clamped to its range, because a
    cubic kernel overshoots. The result is float32, or float64 for a float64 image.

    Args:
        image: with any number of channels, on any device.
        to_image: [N, 2, 3] float64 on the CPU, maps crop points to image points.
        image_index: [N] int64 on the CPU.
        size: side of the crops in pixels.
        device: where to compute; by default where the image is. The crops return to the image's
            device.
        on_progress: called with (crops done, all crops) after every few crops; may raise.
    """
    device = device or image.device
    crops = image.new_empty((len(to_image), image.shape[1], size, size), dtype=working_dtype(image))
    per_warp = max(1, PIXELS_PER_WARP // size**2)
    for start in range(0, len(to_image), per_warp):
        rows = slice(start, start + per_warp)
        patches, to_cut_patches, lows, highs = zip(
            *_cut_patches(image, to_image[rows], image_index[rows], size, device), strict=True
        )
        warped = _interpolate(_stack(patches), torch.stack(to_cut_patches), size, size)
        low, high = (torch.stack(ends).view(-1, 1, 1, 1) for ends in (lows, highs))
        crops[rows] = warped.clamp(low, high)
        if on_progress is not None:
            on_progress(min(rows.stop, len(crops)), len(crops))
    return crops


def _cut_patches(
    image: torch.Tensor,
    to_image: torch.Tensor,
    image_index: torch.Tensor,
    size: int,
    device: torch.device,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Give each crop's low-passed rectangle, the map crop → rectangle, and its value range."""
    for index, matrix in zip(image_index.tolist(), to_image, strict=True):
        # The low-pass and the interpolation each read a kernel's reach, in crop pixels or larger.
        margin = 2 * KERNEL_REACH * max(1.0, 1.0 / shrink_factor(matrix)) + 1
        outer = compose(matrix, translation(-margin, -margin))
        rectangle = bounding_rectangle(outer, size + 2 * margin, size + 2 * margin)
        patch = cut_rectangle(image[index : index + 1], rectangle)
        patch = patch.to(device, working_dtype(image))
        low, high = patch.aminmax()
        left, top = rectangle.origin
        yield *_match_density(patch, compose(translation(-left, -top), matrix)), low, high


def _stack(patches: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Stack patches [1, C, h_i, w_i] into [N, C, h, w], each in the top left corner."""
    if len(patches) == 1:
        return patches[0]
    height, width = (max(patch.shape[dim] for patch in patches) for dim in (-2, -1))
    stacked = patches[0].new_zeros((len(patches), patches[0].shape[1], height, width))
    for row, patch in zip(stacked, patches, strict=True):
        row[:, : patch.shape[-2], : patch.shape[-1]] = patch[0]
    return stacked


def _match_density(
    source: torch.Tensor, to_source: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Low-pass and shrink `source` for the destination; return it with the matrix that then fits.

    It is shrunk by a whole factor only: that weighs the samples around every centre alike and keeps
    a ramp straight. For the rest of the factor it is low-passed at its own density.
    """
    shrink = shrink_factor(to_source)
    if shrink <= 1.0:
        return source, to_source
    whole = math.floor(shrink)
    if whole > 1:
        height, width = source.shape[-2:]
        border = (0, -width % whole, 0, -height % whole)
        # Channel by channel, because a close-up of many megapixels is copied here.
        source = torch.cat(
            [
                resize(
                    F.pad(plane, border, mode="replicate"), -(-height // whole), -(-width // whole)
                )
                for plane in source.split(1, dim=1)
            ],
            dim=1,
        )
    return _low_pass(source, shrink / whole), compose(scaling(1 / whole, 1 / whole), to_source)


def _low_pass(source: torch.Tensor, shrink: float) -> torch.Tensor:
    """Filter [N, C, h, w] by the cubic kernel of `resize`, stretched by `shrink` < 2."""
    reach = math.ceil(KERNEL_REACH * shrink) - 1
    weights = [_cubic(offset / shrink) for offset in range(reach + 1)]
    total = weights[0] + 2.0 * sum(weights[1:])
    for dim in (-2, -1):
        border = (0, 0, reach, reach) if dim == -2 else (reach, reach, 0, 0)
        padded, length = F.pad(source, border, mode="replicate"), source.shape[dim]
        source = source * (weights[0] / total)
        for offset, weight in enumerate(weights[1:], start=1):
            for start in (reach - offset, reach + offset):
                source.add_(padded.narrow(dim, start, length), alpha=weight / total)
    return source


def _cubic(distance: float) -> float:
    """Evaluate Keys' cubic kernel with a = −1/2 (Keys 1981, eq. 15)."""
    if distance < 1.0:
        return (1.5 * distance - 2.5) * distance**2 + 1.0
    return ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0


def _interpolate(
    source: torch.Tensor, to_source: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """Interpolate `source` [N, C, h, w] bicubically by `to_source` [N, 2, 3]."""
    from kornia.geometry.transform import remap

    to_kornia = compose(translation(-0.5, -0.5), compose(to_source, translation(0.5, 0.5)))
    matrix = to_kornia.to(source.device, source.dtype, non_blocking=True)
    columns = torch.arange(width, device=source.device, dtype=source.dtype)
    rows = torch.arange(height, device=source.device, dtype=source.dtype)
    maps = (
        matrix[:, :, 0, None, None] * columns
        + matrix[:, :, 1, None, None] * rows[:, None]
        + matrix[:, :, 2, None, None]
    )  # [N, 2, height, width]
    straight = _straighten(maps)
    return remap(
        source,
        straight[:, 0],
        straight[:, 1],
        mode="bicubic",
        padding_mode="border",
        align_corners=True,
    )


def _straighten(points: torch.Tensor) -> torch.Tensor:
    """Move points so that PyTorch's bicubic kernel keeps a ramp straight.

    PyTorch uses Keys' cubic with a = −3/4 (1981). Evaluated at u = fraction − ½, its centre of mass
    lies at u³ + ¾·u, up to 0.047 px from u; only with a = −½ would it lie at u. So the kernel is
    evaluated at v with v³ + ¾·v = u, which is v = sinh(asinh(4u) / 3). On photographs the result is
    also 1 to 2 dB nearer to the truth than with a = −½.
    """
    whole = points.floor()
    return whole + 0.5 + torch.sinh(torch.asinh(4.0 * (points - whole) - 2.0) / 3.0)
