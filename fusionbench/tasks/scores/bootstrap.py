"""Average precision over resampled images: from what each image's boxes matched, without matching them again."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

RECALLS = np.linspace(0, 1, 101)
AT_ONCE = 1 << 22  # numbers in an array of resamples by boxes
LARGEST = 1 << 31


class ClassMatches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The boxes and objects of one class: whole numbers in one text each, which in a file of results is a line.

    Attributes:
        objects: their number in each image.
        image: of each box, best score first; those behind the last match change nothing and are left out.
        hits: of each box, the IoU thresholds at which it matched an object: bit 0 for the first one.
    """

    objects: str
    image: str
    hits: str

    def numbers(self) -> tuple[Counts, Counts, Counts]:
        """The three as int64 ``[images]``, ``[N]`` and ``[N]``.

        Raises:
            ValueError: they are not of this form.
        """
        objects, image, hits = map(_numbers, (self.objects, self.image, self.hits))
        if len(image) != len(hits) or (len(image) and image.max() >= len(objects)):
            raise ValueError("a match of no box, or a box of no image")
        return objects, image, hits


def _numbers(text: str) -> Counts:
    try:
        numbers = np.array(text.split(), np.int64)
    except OverflowError:
        raise ValueError("a number that counts nothing") from None
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < LARGEST:
        raise ValueError("a number that counts nothing")
    return numbers


def _text(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))


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
    return ClassMatches(_text(objects.tolist()), _text(image[order][:last].tolist()), _text(bits[:last].tolist()))


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

    Raises:
        ValueError: the matches are none, or of other images.
    """
    objects, image, hits = found.numbers()
    if weights.shape[1] != len(objects):
        raise ValueError("matches of other images")
    rows = max(1, AT_ONCE // max(1, len(image)))
    hits = hits >> threshold & 1
    parts = [_some(objects, image, hits, weights[n : n + rows]) for n in range(0, len(weights), rows)]
    return np.concatenate(parts)


def _some(objects: Counts, image: Counts, hits: Counts, weights: Counts) -> Array:
    total, matches = weights @ objects, np.flatnonzero(hits)
    ap = np.where(total > 0, 0.0, np.nan)
    if not len(matches):
        return ap
    # The envelope of precision changes at matches alone; a match that was not drawn lies below its predecessor.
    walked = np.cumsum(weights[:, image], 1)[:, matches]
    right = np.cumsum(weights[:, image[matches]], 1)
    precision = right / (walked + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    for row in np.flatnonzero(total):
        at = np.searchsorted(right[row] / total[row], RECALLS, side="left")
        ap[row] = np.append(envelope[row], 0.0)[at].mean()
    return ap
