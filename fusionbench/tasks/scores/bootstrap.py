"""Average precision over resampled images: from what each image's boxes matched, without matching them again."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

RECALLS = np.linspace(0, 1, 101)
AT_ONCE = 1 << 22  # numbers in an array of resamples by boxes
Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]


class ClassMatches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The boxes and objects of one class.

    Attributes:
        objects: their number in each image.
        image: of each box, best score first; those behind the last match change nothing and are left out.
        hits: of each box, the IoU thresholds at which it matched an object: bit 0 for the first one.
    """

    objects: list[Number]
    image: list[Number]
    hits: list[Number]

    def __post_init__(self) -> None:
        if len(self.image) != len(self.hits) or (self.image and max(self.image) >= len(self.objects)):
            raise ValueError("a match of no box, or a box of no image")


def of_rows(scores: Array, image: Counts, matched: NDArray[np.bool_], objects: Counts) -> ClassMatches:
    """The matches of one class in the form that is kept.

    Args:
        scores: of the boxes, ``[N]``, those of an image together and best first.
        image: of each box, ``[N]``, increasing.
        matched: bool ``[thresholds,N]``.
        objects: in each image, ``[images]``.
    """
    order = np.argsort(-scores, kind="mergesort")  # as pycocotools sorts
    bits = (matched.astype(np.int64) << np.arange(len(matched))[:, None]).sum(0)[order]
    last = np.flatnonzero(bits)[-1] + 1 if bits.any() else 0
    return ClassMatches(objects.tolist(), image[order][:last].tolist(), bits[:last].tolist())


def resamples(images: int, count: int, seed: int = 0) -> Counts:
    """How often each image is drawn: int64 ``[count,images]``, each row as many draws as there are images."""
    draws = np.random.default_rng(seed).integers(0, images, (count, images))
    return np.stack([np.bincount(row, minlength=images) for row in draws])


def average_precision(found: ClassMatches, weights: Counts, threshold: int = 0) -> Array:
    """AP of a class by pycocotools' rule, each image as often as its weight says.

    Copies of an image lie side by side, as they would if its boxes were given several times.

    Args:
        found: the class.
        weights: ``[resamples,images]``.
        threshold: which of the IoU thresholds.

    Returns:
        float64 ``[resamples]`` in 0..1; NaN where no object was drawn.
    """
    rows = max(1, AT_ONCE // max(1, len(found.image)))
    parts = [_some(found, weights[n : n + rows], threshold) for n in range(0, len(weights), rows)]
    return np.concatenate(parts)


def _some(found: ClassMatches, weights: Counts, threshold: int) -> Array:
    objects = weights @ np.array(found.objects, np.int64)
    image, hits = np.array(found.image, np.int64), np.array(found.hits, np.int64) >> threshold & 1
    matches = np.flatnonzero(hits)
    ap = np.where(objects > 0, 0.0, np.nan)
    if not len(matches):
        return ap
    # The envelope of precision changes at matches alone; a match that was not drawn lies below its predecessor.
    walked = np.cumsum(weights[:, image], 1)[:, matches]
    right = np.cumsum(weights[:, image[matches]], 1)
    precision = right / (walked + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    for row in np.flatnonzero(objects):
        at = np.searchsorted(right[row] / objects[row], RECALLS, side="left")
        ap[row] = np.append(envelope[row], 0.0)[at].mean()
    return ap
