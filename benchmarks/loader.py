"""The loader of training by itself: pairs a second from the images, and from a split decoded once.

    python benchmarks/loader.py [--dataset msrs=DIR] [--split train] [--pairs 64] [--threads 2] [--batch 8]

Without --dataset, generated scenes of 480x640. Every way reads the same batches by the same random numbers. Images and
decoded file alternate, a few batches at a time, so that other work on the machine meets both alike; the batches are
compared. Pairs a second are by the clock, those of a core by the processor time of all threads. Prints Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from fusionbench.data import open_dataset, open_spec
from fusionbench.data.synth import synth
from fusionbench.training.ahead import ahead
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.decoded import keep_decoded

WAYS = {  # what a recipe does with a pair, and who does it
    "as it is": None,
    "window 256x256 (cldyn vfn)": Augment(crop=(256, 256)),
    "resized to 300x400 (tdfusion)": Augment(resize=(300, 400), flip=0.0),
    "resized to 480x640 and mirrored (detectors, cldyn rsc)": Augment(resize=(480, 640)),
    "scaled 0.5 to 2, window 480x480 (segformer)": Augment(scale=(0.5, 2.0), crop=(480, 480)),
}


def measured(splits: list[TrainingSplit], batch: int, threads: int) -> list[tuple[float, float]]:
    """Seconds of the clock and of the processor that each split takes for one pass."""
    spent = [[0.0, 0.0] for _ in splits]
    count = len(splits[0])
    portion = batch * max(1, threads)
    for start in range(0, count, portion):
        found: list[list[Batch]] = []
        for row, split in zip(spent, splits, strict=True):
            groups = [range(i, min(i + batch, count)) for i in range(start, min(start + portion, count), batch)]
            wall, cpu = time.perf_counter(), time.process_time()
            found.append(list(ahead(lambda group, s=split: s.batch(group, 0, 0), groups, threads)))  # type: ignore[misc]  # bound here
            row[0] += time.perf_counter() - wall
            row[1] += time.process_time() - cpu
        for one, two in zip(*found, strict=True):
            assert torch.equal(one.vis, two.vis), "another picture"
            assert torch.equal(one.ir, two.ir), "another picture"
    return [(row[0], row[1]) for row in spent]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dataset", default="")
    parser.add_argument("--split", default="train")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if options.dataset:
            dataset = open_spec(options.dataset, None)
        else:
            synth("msrs", Path(folder, "MSRS"), options.pairs, 1, (480, 640), seed=0)
            dataset = open_dataset("msrs", Path(folder, "MSRS"), exact=True)
        print("| a pair is | images: pairs/s | pairs/s of a core | decoded: pairs/s | pairs/s of a core |")
        print("|---|--:|--:|--:|--:|")
        for way, augment in WAYS.items():
            splits = [TrainingSplit(dataset, options.split, augment, limit=options.pairs) for _ in range(2)]
            before = time.process_time()
            keep_decoded(splits[1], Path(folder, "decoded"), options.threads, lambda text: None)
            made = time.process_time() - before
            numbers = [len(splits[0]) / s for pair in measured(splits, options.batch, options.threads) for s in pair]
            print(f"| {way} | " + " | ".join(f"{n:.1f}" for n in numbers) + " |", flush=True)
            if way == "as it is":
                making = made
        again = TrainingSplit(dataset, options.split, limit=options.pairs)
        before = time.process_time()
        keep_decoded(again, Path(folder, "decoded"), options.threads, lambda text: None)
        print(
            f"\n{len(again)} pairs, {options.threads} thread(s), batches of {options.batch}; decoding them once takes ",
            end="",
        )
        print(f"{making:.2f} s of a core, finding the file by their hashes {time.process_time() - before:.2f} s.")


if __name__ == "__main__":
    main()
