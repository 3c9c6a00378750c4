"""Frames shared by what is trained on and what is tested on: the same files, or pictures of one scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from fusionbench.pixels.images import grey

# Cosine from which two visible images count as one scene. Measured: consecutive frames of M3FD 0.62, one LLVIP camera
# 0.66 to 0.85; among the 64,980 pairs of MSRS test images fewer than 10 exceed 0.4.
ALIKE = 0.5


def tested(name: str) -> str:
    """The split that is tested on, of one that is trained on, by their names."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.replace("train", "test")


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


def shared_text(first: str, second: str, shared: Sequence[str], of: int) -> str:
    """What to say of images that are in two splits.

    Args:
        first, second: the splits, of which the first may be trained on.
        shared: ids in both.
        of: number of images of the second.
    """
    many = f"{len(shared)} of {of} images of {second} are in {first} too (first: {shared[0]})"
    if second == tested(first):
        return f"leakage: {many}: what is trained on {first} has seen them, and its scores on {second} mean nothing"
    return f"{many}; a method trained on one and scored on the other has seen them"


def alike_text(train: str, test: str, known: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> str:
    """What to say of images of one scene, "" without any; signatures by id."""
    near = near_duplicates(list(known.values()), list(new.values()))
    if not near:
        return ""
    train_ids, test_ids = list(known), list(new)
    near.sort(key=lambda n: -n[2])
    shown = ", ".join(f"{test_ids[t]} and {train_ids[s]}" for s, t, _ in near[:3])
    return (
        f"{len(near)} of {len(test_ids)} {test} images look like a {train} image ({shown}): "
        f"frames of one scene; scores on {test} flatter what was trained on {train}"
    )
