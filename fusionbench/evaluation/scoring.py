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
from fusionbench.evaluation.plan import Source
from fusionbench.evaluation.protocol import Metric
from fusionbench.metrics import Planes
from fusionbench.pixels.images import grey, picture_digest, read_image
from fusionbench.plugins.registry import resolve
from fusionbench.results.store import Store


class Picture(NamedTuple):
    """A fused picture with the metrics it lacks."""

    entry: Entry
    digest: str
    """SHA-256, see :func:`fusionbench.pixels.images.picture_digest`."""
    path: str
    """Below the output directory."""
    metrics: list[Metric]


@dataclass
class ImageScores:
    """What came of scoring the pictures of one pair.

    Attributes:
        values: (digest of the picture, metric id) to the score.
        broken: metric id to what it raised.
        changed: entry key to what is wrong with its picture.
    """

    values: dict[tuple[str, str], float] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)


def reason_of(error: BaseException) -> str:
    """An exception as one line; the type is named where the text was not written for users."""
    text = " ".join(str(error).split())
    return (
        text if isinstance(error, (FusionbenchError, ValueError)) and text else f"{type(error).__name__}: {text}"[:300]
    )


class Views:
    """One picture as metric input, under every colour rule; made on first use.

    Args:
        picture: uint8 ``[1 or 3,H,W]``.
        device: where metrics compute.
    """

    def __init__(self, picture: np.ndarray, device: str) -> None:
        self.picture, self.device = picture, device
        self._made: dict[str, list[Planes]] = {}

    def under(self, rule: str) -> list[Planes]:
        """The grey images to score under a colour rule; the metric's value is the mean over them."""
        if rule not in self._made:
            p = self.picture
            channels = [p[c : c + 1] for c in range(len(p))]
            if rule == "grey":
                made = [self._planes(grey(p))]
            elif rule == "joined":
                made = [self._planes(np.concatenate((channels * 3)[:3], axis=2))]
            else:
                made = ([self._planes(c) for c in channels] * 3)[:3]
            self._made[rule] = made
        return self._made[rule]

    def _planes(self, array: np.ndarray) -> Planes:
        return Planes(torch.from_numpy(np.ascontiguousarray(array)).to(self.device))


def score(function: Callable[..., Tensor], metric: Metric, fused: Views, ir: Views, vis: Views) -> float:
    """One metric of one picture under its colour rule; NaN where it is undefined."""
    triples = zip(fused.under(metric.colour), ir.under(metric.colour), vis.under(metric.colour), strict=True)
    values = [float(function(*triple, **metric.options)[0]) for triple in triples]
    return sum(values) / len(values)


class Scorer:
    """Scores the pictures that several entries made of one source pair, so that source terms are computed once.

    Args:
        source: whose pictures.
        store: holds them.
        device: where metrics compute.
        read: gives the infrared and the visible picture of a source by their id.
    """

    def __init__(
        self, source: Source, store: Store, device: str, read: Callable[[Source, str], tuple[np.ndarray, np.ndarray]]
    ) -> None:
        self.source, self.store, self.device, self.read = source, store, device, read
        self.functions = {m.id: resolve("metric", m.card.name) for m in source.metrics}

    def __call__(self, job: tuple[str, list[Picture]]) -> ImageScores:
        """Score the pictures of one image, given its id.

        Raises:
            DataError: the pair cannot be read.
        """
        ident, pictures = job
        ir, vis = (Views(picture, self.device) for picture in self.read(self.source, ident))
        result = ImageScores()
        with torch.inference_mode():
            for entry, saved, path, metrics in pictures:
                try:
                    picture = read_image(self.store.folder / path)  # scored is what was saved, re-read
                    if picture_digest(picture) != saved:
                        raise DataError(f"{self.store.folder / path}: changed since it was fused; run again")
                except DataError as error:
                    result.changed[entry.key] = reason_of(error)
                    continue
                fused = Views(picture, self.device)
                for m in metrics:
                    if (saved, m.id) not in result.values and m.id not in result.broken:
                        try:
                            result.values[saved, m.id] = score(self.functions[m.id], m, fused, ir, vis)
                        except Exception as error:
                            # A metric that fails loses its column, not the others.
                            result.broken[m.id] = f"{reason_of(error)} (on {ident}, {entry.id})"
        return result
