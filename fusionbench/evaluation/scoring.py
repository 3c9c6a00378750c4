"""Scores saved pictures: colour rules, shared terms, one image's failure kept to itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.entries import Entry
from fusionbench.evaluation.protocol import Metric
from fusionbench.evaluation.source import Source
from fusionbench.metrics import Planes
from fusionbench.pixels.images import grey
from fusionbench.plugins.registry import resolve
from fusionbench.results.store import Store
from fusionbench.runtime.device import turn

TOGETHER = 32 * 480 * 640  # pixels of the pictures that a graphics card scores at once


class Picture(NamedTuple):
    """A fused picture with the metrics it lacks."""

    entry: Entry
    digest: str
    """SHA-256, see :func:`fusionbench.pixels.images.picture_digest`."""
    path: str
    """Below the output directory."""
    metrics: tuple[Metric, ...]


@dataclass
class ImageScores:
    """What came of scoring the pictures of one pair.

    Attributes:
        values: (digest of the picture, metric id) to the score.
        broken: metric id to what it raised.
        changed: entry key to what is wrong with its picture.
        unread: entry key to why its picture cannot be had now, though it may be there.
    """

    values: dict[tuple[str, str], float] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def reason_of(error: BaseException) -> str:
    """An exception as one line; the type is named where the text was not written for users."""
    text = " ".join(str(error).split())
    return (
        text if isinstance(error, (FusionbenchError, ValueError)) and text else f"{type(error).__name__}: {text}"[:300]
    )


class Views:
    """Pictures of one size as metric input, under every colour rule; made on first use.

    Args:
        pictures: uint8 ``[1 or 3,H,W]``, or several, ``[N,1 or 3,H,W]``.
        device: where metrics compute.
        times: how often each stands in the batch, to be compared with as many others.
    """

    def __init__(self, pictures: np.ndarray, device: str, times: int = 1) -> None:
        self.pictures = pictures if pictures.ndim == 4 else pictures[None]
        self.device, self.times = device, times
        self._made: dict[str, list[Planes]] = {}

    def under(self, rule: str) -> list[Planes]:
        """The grey images to score under a colour rule; the metric's value is the mean over them."""
        if rule not in self._made:
            p = self.pictures
            channels = [p[:, c : c + 1] for c in range(p.shape[1])]
            if rule == "grey":
                made = [self._planes(np.stack([grey(picture) for picture in p]))]
            elif rule == "joined":
                made = [self._planes(np.concatenate((channels * 3)[:3], axis=3))]
            else:
                made = ([self._planes(c) for c in channels] * 3)[:3]
            self._made[rule] = made
        return self._made[rule]

    def _planes(self, arrays: np.ndarray) -> Planes:
        images = torch.from_numpy(np.ascontiguousarray(arrays)).to(self.device)
        return Planes(images.repeat_interleave(self.times, 0) if self.times > 1 else images)


def scores(function: Callable[..., Tensor], metric: Metric, fused: Views, ir: Views, vis: Views) -> Tensor:
    """One metric of every picture under its colour rule, float64 ``[N]``; NaN where it is undefined.

    Raises:
        ValueError: the metric does not give one value for each picture.
    """
    triples = list(zip(*(views.under(metric.colour) for views in (fused, ir, vis)), strict=True))
    values = [function(*triple, **metric.options) for triple in triples]
    for value in values:
        if list(value.shape) != [len(fused.pictures)]:
            raise ValueError(f"returned values {list(value.shape)} for {len(fused.pictures)} images")
    return sum((value.double() for value in values), torch.zeros_like(values[0], dtype=torch.float64)) / len(values)


def score(function: Callable[..., Tensor], metric: Metric, fused: Views, ir: Views, vis: Views) -> float:
    """:func:`scores` of one picture."""
    return float(scores(function, metric, fused, ir, vis))


class Scorer:
    """Scores the pictures that several entries made of one source pair, so that source terms are computed once.

    A processor takes picture by picture, whose parts then stay in its cache; other devices take many at once.

    Args:
        source: whose pictures.
        store: holds them.
        device: where metrics compute.
        read: gives the infrared and the visible picture of a source by their id.
        together: pixels of the pictures that are scored at once; None for what suits the device.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        device: str,
        read: Callable[[Source, str], tuple[np.ndarray, np.ndarray]],
        together: int | None = None,
    ) -> None:
        self.source, self.store, self.device, self.read = source, store, device, read
        self.together = together if together is not None else 1 if device == "cpu" else TOGETHER
        self.functions = {m.id: resolve("metric", m.card.name) for m in source.metrics}

    def __call__(self, job: tuple[str, list[Picture]]) -> ImageScores:
        """Score the pictures of one image, given its id.

        Raises:
            DataError: the pair cannot be read.
        """
        ident, pictures = job
        pair = self.read(self.source, ident)
        room = max(1, self.together // pair[0].size)
        sources: dict[int, tuple[Views, Views]] = {}
        result = ImageScores()
        for first in range(0, len(pictures), room):
            alike: dict[object, dict[str, tuple[Picture, np.ndarray]]] = {}
            for picture in pictures[first : first + room]:
                pixels = self._read(picture, result)
                lacking = tuple(m.id for m in picture.metrics if (picture.digest, m.id) not in result.values)
                if pixels is not None and lacking:
                    alike.setdefault((pixels.shape, lacking), {})[picture.digest] = picture, pixels
            with turn(self.device), torch.inference_mode():
                for batch in alike.values():
                    if (n := len(batch)) not in sources:
                        ir, vis = (Views(pixels, self.device, n) for pixels in pair)
                        sources[n] = ir, vis
                    self._score(ident, list(batch.values()), sources[n], result)
        return result

    def _read(self, picture: Picture, result: ImageScores) -> np.ndarray | None:
        """The pixels, or None where they are not those that were fused, or cannot be had."""
        try:
            return self.store.shelf.read(picture.path, picture.digest)  # scored is what was saved, re-read
        except DataError as error:
            result.changed[picture.entry.key] = reason_of(error)
        except FusionbenchError as error:
            result.unread[picture.entry.key] = reason_of(error)
        return None

    def _score(
        self, ident: str, batch: list[tuple[Picture, np.ndarray]], sources: tuple[Views, Views], result: ImageScores
    ) -> None:
        """Every metric that pictures of one size lack; the values come from the device in one piece."""
        fused = Views(np.stack([pixels for _, pixels in batch]), self.device)
        found: dict[str, Tensor] = {}
        for m in batch[0][0].metrics:
            if m.id not in result.broken:
                try:
                    found[m.id] = scores(self.functions[m.id], m, fused, *sources)
                except Exception as error:
                    # A metric that fails loses its column, not the others.
                    result.broken[m.id] = f"{reason_of(error)} (on {ident}, {batch[0][0].entry.id})"
        if found:
            for name, values in zip(found, torch.stack(list(found.values())).tolist(), strict=True):
                for (picture, _), value in zip(batch, values, strict=True):
                    result.values[picture.digest, name] = value
