"""Levels, noise, sharpness and likeness of real pairs beside generated ones, for the ranges of varied scenes.

    python benchmarks/scene_statistics.py [--data-root DIR] [--real tno,vifb,m3fd,llvip] [--scenes 8] [--presets]

Prints, for each set and each of its two pictures, the 10th percentile, median and 90th percentile over its test pairs;
of scenes that of all presets together, by day and in the dark, or of each preset. Behind the visible picture stands the
correlation of the two.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from fusionbench import environment
from fusionbench.data import open_spec
from fusionbench.data.dataset import DARK
from fusionbench.pixels.images import grey
from fusionbench.scenes import PRESETS, scene

COLUMNS = ("mean", "deviation", "1 %", "10 %", "50 %", "90 %", "99 %", "noise", "detail", "gradient", "correlation")
Pair = tuple[np.ndarray, np.ndarray]  # grey levels of infrared and visible, each [H, W]


def statistics(picture: np.ndarray) -> list[float]:
    """Of grey levels ``[H,W]``; noise is what the Laplacian shows of it, detail what a blur takes away."""
    x = picture.astype(float)
    noise = np.median(np.abs(ndimage.laplace(x))) * 1.4826 / np.sqrt(20)
    detail = np.abs(x - ndimage.gaussian_filter(x, 1.0)).mean()
    gradient = np.hypot(ndimage.sobel(x, 0), ndimage.sobel(x, 1)).mean() / 8  # levels a pixel
    return [x.mean(), x.std(), *np.percentile(x, (1, 10, 50, 90, 99)), noise, detail, gradient]


def correlation(pair: Pair) -> float:
    """Of both pictures; 0 where one is constant."""
    ir, vis = (x.astype(float) - x.mean() for x in pair)
    power = np.sqrt((ir * ir).sum() * (vis * vis).sum())
    return float((ir * vis).sum() / power) if power else 0.0


def rows(name: str, pairs: Sequence[Pair]) -> str:
    """Two lines of the table."""
    lines = []
    for number, kind in enumerate(("ir", "vis")):
        found = [statistics(pair[number]) + ([correlation(pair)] if number else []) for pair in pairs]
        cells = [" / ".join(f"{v:.1f}" for v in c) for c in np.percentile(found, (10, 50, 90), axis=0).T[:10]]
        if number:
            cells.append(" / ".join(f"{v:.2f}" for v in np.percentile([f[-1] for f in found], (10, 50, 90))))
        lines.append(f"| {name} {kind} | {len(pairs)} | {' | '.join(cells)}{' |' * (2 - number)}")
    return "\n".join(lines)


def generated(count: int, varied: bool, by_preset: bool) -> dict[str, list[Pair]]:
    """So many pairs of each preset, in sets that are to be compared."""
    sets: dict[str, list[Pair]] = {}
    for preset in PRESETS:
        for seed in range(count):
            made = scene(seed, (240, 320), None, preset, varied)
            name = preset if by_preset else "dark" if made.condition in DARK else "day"
            vis = grey(np.ascontiguousarray(made.vis.transpose(2, 0, 1)))[0]
            sets.setdefault(f"scenes{'-2' * varied}, {name}", []).append((made.ir, vis))
    return sets


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", default="tno,vifb,m3fd,llvip")
    parser.add_argument("--scenes", type=int, default=8, help="pairs of each preset")
    parser.add_argument("--presets", action="store_true", help="each preset by itself")
    parser.add_argument("--data-root")
    asked = parser.parse_args()
    environment.apply()
    print(f"| pictures | pairs | {' | '.join(COLUMNS)} |\n|---|--:|{'--:|' * len(COLUMNS)}")
    for name in asked.real.split(","):
        dataset = open_spec(name, asked.data_root)
        pairs = (dataset.pair("test", ident) for ident in dataset.ids("test"))
        print(rows(name, [(pair.ir[0], grey(pair.vis)[0]) for pair in pairs]))
    for varied in (False, True):
        for name, drawn in generated(asked.scenes, varied, asked.presets).items():
            print(rows(name, drawn))


if __name__ == "__main__":
    main()
