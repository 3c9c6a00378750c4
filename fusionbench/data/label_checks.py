"""Labels, read before hours are spent on what then cannot be scored or learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np

from fusionbench.data import Dataset, Sample
from fusionbench.errors import DataError
from fusionbench.pixels.images import image_size


def check_labels(dataset: Dataset, split: str, ids: Sequence[str]) -> None:
    """Read every label of these pairs, before hours are spent on what then cannot be scored or learnt from.

    Raises:
        DataError: the first that is damaged, in the words of :func:`check`, and how many more there are.
    """
    with ThreadPoolExecutor() as pool:
        damage = [line for line in pool.map(_label_damage, repeat(dataset), repeat(split), ids) if line]
    if damage:
        more = f"; {len(damage) - 1} more of {len(ids)}: fusionbench data check {dataset.name}" if damage[1:] else ""
        raise DataError(damage[0] + more)


def _label_damage(dataset: Dataset, split: str, ident: str) -> str:
    """What is wrong with the labels of a pair, whose images are looked at only for their size."""
    try:
        files = dataset.files(split, ident)
        if files.ir is not None:
            width, height = image_size(files.ir)
            blank = np.broadcast_to(np.uint8(0), (3, height, width))
            dataset.read_labels(Sample(ident, split, blank[:1], blank))
    except DataError as error:
        return str(error)
    return ""
