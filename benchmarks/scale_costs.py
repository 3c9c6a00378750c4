"""What a whole leaderboard costs, from unit costs that were measured. Writes its part of docs/scale.md.

    python benchmarks/scale_costs.py [--methods 40] [--pairs 15000] [--seeds 3] [--page docs/scale.md]

Nothing is measured here: every unit names where it stands, and the product is marked as computed.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from page import replace

from fusionbench.plugins.cards import card

HOUR = 3600.0
# Seconds for one scored picture of 480x640 (fused, written, eight metrics).
PICTURE = {
    "seven entries, one of them a network; one thread": (1.338 / 7, "docs/benchmarks.md, eval: 1338 ms for 7 entries"),
    "a network of ReFusion's size; one thread": (
        0.595 + 0.049 + 0.212 / 7,
        "the same: fusing 595 ms, metrics 49 ms, files 212 ms for 7 entries",
    ),
    "the run of the committed tables; 2 cores": (
        752.0 / 2898,
        "leaderboards/*.provenance.json: 2898 pictures in 752 s",
    ),
    "6 entries; one H200, one picture at a time": (1 / 7.7, "notes of 2026-11-27, commit 1d0fcb8: 7.7 a second"),
}
# Task: dataset, split to train on, epochs and batch of the recipe, seconds a step and those of them that compute.
TASKS = {
    "segmentation, FMB": ("fmb", "train", 120, 8, 0.436, 0.079),
    "segmentation, MSRS": ("msrs", "train", 120, 8, 0.436, 0.079),
    "detection, M3FD": ("m3fd", "train", 200, 16, 0.948, 0.060),
    "detection, LLVIP": ("llvip", "train", 40, 16, 0.948, 0.060),
}
STORE, PNG = (
    880,
    379_822,
)  # bytes of a scored picture: in a store (below); its file, mean of 24 MSRS pictures of four methods


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("methods", 40), ("pairs", 15_000), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    lines = report(options.methods, options.pairs, options.seeds)
    if options.page:
        replace("costs", "What it costs", lines, options.page)
    else:
        print("\n".join(lines))


def steps(dataset: str, split: str, epochs: int, batch: int) -> int:
    """Steps of a recipe on a split, whose size the dataset's card gives."""
    count = next(s.count for s in card("dataset", dataset).facts.splits if s.name == split)
    return epochs * math.ceil((count or 0) / batch)


def report(methods: int, pairs: int, seeds: int) -> list[str]:
    pictures = methods * pairs
    lines = [
        f"{methods} methods, {pairs:,} pairs: {pictures:,} scored pictures; and {methods} x {seeds} networks for each "
        f"task that is retrained. Computed by `python benchmarks/scale_costs.py --methods {methods} --pairs {pairs} "
        f"--seeds {seeds}` from units that were measured, each once; read orders of magnitude.",
        "",
        "| fusing and scoring | s a picture | hours | unit from |",
        "|---|---:|---:|---|",
    ]
    lines += [f"| {n} | {s:.3f} | {pictures * s / HOUR:,.0f} | {where} |" for n, (s, where) in PICTURE.items()]
    lines += [
        "",
        "| task, retrained, one H200 | steps | hours a network | of them computing | hours for all |",
        "|---|---:|---:|---:|---:|",
    ]
    total = compute = 0.0
    for name, (dataset, split, epochs, batch, step, own) in TASKS.items():
        count = steps(dataset, split, epochs, batch)
        hours, busy = count * step / HOUR, count * own / HOUR
        total, compute = total + hours * methods * seeds, compute + busy * methods * seeds
        lines.append(f"| {name} | {count:,} | {hours:.1f} | {busy:.1f} | {hours * methods * seeds:,.0f} |")
    lines += [
        f"| together | | | {compute:,.0f} for all | **{total:,.0f}** |",
        "",
        "Steps are epochs times training images over batch, of the recipes at full size; seconds a step are those of "
        "`segformer-b2` on FMB (0.357 loading, 0.079 computing) and `yolov8-n` in bf16 on M3FD (0.888 and 0.060), "
        "measured on one H200 with four threads that load, on 2026-11-27 at commit 1d0fcb8, before images were decoded "
        "once for a run: loading is an upper bound. `segformer-b0`, which is the default, and LLVIP were not timed; "
        "neither was saliency.",
        "",
        f"Bytes: {pictures * STORE / 2**30:.1f} GiB of store, {pictures * PNG / 2**30:,.0f} GiB of pictures "
        f"({PNG / 1e3:.0f} kB each, the mean of 24 pictures of four methods on MSRS).",
    ]
    return lines


if __name__ == "__main__":
    main()
