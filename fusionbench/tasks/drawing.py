"""Labels and predictions drawn over a picture, for a person to look at."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from fusionbench.tasks.network import Prediction, Target

Picture = NDArray[np.uint8]
SURE = 0.3  # boxes with a lower score are not drawn


def drawn(picture: Picture, labels: Target | Prediction) -> Picture:
    """A picture with a mask, boxes or a saliency map over it.

    Args:
        picture: uint8 ``[3,H,W]``.
        labels: what to draw, at the picture's size.

    Returns:
        uint8 ``[3,H,W]``.
    """
    out: NDArray[np.float64] = picture.astype(np.float64)
    if labels.mask is not None:
        mask = labels.mask.cpu().numpy()
        over = np.array([colour(i) for i in range(256)])[mask.clip(0, 255)].transpose(2, 0, 1)
        out = np.where(mask == 0, out, 0.5 * out + 0.5 * over)
    if labels.saliency is not None:
        out *= 0.25 + 0.75 * labels.saliency.cpu().numpy()
    if labels.boxes is not None and labels.labels is not None:
        scores = labels.scores if isinstance(labels, Prediction) else None
        for n, (box, label) in enumerate(zip(labels.boxes.tolist(), labels.labels.tolist(), strict=True)):
            if scores is None or scores[n] > SURE:
                _frame(out, box, colour(label + 1))
    drawn: NDArray[np.uint8] = out.round().clip(0, 255).astype(np.uint8)
    return drawn


def colour(number: int) -> tuple[float, float, float]:
    """A colour for each number, neighbours far apart; levels 0..255."""
    r, g, b = colorsys.hsv_to_rgb(number * 0.381966 % 1, 0.9, 1)
    return r * 255, g * 255, b * 255


def _frame(out: NDArray[np.float64], box: list[float], shade: tuple[float, float, float]) -> None:
    height, width = out.shape[1:]
    left, right = (int(np.clip(round(v), 0, width - 1)) for v in (box[0], box[2]))
    top, bottom = (int(np.clip(round(v), 0, height - 1)) for v in (box[1], box[3]))
    line = np.array(shade)[:, None]
    for y in (top, bottom):
        out[:, y, left : right + 1] = line
    for x in (left, right):
        out[:, top : bottom + 1, x] = line
