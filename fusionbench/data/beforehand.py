"""What is looked at before a split is read: whether its pictures pair at all, and how deep they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionbench.data.dataset import Dataset
from fusionbench.data.pairing import nearest, unpaired
from fusionbench.errors import DataError
from fusionbench.pixels.images import deep_levels


def look_at(dataset: Dataset, split: str, ids: Sequence[str]) -> list[str]:
    """What the user should know before a split is read, a line each.

    Args:
        dataset: the dataset.
        split: one of its splits.
        ids: the pairs that are meant.

    Raises:
        DataError: no picture has a partner, or infrared of more than 8 bits without a range.
    """
    notes = list(dataset.layout.notes)
    folders = dataset.split(split).folders
    ir, vis = (
        {i: path for folder in reversed(folders) for i, path in dataset.layout.index(role, folder).items()}
        for role in ("ir", "vis")
    )
    alone = [i for i in ids if i not in ir or i not in vis]
    own = dataset.card.facts.generic  # other layouts have the names of their authors
    if alone and len(alone) == len(ids) and own and (remedy := unpaired(ir, vis)):
        raise DataError(f"{dataset.name}: no infrared picture is named like a visible one: {remedy}")
    if alone:
        first = alone[0]
        here, other = (ir, vis) if first in ir else (vis, ir)
        near = nearest(first, set(other) - set(here))
        word = dataset.card.facts.sources[here is ir]
        notes.append(
            f"warning: {len(alone)} of {len(ids)} names have one picture only, first {first} without {word}{near}"
        )
    dataset.check_depth(split, ids)
    notes += _range_of_none(dataset, [ir[i] for i in ids if i in ir])
    return notes


def _range_of_none(dataset: Dataset, files: Sequence[Path]) -> list[str]:
    """Whether a range was stated for pictures that have 8 bits."""
    given = dataset.reading.ir_range
    if given is None or given == dataset.card.facts.ir_range or not files:
        return []
    try:
        if deep_levels(files[0]) is not None:
            return []
    except DataError:
        return []  # said where the picture is read
    return [f"warning: ir_range={given[0]:g},{given[1]:g}: {files[0]} has 8 bits and is read as it is"]
