"""Scores saved pictures: colour rules, shared terms, one image's failure kept to itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.entries import Entry
from fusionbench.evaluation.plan import Source
from fusionbench.evaluation.protocol import Metric
from fusionbench.pixels.images import grey, read_image
from fusionbench.plugins.registry import resolve
from fusionbench.results.store import Store

Todo = tuple[Entry, str, str, list[Metric]]  # entry, hash of its picture, path below the output directory, metrics


def digest(picture: np.ndarray) -> str:
    """SHA-256 of a picture's shape and pixels."""
    return hashlib.sha256(str(picture.shape).encode() + picture.tobytes()).hexdigest()


def reason_of(error: BaseException) -> str:
    """An exception as one line; the type is named where the text was not written for users."""
    text = " ".join(str(error).split())
    return (
        text if isinstance(error, (FusionbenchError, ValueError)) and text else f"{type(error).__name__}: {text}"[:300]
    )


class Views:
    """One picture as metric input, under every colour rule; made on first use and kept.

    Args:
        picture: uint8 ``[1 or 3,H,W]``.
        device: where metrics compute.
    """

    def __init__(self, picture: np.ndarray, device: str) -> None:
        self.picture, self.device = picture, device
        self._kept: dict[str, list[Any]] = {}

    def under(self, rule: str) -> list[Any]:
        """The grey images to score under a colour rule; the metric's value is the mean over them."""
        if rule not in self._kept:
            p = self.picture
            channels = [p[c : c + 1] for c in range(len(p))]
            if rule == "gray":
                made = [self._planes(grey(p))]
            elif rule == "joined":
                made = [self._planes(np.concatenate((channels * 3)[:3], axis=2))]
            else:
                made = ([self._planes(c) for c in channels] * 3)[:3]
            self._kept[rule] = made
        return self._kept[rule]

    def _planes(self, array: np.ndarray) -> Any:
        import torch

        from fusionbench.metrics import Planes

        return Planes(torch.from_numpy(np.ascontiguousarray(array)).to(self.device))


def score(function: Callable[..., Any], metric: Metric, fused: Views, ir: Views, vis: Views) -> float:
    """One metric of one picture under its colour rule; NaN where it is undefined."""
    triples = zip(fused.under(metric.colour), ir.under(metric.colour), vis.under(metric.colour), strict=True)
    values = [float(function(*triple, **metric.options)[0]) for triple in triples]
    return sum(values) / len(values)


class Scorer:
    """Scores the pictures that several entries made of one source pair, so that source terms are computed once."""

    def __init__(self, source: Source, store: Store, device: str) -> None:
        self.source, self.store, self.device = source, store, device
        self.functions = {m.id: resolve("metric", m.card.name) for m in source.metrics}

    def __call__(
        self, job: tuple[str, str, list[Todo]]
    ) -> tuple[list[tuple[str, str, float]], dict[str, str], dict[str, str]]:
        """Score one image.

        Returns:
            (picture hash, metric id, value) of everything asked; metric id to what it raised; entry key to what is
            wrong with its picture.
        """
        import torch

        ident, _, todo = job
        pair = self.source.dataset.pair(self.source.split, ident)
        ir, vis = Views(pair.ir, self.device), Views(pair.vis, self.device)
        values: dict[tuple[str, str], float] = {}
        broken: dict[str, str] = {}
        changed: dict[str, str] = {}
        with torch.inference_mode():
            for entry, image, path, metrics in todo:
                try:
                    picture = read_image(self.store.folder / path)  # scored is what was saved, re-read
                    if digest(picture) != image:
                        raise DataError(f"{self.store.folder / path}: changed since it was fused; run again")
                except DataError as error:
                    changed[entry.key] = reason_of(error)
                    continue
                fused = Views(picture, self.device)
                for m in metrics:
                    if (image, m.id) not in values and m.id not in broken:
                        try:
                            values[image, m.id] = score(self.functions[m.id], m, fused, ir, vis)
                        except Exception as error:
                            # A metric that fails loses its column, not the others.
                            broken[m.id] = f"{reason_of(error)} (on {ident}, {entry.id})"
        return [(image, name, value) for (image, name), value in values.items()], broken, changed
