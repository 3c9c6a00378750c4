"""Reading the two pictures of a pair, wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusionbench.data.pairing import Reading
from fusionbench.errors import DataError
from fusionbench.pixels.images import Range, deep_levels, grey, read_image, read_rgbt

SAMPLE = 32  # pictures that are looked at for the levels of a set


def read_pair(ir: Path, vis: Path, reading: Reading, name: str = "") -> tuple[np.ndarray, np.ndarray]:
    """The infrared and the visible picture as they lie in their files.

    Args:
        ir: the infrared file.
        vis: the visible file; the same one where one file holds both.
        reading: how.
        name: stands before a message.

    Returns:
        uint8 ``[1 or 3,H,W]`` each, of one size.

    Raises:
        DataError: unreadable, infrared of more than 8 bits without a range, or sizes that differ.
    """
    if reading.rgbt4:
        return read_rgbt(ir)
    try:
        a, b = read_image(ir, reading.ir_range), read_image(vis)
    except DataError:
        check_depth([ir], reading)
        raise
    if a.shape[1:] != b.shape[1:]:
        raise DataError(
            f"{name}sizes differ: {ir} is {size_text(a)}, {vis} is {size_text(b)} (height x width); "
            "a pair must be aligned pixel by pixel"
        )
    return a, b


def for_methods(ir: np.ndarray, vis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A pair as every method and metric gets it: grey, uint8 ``[1,H,W]``, and three channels, uint8 ``[3,H,W]``."""
    return grey(ir), vis if vis.shape[0] == 3 else np.repeat(vis, 3, 0)


def check_depth(files: Sequence[Path], reading: Reading) -> None:
    """Refuse infrared of more than 8 bits where nobody says what becomes black and white.

    Args:
        files: infrared pictures; when the first is such a one, a sample of them is looked at.
        reading: how they are to be read.

    Raises:
        DataError: with the levels found.
    """
    if reading.ir_range is not None or reading.rgbt4 or not files or _levels(files[0]) is None:
        return
    sample = files[:: -(-len(files) // SAMPLE)]
    found = [levels for path in sample if (levels := _levels(path)) is not None]
    low, high = min(a for a, _ in found), max(b for _, b in found)
    where = f"{files[0]}" if len(files) == 1 else f"{files[0].parent}, {len(found)} of {len(sample)} files looked at"
    raise DataError(
        f"{where}: infrared of more than 8 bits, levels {low:.10g} to {high:.10g}; "
        f"state which become 0 and 255 in every picture, e.g. ir_range={low:.10g},{max(high, low + 1):.10g}"
    )


def _levels(path: Path) -> Range | None:
    try:
        return deep_levels(path)
    except DataError:
        return None  # said where the picture is read


def size_text(array: np.ndarray) -> str:
    """``HxW`` of a picture or label ``[...,H,W]``."""
    return f"{array.shape[-2]}x{array.shape[-1]}"
