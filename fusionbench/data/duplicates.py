"""Frames of one scene: what two pictures of it have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from fusionbench.pixels.images import grey

# Cosine from which two visible images count as one scene. Measured: consecutive frames of M3FD 0.62, one LLVIP camera
# 0.66 to 0.85; among the 64,980 pairs of MSRS test images fewer than 10 exceed 0.4.
ALIKE = 0.5


def signature(image: np.ndarray) -> np.ndarray:
    """What two pictures of one scene share: local contrast on a 16x16 grid, as a float32 unit vector ``[256]``.

    Args:
        image: uint8 ``[C,H,W]``.
    """
    small = Image.fromarray(grey(image)[0]).resize((16, 16), Image.Resampling.BOX)
    grid = np.asarray(small, np.float64)
    padded = np.pad(grid, 1, "edge")
    around = np.mean([padded[y : y + 16, x : x + 16] for y in range(3) for x in range(3)], axis=0)
    local = grid - around
    local = (np.sign(local) * np.sqrt(np.abs(local))).ravel()  # the root keeps one lamp from deciding alone
    unit: np.ndarray = (local / max(np.linalg.norm(local), 1e-9)).astype(np.float32)
    return unit


def near_duplicates(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], alike: float = ALIKE
) -> list[tuple[int, int, float]]:
    """Nearest signature of ``first`` for each one of ``second``.

    Returns:
        (index in first, index in second, cosine) where the cosine reaches ``alike``.
    """
    if not first or not second:
        return []
    known, near = np.stack(first), []
    for start in range(0, len(second), 256):
        cosines = np.stack(second[start : start + 256]) @ known.T
        best = cosines.argmax(1)
        near += [(int(b), start + i, float(cosines[i, b])) for i, b in enumerate(best) if cosines[i, b] >= alike]
    return near
