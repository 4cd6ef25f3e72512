"""Find places for the numbers of faces where they hide nothing."""

from __future__ import annotations

import numpy as np

RINGS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Distances from the box at which a place is sought, in heights of the label."""
STEPS = 9
"""Places along each side of a box."""

ON_LABEL, ON_BOX, ON_OWN_BOX = 1000.0, 100.0, 12.0
"""Costs of covering another number, another face, and the face itself, beside a cost of 1 for each
height of the label between it and its box. A number that finds no free place within reach
moves into its own box before it covers another face."""


def find_places(
    boxes: np.ndarray, labels: np.ndarray, taken: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Find a place for each box's label, one after another: the cheapest that is left.

    Args:
        boxes: [N, 4] float, x0 y0 x1 y1 in px, with all that is drawn around them.
        labels: [N, 2] int, width and height of each label in px.
        taken: [K, 4] float, further boxes that no label should cover.
        size: (H, W) of the image; labels lie inside if they fit.

    Returns:
        [N, 4] int64, x0 y0 x1 y1 of each label.
    """
    places = np.zeros((len(boxes), 4), dtype=np.int64)
    prices = np.full(len(boxes) + len(taken), ON_BOX)
    for row, box in enumerate(boxes):
        prices[row] = ON_OWN_BOX
        places[row] = _find_place(
            box,
            labels[row],
            np.concatenate([boxes, taken, places[:row]]),
            np.concatenate([prices, np.full(row, ON_LABEL)]),
            size,
        )
        prices[row] = ON_BOX
    return places


def _find_place(
    box: np.ndarray,
    label: np.ndarray,
    obstacles: np.ndarray,
    prices: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:
    """Return the place around a box, [4], with the lowest cost.

    Args:
        box: [4] float, x0 y0 x1 y1 in px.
        label: [2] int, width and height in px.
        obstacles: [K, 4], what a label should not cover.
        prices: [K], the cost of covering each.
        size: (H, W) of the image.
    """
    reach = (max(RINGS) + 1) * label[1] + label[0]
    # Moving a label into the image can bring it as far as the image's border.
    low = np.minimum(box[:2] - reach, np.array(size[::-1]) - label)
    near = ((obstacles[:, :2] < np.maximum(box[2:] + reach, label)) & (obstacles[:, 2:] > low)).all(
        1
    )
    obstacles, prices = obstacles[near], prices[near]
    place, lowest = box, np.inf
    for ring in RINGS:
        if lowest <= ring:  # all that is left lies farther away
            break
        around = _surround(box, label, ring, size)
        costs = ring + _measure_cover(around, obstacles) @ prices
        if costs.min() < lowest:
            lowest, place = costs.min(), around[costs.argmin()]
    return place


def _surround(box: np.ndarray, label: np.ndarray, ring: float, size: tuple[int, int]) -> np.ndarray:
    """Return places at one distance from a box, [M, 4] in whole px; the first are above it."""
    (x0, y0, x1, y1), (width, height) = box, label
    gap = ring * height
    left, right, above, below = x0 - width - gap, x1 + gap, y0 - height - gap, y1 + gap
    # Beside the box, a label starts and ends with the side; farther out, it may stand beyond the
    # corners, too.
    across = np.linspace(left, right, STEPS) if ring else np.linspace(x0, x1 - width, STEPS)
    down = np.linspace(above, below, STEPS)
    corners = np.empty((4 * STEPS, 2))
    corners[:, 0] = np.concatenate([across, across, right.repeat(STEPS), left.repeat(STEPS)])
    corners[:, 1] = np.concatenate([above.repeat(STEPS), below.repeat(STEPS), down, down])
    corners = np.clip(corners.round(), 0, np.maximum(np.array(size[::-1]) - label, 0))
    return np.concatenate([corners, corners + label], axis=1)


def _measure_cover(places: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return [M, K]: 0 where a place does not touch a box, else 1 and the covered part of it."""
    width = np.minimum(places[:, 2:3], boxes[:, 2]) - np.maximum(places[:, 0:1], boxes[:, 0])
    height = np.minimum(places[:, 3:4], boxes[:, 3]) - np.maximum(places[:, 1:2], boxes[:, 1])
    covered = width.clip(0) * height.clip(0)
    return (covered > 0) + covered / ((places[0, 2:] - places[0, :2]).prod())
