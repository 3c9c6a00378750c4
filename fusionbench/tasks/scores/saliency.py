"""Scores of saliency maps: F, weighted F, E, S and MAE, as PySODMetrics and as CTDNet's evaluation take them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import correlate1d, distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

EPS = float(np.spacing(1))
BETA2 = 0.3
CURVES = ("f curve", "e curve", "precision", "recall")  # [256], thresholds falling
VALUES = ("f", "e", "e port", "wf", "s", "mae")
RULES = {
    "all": "every image counts; what an empty mask scores is part of each measure (PySODMetrics 1.6)",
    "ctdnet": "an image with an empty mask or an all-zero map scores 0 under every measure, MAE too, and stays in the "
    "divisor; a map of one other level is all ones (iCVTEAM/CTDNet eval/main.m)",
    "skip-empty": "as ctdnet, but such an image is left out of the divisor",
}


class SaliencyScores:
    """Scores of a data set. All are 0 to 1; higher is better, except for MAE. NaN without an image.

    With p the map in [0,1], stretched per image to reach from 0 to 1, and g its mask:

    - ``f@adp``, ``e@adp``: :func:`f_measure` and :func:`e_measure` of ``p >= min(2 mean p, 1)``, mean over images.
    - ``f@mean``, ``f@max``, ``e@mean``, ``e@max``: mean and maximum over 256 thresholds of the curve averaged over
      images, the thresholds being the levels of p * 255 cut to integers.
    - ``wf@all`` (:func:`weighted_f`), ``s@all`` (:func:`s_measure`), ``mae@all`` (mean of abs(p - g)): over images.
    - ``f``, ``e``, ``wf``, ``s``, ``mae`` at ``@ctdnet`` and ``@skip-empty``: F at the adaptive threshold, with the
      rule of :data:`RULES` for empty masks and maps; ``fmax`` is the best F of the precision and recall curves
      averaged over images. E is that of the Python port (zhaozhirui/CTDNet): ``p > 2 mean p``, not capped.

    E over all images is cut off at 1, which its divisor lets it exceed (:func:`e_measure`); PySODMetrics does not.

    F: Achanta et al., CVPR 2009 (beta^2 = .3). The curves and conventions: PySODMetrics 1.6.
    """

    def __init__(self) -> None:
        self._all: list[dict[str, Array]] = []
        self._ctdnet: list[dict[str, Array] | None] = []

    def __len__(self) -> int:
        return len(self._all)

    def update(self, pred: Tensor | ArrayLike, target: Tensor | ArrayLike) -> None:
        """Add one image.

        Args:
            pred: ``[H,W]`` or ``[1,H,W]``; integer levels 0..255, or float in [0,1]. A size other than the mask's is
                changed to it by :func:`resized`.
            target: ``[H,W]`` or ``[1,H,W]``; bool, integer levels 0..255 (salient above 128), or float in [0,1]
                (above 128.5 / 255).

        Raises:
            ValueError: another shape, or a map outside its range.
        """
        p, g = prepared(pred, target)
        low, high = float(p.min()), float(p.max())
        if high > low:
            p = (p - low) / (high - low)
        scores = _measured(p, g)
        self._all.append(scores)
        if high == 0 or not g.any():
            self._ctdnet.append(None)
        else:
            self._ctdnet.append(scores if high > low else _measured(np.ones_like(p), g))

    def merge(self, other: SaliencyScores) -> None:
        """Add the images of another process or part of the data set, after these."""
        self._all += other._all
        self._ctdnet += other._ctdnet

    def images(self) -> list[dict[str, float]]:
        """Of each image ``f@adp``, ``e@adp``, ``wf@all``, ``s@all`` and ``mae@all``, in the order of update."""
        names = {"f@adp": "f", "e@adp": "e", "wf@all": "wf", "s@all": "s", "mae@all": "mae"}
        return [{name: min(float(scores[key]), 1.0) for name, key in names.items()} for scores in self._all]

    def compute(self) -> dict[str, float]:
        """All scores by name."""
        mean = _means(self._all, len(self))
        result: dict[str, Array | np.float64] = {f"{k}@adp": mean[k] for k in ("f", "e")}
        for k in ("f", "e"):
            result[f"{k}@mean"], result[f"{k}@max"] = mean[f"{k} curve"].mean(), mean[f"{k} curve"].max()
        result |= {f"{k}@all": mean[k] for k in ("wf", "s", "mae")}
        counted = [scores for scores in self._ctdnet if scores is not None]
        for rule, count in (("ctdnet", len(self)), ("skip-empty", len(counted))):
            mean = _means(counted, count)
            mean["e"], mean["fmax"] = mean["e port"], np.asarray(f_measure(mean["precision"], mean["recall"]).max())
            result |= {f"{k}@{rule}": mean[k] for k in ("f", "fmax", "e", "wf", "s", "mae")}
        return {name: float(np.minimum(value, 1)) for name, value in result.items()}


def prepared(pred: Tensor | ArrayLike, target: Tensor | ArrayLike) -> tuple[Array, Mask]:
    """A map at the size of its mask, float64 in [0,1] and not yet stretched, and the mask as bool.

    Raises:
        ValueError: not one plane each, or a map outside its range.
    """
    x, truth = map(_array, (pred, target))
    x, truth = (v[0] if v.ndim == 3 and len(v) == 1 else v for v in (x, truth))
    if x.ndim != 2 or truth.ndim != 2 or not x.size or not truth.size:
        raise ValueError(f"a saliency map and its mask are [H,W], got {list(x.shape)} and {list(truth.shape)}")
    salient = 128.5 / 255 if truth.dtype.kind == "f" else 128  # half a level of room for the rounding of floats
    g: Mask = np.asarray(truth, np.bool_) if truth.dtype == bool else np.greater(truth, salient)
    levels = x.dtype.kind in "iu"
    p: Array = resized(x, g.shape).astype(np.float64) / (255 if levels else 1)
    if not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(f"a saliency map is 0 to 255, or 0 to 1 as float; this one is {p.min():g} to {p.max():g}")
    return p, g


def _array(values: Tensor | ArrayLike) -> NDArray[np.generic]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()  # numpy has no bfloat16
    return np.asarray(values)


def resized(x: NDArray[np.generic], size: tuple[int, ...]) -> NDArray[np.generic]:
    """Bilinear resize with half-pixel centres and no smoothing (OpenCV's ``INTER_LINEAR``).

    Args:
        x: ``[h,w]``; integer levels are rounded again.
        size: height and width.
    """
    if x.shape == tuple(size):
        return x
    given = torch.from_numpy(x.astype(np.float64))[None, None]
    y: Array = F.interpolate(given, size=tuple(size), mode="bilinear", align_corners=False)[0, 0].numpy()
    return y if x.dtype.kind == "f" else np.round(y).astype(x.dtype)


def f_measure(precision: ArrayLike, recall: ArrayLike) -> Array:
    """``1.3 P R / (.3 P + R)``, 0 where both are 0. Achanta et al., CVPR 2009; ``[...]`` in [0,1] each."""
    precision, recall = np.asarray(precision, np.float64), np.asarray(recall, np.float64)
    product = (1 + BETA2) * precision * recall
    f: Array = product / np.where(product == 0, 1, BETA2 * precision + recall)
    return f


def e_measure(hits: ArrayLike, false: ArrayLike, salient: int, size: int) -> Array:
    """Enhanced alignment of a binary map with its mask, from counts of pixels.

    ``sum (1 + a)^2 / 4 / (size - 1)`` with ``a = 2 x y / (x^2 + y^2)``, x and y the map and the mask less their
    means; where the mask is empty (full), the share of pixels that are not (are) in the map. Slightly above 1 at
    best, for the divisor, which for a single pixel is 1. Fan et al., IJCAI 2018, eqs. (2)-(6).

    Args:
        hits: salient pixels in the map, ``[...]``.
        false: other pixels in the map, same shape.
        salient: pixels of the mask that are salient.
        size: pixels of the image.
    """
    hits, false = np.asarray(hits, np.float64), np.asarray(false, np.float64)
    total: Array
    divisor = max(size - 1, 1) + EPS
    if salient in (0, size):
        total = (hits + false) if salient else size - (hits + false)
        return total / divisor
    x, y = (hits + false) / size, salient / size
    parts = (
        (1 - x, 1 - y, hits),
        (1 - x, -y, false),
        (-x, 1 - y, salient - hits),
        (-x, -y, size - salient - false),
    )
    total = sum(count * (2 * a * b / (a * a + b * b + EPS) + 1) ** 2 / 4 for a, b, count in parts)
    return total / divisor


def weighted_f(p: Array, g: Mask) -> float:
    """Weighted F, beta = 1: ``2 P R / (P + R)`` of errors that know their neighbours and their distance.

    The error of a background pixel is weighted by ``2 - .5^(d / 5)``, d its distance to the object; that of an object
    pixel is replaced by its 7x7 Gaussian mean (sigma 5, background pixels holding the error of the nearest object
    pixel) where that is smaller. 0 for an empty mask. Margolin et al., CVPR 2014.

    Args:
        p: map, float64 ``[H,W]`` in [0,1].
        g: mask, bool ``[H,W]``.
    """
    if not g.any():
        return 0.0
    background = ~g
    distance, (row, column) = distance_transform_edt(background, return_indices=True)
    error = np.abs(p - g)
    kernel = np.exp(-(np.arange(-3, 4) ** 2) / 50.0)
    kernel /= kernel.sum()
    near = error[row, column]
    for axis in (0, 1):
        near = correlate1d(near, kernel, axis, mode="constant")
    inside = np.minimum(error[g], near[g])
    outside = (error[background] * (2 - np.exp(np.log(0.5) / 5 * distance[background]))).sum()
    hits = g.sum() - inside.sum()
    recall, precision = 1 - inside.mean(), hits / (hits + outside + EPS)
    return float(2 * recall * precision / (recall + precision + EPS))


def s_measure(p: Array, g: Mask, alpha: float = 0.5) -> float:
    """Structure measure ``max(0, alpha object + (1 - alpha) region)``; the mean of p or 1 - p for a full or empty mask.

    object: ``2 m / (m^2 + 1 + s)``, m and s mean and deviation of p over the mask and of 1 - p over the rest, weighted
    by their areas. region: SSIM without constants of the four rectangles that meet at the centre of mass of the mask,
    weighted by area. Fan et al., ICCV 2017, eqs. (1)-(9). A rectangle without pixels (the centre on the last row or
    column) has weight 0; PySODMetrics and the MATLAB code give NaN there.

    Args:
        p: map, float64 ``[H,W]`` in [0,1].
        g: mask, bool ``[H,W]``.
        alpha: weight of the object term.
    """
    share = g.mean()
    if share in (0, 1):
        return float(p.mean() if share else 1 - p.mean())
    objects = share * _alike(p[g]) + (1 - share) * _alike((1 - p)[~g])
    y, x = (int(v) + 1 for v in np.argwhere(g).mean(0).round())
    regions = 0.0
    for rows in (slice(0, y), slice(y, None)):
        for columns in (slice(0, x), slice(x, None)):
            if p[rows, columns].size:
                regions += _ssim(p[rows, columns], g[rows, columns]) * p[rows, columns].size / p.size
    return float(max(0.0, alpha * objects + (1 - alpha) * regions))


def _alike(values: Array) -> float:
    mean, deviation = values.mean(), values.std(ddof=1) if values.size > 1 else 0.0
    return float(2 * mean / (mean * mean + 1 + deviation + EPS))


def _ssim(p: Array, g: Mask) -> float:
    x, y, count = p.mean(), g.mean(), p.size - 1 + EPS
    dx, dy = p - x, g - y
    above = 4 * x * y * (dx * dy).sum() / count
    below = (x * x + y * y) * ((dx**2).sum() / count + (dy**2).sum() / count)
    if above != 0:
        return float(above / (below + EPS))
    return float(below == 0)


def _measured(p: Array, g: Mask) -> dict[str, Array]:
    """Every score and curve of one image."""
    size, salient = g.size, int(np.count_nonzero(g))
    counts = np.bincount((p * 255).astype(np.uint8).ravel() + 256 * g.ravel().astype(np.intp), minlength=512)
    false, hits = counts.reshape(2, 256)[:, ::-1].cumsum(1)  # of the map at thresholds 255, 254, .. 0
    twice = 2 * p.mean()
    capped, uncapped = p >= min(twice, 1), p > twice
    hit, chosen = np.count_nonzero(capped & g), np.count_nonzero(capped)
    hit_port, chosen_port = np.count_nonzero(uncapped & g), np.count_nonzero(uncapped)
    precision, recall = hits / np.maximum(hits + false, 1), hits / max(salient, 1)
    return {
        "f": f_measure(hit / chosen if chosen else 0, hit / salient if salient else 0),
        "f curve": f_measure(precision, recall),
        "precision": precision,
        "recall": recall,
        "e": e_measure(hit, chosen - hit, salient, size),
        "e port": e_measure(hit_port, chosen_port - hit_port, salient, size),
        "e curve": e_measure(hits, false, salient, size),
        "wf": np.asarray(weighted_f(p, g)),
        "s": np.asarray(s_measure(p, g)),
        "mae": np.asarray(np.abs(p - g).mean()),
    }


def _means(rows: list[dict[str, Array]], count: int) -> dict[str, Array]:
    """Sums over the images divided by `count`; NaN where that is 0."""
    total = {name: np.zeros(256 if name in CURVES else ()) for name in (*CURVES, *VALUES)}
    for row in rows:
        for name in total:
            total[name] = total[name] + row[name]
    return {name: value / count if count else value + np.nan for name, value in total.items()}
