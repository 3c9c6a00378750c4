"""One aligned pair with its labels, and where its parts lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusionbench.data.labels import Boxes


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where the parts of one sample lie; None for what is not there."""

    ir: Path | None
    vis: Path | None
    mask: Path | None = None
    boxes: Path | None = None
    saliency: Path | None = None


@dataclass
class Sample:
    """One aligned pair and its labels.

    Attributes:
        id: the file stem.
        split: the split it was read from.
        ir: uint8 ``[1,H,W]``.
        vis: uint8 ``[3,H,W]``.
        mask: uint8 ``[H,W]`` class ids, or None.
        boxes: objects, or None when there is no annotation file (no objects is an empty :class:`Boxes`).
        saliency: uint8 ``[H,W]``, 0 or 255, or None.
    """

    id: str
    split: str
    ir: np.ndarray
    vis: np.ndarray
    mask: np.ndarray | None = None
    boxes: Boxes | None = None
    saliency: np.ndarray | None = None
