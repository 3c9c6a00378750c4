"""What `--precision` and `--compile` change in the pictures that methods save, on real pairs.

    python benchmarks/precision.py --methods 'refusion[ivif]' seafusion [--pairs 3] [--precision bf16] [--compile]
                                   [--device cpu] [--dataset msrs]

Each pair is fused in float32 without compiling and as asked, through the released output rule. Prints Markdown: how far
the saved pictures are from each other in levels of 0..255, and which share of the values is another; and the largest
difference of what the method returns, before the output rule.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from fusionbench import environment
from fusionbench.data import open_spec
from fusionbench.evaluation.entries import entries, single
from fusionbench.evaluation.fusing import fuse_pair
from fusionbench.plugins.method import Context


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--methods", required=True, nargs="+")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--precision", default=None)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dataset", default="msrs")
    options = parser.parse_args()
    environment.apply()
    torch.set_num_threads(1)
    dataset = open_spec(options.dataset, None)
    split = "test"
    pairs = [dataset.pair(split, ident) for ident in dataset.ids(split)[: options.pairs]]
    what = f"{options.precision or 'float32'}{', compiled' if options.compile else ''} on {options.device}"
    print(f"{len(pairs)} pairs of {options.dataset} {split}; {what}, torch {torch.__version__}\n")
    print(
        "| method | largest, levels | mean, levels | values that differ | largest, as returned |\n|---|--:|--:|--:|--:|"
    )
    for spec in options.methods:
        entry = single(spec, entries(spec)[0])
        exact = entry.on(options.device, "float32").build(options.device)
        other = entry.on(options.device, options.precision, options.compile).build(options.device)
        levels, raw = [], 0.0
        for pair in pairs:
            saved = [
                fuse_pair(method, entry.output_rule(), pair.ir, pair.vis, options.device, Context([""]))
                for method in (exact, other)
            ]
            levels.append(np.abs(saved[0].astype(int) - saved[1]))
            with torch.inference_mode():
                ir, vis = (torch.from_numpy(x)[None].to(options.device).float() / 255 for x in (pair.ir, pair.vis))
                raw = max(raw, float((exact.fuse(ir, vis) - other.fuse(ir, vis)).abs().max()))
        worst, mean = max(x.max() for x in levels), np.mean([x.mean() for x in levels])
        share = np.mean([(x > 0).mean() for x in levels])
        print(f"| {entry.id} | {worst} | {mean:.3f} | {100 * share:.1f} % | {raw:.1e} |", flush=True)


if __name__ == "__main__":
    main()
