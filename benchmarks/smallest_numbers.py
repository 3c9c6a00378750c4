"""What numbers below 1e-38 cost each method, and whether its picture is another where they are zero.

    python benchmarks/smallest_numbers.py [--methods NAMES] [--dataset m3fd] [--size 384x512] [--from 1.1]

Every entry whose weights are here fuses the upper left part of the first pair, on one thread, as torch comes and with
these numbers flushed to zero, as pictures are made here. Prints Markdown: seconds of processor time, the smaller of two
runs, of the entries that gain at least `--from` and take 10 ms or more; the others are named.
"""

from __future__ import annotations

import argparse
import time
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from fusionbench import environment
from fusionbench.data import open_spec
from fusionbench.evaluation.entries import Entry, entries, runnable
from fusionbench.pixels.output_rule import render
from fusionbench.plugins.method import Context
from fusionbench.results.provenance import cpu
from fusionbench.runtime.allocator import keep_memory
from fusionbench.runtime.flushing import flushing

LEAST = 0.01  # seconds, below which a clock tells nothing


def taken(
    entry: Entry, ir: torch.Tensor, vis: torch.Tensor, within: AbstractContextManager[None]
) -> tuple[float, np.ndarray]:
    """Seconds and picture."""
    method, seconds = entry.build("cpu"), []
    with within, torch.inference_mode():
        for _ in range(2):
            began = time.process_time()
            fused = method.fuse(ir, vis, Context(["pair"]))
            seconds.append(time.process_time() - began)
        return min(seconds), render(fused, vis, entry.output_rule())[0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--methods", nargs="*", default=[])
    parser.add_argument("--dataset", default="m3fd")
    parser.add_argument("--size", default="384x512")
    parser.add_argument("--from", dest="least", type=float, default=1.1)
    options = parser.parse_args()
    environment.apply()
    keep_memory()
    torch.set_num_threads(1)
    dataset, (height, width) = open_spec(options.dataset, None), map(int, options.size.split("x"))
    ident = dataset.ids("test")[0]
    pair = dataset.pair("test", ident)
    ir, vis = (torch.from_numpy(x[:, :height, :width].copy())[None].float() / 255 for x in (pair.ir, pair.vis))
    every = [e for name in options.methods for e in entries(name)[0]] if options.methods else runnable()[0]
    machine = f"{cpu()}, one thread, torch {torch.__version__}"
    print(f"{ir.shape[-2]}x{ir.shape[-1]} of {options.dataset} {ident}; {machine}\n")
    print("| entry | s as torch comes | s flushed | ratio | picture |\n|---|---:|---:|---:|---|")
    others = []
    for entry in every:
        (plain, first), (flushed, second) = (taken(entry, ir, vis, how) for how in (nullcontext(), flushing()))
        same = bool((first == second).all())
        if same and (plain < options.least * flushed or plain < LEAST):
            others.append(entry.id)
            continue
        picture = "the same" if same else f"{np.abs(first.astype(int) - second).max()} levels apart"
        print(f"| {entry.id} | {plain:.2f} | {flushed:.2f} | {plain / flushed:.1f}x | {picture} |", flush=True)
    print(f"\nBelow {options.least} times or {LEAST} s, and the same pictures: {', '.join(others) or 'none'}.")


if __name__ == "__main__":
    main()
