"""Rows of tables: what one entry scored, image by image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionbench.results.records import EntryInfo

RESAMPLES = 2000
Values = NDArray[np.float64]  # [N], one per image


def interval(values: Values) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean (2000 resamples, seed 0).

    By hand, as ``scipy.stats.bootstrap`` draws other resamples, and intervals in print would change.
    """
    draws = np.random.default_rng(0).integers(0, values.size, (RESAMPLES, values.size))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Row:
    """One entry: metric id to per-image values, aligned with the table's ids (NaN where undefined)."""

    info: EntryInfo
    values: dict[str, Values]

    @property
    def id(self) -> str:
        """The entry's id."""
        return self.info.id

    @property
    def source_only(self) -> bool:
        """Whether it is a source image, which is not ranked."""
        return self.info.source_only

    @property
    def ranked(self) -> bool:
        """Whether it takes part in rankings."""
        return self.info.ranked

    def undefined(self, metric_id: str) -> NDArray[np.bool_]:
        """On which images a metric has no value, ``[N]``."""
        return np.isnan(self.values[metric_id])

    def count(self, metric_id: str) -> int:
        """On how many images a metric has a value."""
        return int((~self.undefined(metric_id)).sum())

    def mean(self, metric_id: str) -> float:
        """Mean over the images where the metric is defined; NaN when it is nowhere."""
        defined = self.values[metric_id][~self.undefined(metric_id)]
        return float(defined.mean()) if defined.size else math.nan

    def deviation(self, metric_id: str) -> float:
        """NaN: a single network; see :class:`fusionbench.report.seed_rows.SeedRow`."""
        return math.nan

    def interval(self, metric_id: str) -> tuple[float, float]:
        """95 % bootstrap interval of the mean over images, see :func:`interval`; NaN below two images with a value.

        Resamples of one image are all that image: an interval without width would claim a mean that nothing shows.
        """
        defined = self.values[metric_id][~self.undefined(metric_id)]
        return interval(defined) if defined.size > 1 else (math.nan, math.nan)
