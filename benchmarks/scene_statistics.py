"""Levels, noise and sharpness of real pictures beside those of generated ones, for the ranges of varied scenes.

    FUSIONBENCH_DATA=... python benchmarks/scene_statistics.py [--real tno,vifb,m3fd,llvip] [--scenes 16]

Prints, for each set and each of its two pictures, the 10th percentile, median and 90th percentile over its test pairs.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import ndimage

from fusionbench.data import open_spec
from fusionbench.pixels.images import grey
from fusionbench.scenes import PRESETS, scene

COLUMNS = ("mean", "deviation", "1 %", "10 %", "50 %", "90 %", "99 %", "noise", "detail")


def statistics(picture: np.ndarray) -> list[float]:
    """Of grey levels ``[H,W]``; noise is what the Laplacian shows of it, detail what a blur takes away."""
    x = picture.astype(float)
    noise = np.median(np.abs(ndimage.laplace(x))) * 1.4826 / np.sqrt(20)
    detail = np.abs(x - ndimage.gaussian_filter(x, 1.0)).mean()
    return [x.mean(), x.std(), *np.percentile(x, (1, 10, 50, 90, 99)), noise, detail]


def row(name: str, pictures: list[np.ndarray]) -> str:
    """A line of the table."""
    found = np.percentile([statistics(p) for p in pictures], (10, 50, 90), axis=0)
    cells = (" / ".join(f"{value:.1f}" for value in column) for column in found.T)
    return f"| {name} | {len(pictures)} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", default="tno,vifb,m3fd,llvip")
    parser.add_argument("--scenes", type=int, default=16, help="pairs of each preset")
    parser.add_argument("--data-root")
    asked = parser.parse_args()
    print(f"| pictures | pairs | {' | '.join(COLUMNS)} |\n|---|--:|{'--:|' * len(COLUMNS)}")
    for name in asked.real.split(","):
        dataset = open_spec(name, asked.data_root)
        pairs = [dataset.pair("test", ident) for ident in dataset.ids("test")]
        print(row(f"{name} ir", [p.ir[0] for p in pairs]))
        print(row(f"{name} vis", [grey(p.vis)[0] for p in pairs]))
    for varied in (False, True):
        for preset in PRESETS:
            drawn = [scene(seed, (240, 320), None, preset, varied) for seed in range(asked.scenes)]
            kind = "varied " if varied else ""
            print(row(f"{kind}{preset} ir", [s.ir for s in drawn]))
            vis = (np.ascontiguousarray(s.vis.transpose(2, 0, 1)) for s in drawn)
            print(row(f"{kind}{preset} vis", [grey(v)[0] for v in vis]))


if __name__ == "__main__":
    main()
