"""The five landmarks of a face in an aligned crop, and the similarities that map a face to them."""

from __future__ import annotations

import torch

TEMPLATES = {
    # From the published GPEN pipeline. The checkpoints were trained on faces aligned like this.
    "gpen": (
        (0.394611, 0.474383),
        (0.604356, 0.473223),
        (0.500150, 0.593670),
        (0.413984, 0.716461),
        (0.587678, 0.715501),
    ),
    # FFHQ as in facexlib, in pixels of 512. The face is 1.12 × larger in the crop than with "gpen".
    "ffhq": (
        (192.98138 / 512, 239.94708 / 512),
        (318.90277 / 512, 240.19360 / 512),
        (256.63416 / 512, 314.01935 / 512),
        (201.26117 / 512, 371.41043 / 512),
        (313.08905 / 512, 371.15118 / 512),
    ),
}
"""Positions of the five landmarks in the crop, in crop sides."""


def fit_similarity(points: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit the least-squares similarities, without reflection, from each set of points to a target.

    This is Umeyama 1991, eqs. 40–42, in the plane. There, rotation and scale are one complex
    number, and the solution is the linear regression of the target on the points.

    Args:
        points: [N, K, 2] float64.
        target: [K, 2] float64.

    Returns:
        affine [N, 2, 3] float64, which maps points to the target, and likeness [N] in [0, 1], the
        absolute complex correlation: 1 for a perfect fit, 0 for points that all coincide.
    """
    points_mean, target_mean = points.mean(dim=1, keepdim=True), target.mean(dim=0)
    source = torch.view_as_complex((points - points_mean).contiguous())  # [N, K]
    goal = torch.view_as_complex((target - target_mean).contiguous())  # [K]
    product = (source.conj() * goal).sum(dim=1)
    spread = source.abs().square().sum(dim=1)
    tiniest = torch.finfo(points.dtype).tiny
    factor = product / spread.clamp(min=tiniest)
    likeness = product.abs() / (spread * goal.abs().square().sum()).sqrt().clamp(min=tiniest)

    linear = torch.stack(
        [
            torch.stack([factor.real, -factor.imag], dim=1),
            torch.stack([factor.imag, factor.real], dim=1),
        ],
        dim=1,
    )
    shift = target_mean[:, None] - linear @ points_mean.transpose(1, 2)
    return torch.cat([linear, shift], dim=2), likeness
