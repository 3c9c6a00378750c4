"""The pixels of a pair, as every method and metric gets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusionbench.pixels.images import grey, read_image


def read_pair(ir: Path, vis: Path) -> tuple[np.ndarray, np.ndarray]:
    """The infrared image as grey, uint8 ``[1,H,W]``, and the visible one in three channels, uint8 ``[3,H,W]``.

    Raises:
        DataError: a file cannot be read.
    """
    seen = read_image(vis)
    return grey(read_image(ir)), seen if seen.shape[0] == 3 else np.repeat(seen, 3, 0)
