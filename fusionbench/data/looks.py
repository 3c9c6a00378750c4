"""Whether the pictures of a pair look like what they should be: swapped roles, one file twice, levels 0 and 1."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from fusionbench.pixels.images import grey
from fusionbench.plugins.records import SOURCES

# Oddity to how it reads, and whether it counts only where most pairs have it.
ODDITIES = {
    "swapped": ("{ir} is coloured and {vis} is grey in {pairs}: are the folders swapped?", True),
    "ir-colour": ("{ir} is coloured in {pairs}: if these are false colours, their luma is no temperature", True),
    "same": ("the {ir} image is the {vis} image in {pairs}; one folder copied to both?", False),
    "ir-unit": ("{ir} has no level but 0 and 1 in {pairs}: saved 0..1 as 8 bit?", False),
    "vis-unit": ("{vis} has no level but 0 and 1 in {pairs}: saved 0..1 as 8 bit?", False),
    "fused-unit": ("no level but 0 and 1 in {pairs}: saved 0..1 as 8 bit?", False),
    "ir-flat": ("{ir} is the same level everywhere in {pairs}", False),
    "vis-flat": ("{vis} is the same level everywhere in {pairs}", False),
    "fused-flat": ("the same level everywhere in {pairs}", False),
}
COLOURED = (
    3.0  # mean distance of the channels in levels; visible pictures of the known sets have 6 and more, by night too
)
_STEP = 8  # a grid of pixels tells colour


def look(ir: np.ndarray, vis: np.ndarray) -> frozenset[str]:
    """What is odd about a pair, see :data:`ODDITIES`.

    Args:
        ir: as read, uint8 ``[1 or 3,H,W]``.
        vis: the same of the visible image.
    """
    odd = {name for name in (levels(ir, "ir"), levels(vis, "vis")) if name}
    if _coloured(ir):
        odd.add("ir-colour" if _coloured(vis) else "swapped")
    if _same(ir, vis):
        odd.add("same")
    return frozenset(odd)


def levels(picture: np.ndarray, role: str) -> str:
    """``ROLE-flat``, ``ROLE-unit`` or ``""``: whether a picture has one level, or none but 0 and 1."""
    grid = picture[:, ::_STEP, ::_STEP]
    if grid.max() > 1 and grid.min() != grid.max():
        return ""
    low, high = int(picture.min()), int(picture.max())
    if high > 1 and low != high:
        return ""
    return f"{role}-unit" if high == 1 else f"{role}-flat"


def _coloured(picture: np.ndarray) -> bool:
    if len(picture) == 1:
        return False
    grid = picture[:, ::_STEP, ::_STEP].astype(np.int16)
    return float((grid.max(0) - grid.min(0)).mean()) > COLOURED


def _same(ir: np.ndarray, vis: np.ndarray) -> bool:
    if ir.shape[1:] != vis.shape[1:]:
        return False
    a, b = (grey(np.ascontiguousarray(x[:, ::_STEP, ::_STEP])) for x in (ir, vis))
    return np.array_equal(a, b) and np.array_equal(grey(ir), grey(vis))


def warnings(
    looks: Mapping[str, Collection[str]], expected: Iterable[str] = (), sources: tuple[str, str] = SOURCES
) -> dict[str, tuple[str, list[str]]]:
    """What is odd about pictures, each kind once.

    Args:
        looks: image id to its oddities.
        expected: oddities that a card declares.
        sources: what the two images of a pair are called.

    Returns:
        Oddity to a line without the pictures' name, and the ids.
    """
    found, (ir, vis) = {}, sources
    for name, (text, most) in ODDITIES.items():
        ids = sorted(i for i, odd in looks.items() if name in odd)
        if ids and name not in expected and (not most or 2 * len(ids) > len(looks)):
            found[name] = text.format(ir=ir, vis=vis, pairs=f"{len(ids)} of {len(looks)} pairs (first {ids[0]})"), ids
    return found
