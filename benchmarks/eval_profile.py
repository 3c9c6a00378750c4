"""Where the time of `eval` goes: files, networks, metrics. Writes its part of docs/benchmarks.md.

    fusionbench weights add refusion ReFusion_IVIF.pth
    FUSIONBENCH_DATA=... python benchmarks/eval_profile.py [--pairs 40]

One worker, one thread, so that the shares are the work's own and not waiting; MSRS test pairs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch
from msgspec.structs import asdict
from page import replace

from fusionbench.data import open_spec
from fusionbench.evaluation.entries import runnable
from fusionbench.evaluation.fusing import fuse_pair
from fusionbench.evaluation.protocol import metrics_of, protocol
from fusionbench.evaluation.scoring import Views, score
from fusionbench.pixels.images import read_image, write_image
from fusionbench.pixels.output_rule import OutputRule
from fusionbench.plugins.registry import resolve
from fusionbench.results import provenance
from fusionbench.runtime.allocator import keep_memory


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=40)
    count = parser.parse_args().pairs
    keep_memory()
    torch.set_num_threads(1)
    dataset = open_spec("msrs", None)
    ids = dataset.ids("test")[:: 361 // count][:count]
    metrics = metrics_of("default", protocol(dataset.card).metrics, "grey")
    functions = {m.id: resolve("metric", m.card.name) for m in metrics}
    entries = [(e, e.build("cpu"), OutputRule(**asdict(e.card.facts.output))) for e in runnable()[0]]
    spent: dict[str, float] = defaultdict(float)
    by_entry: dict[str, float] = defaultdict(float)

    def timed(what, work, *arguments):
        began = time.perf_counter()
        result = work(*arguments)
        spent[what] += time.perf_counter() - began
        return result

    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        for ident in ids:
            timed("hash source files", dataset.hash, "test", ident)
            pair = timed("read sources", dataset.pair, "test", ident)
            ir, vis = Views(pair.ir, "cpu"), Views(pair.vis, "cpu")
            for entry, method, rule in entries:
                began = time.perf_counter()
                picture = fuse_pair(method, rule, pair.ir, pair.vis)
                by_entry[entry.id] += time.perf_counter() - began
                path = Path(scratch) / "f.png"
                timed("write pictures", write_image, path, picture)
                fused = Views(timed("read pictures", read_image, path), "cpu")
                for m in metrics:
                    timed("metrics", score, functions[m.id], m, fused, ir, vis)
    spent |= {f"fuse: {name}": seconds for name, seconds in by_entry.items()}
    total = sum(spent.values())
    hardware = provenance.hardware()
    files = sum(v for k, v in spent.items() if "read" in k or "write" in k or "hash" in k)
    fusing = sum(by_entry.values())
    ordered = sorted(spent.items(), key=lambda kv: -kv[1])
    lines = [
        f"{count} MSRS test pairs, {len(entries)} entries, the eight metrics, one worker and one thread. "
        f"{hardware.cpu}; commit {provenance.commit()}; {provenance.now()}.",
        f"Command: `python benchmarks/eval_profile.py --pairs {count}`.",
        "",
        "| part | ms per pair | share |",
        "|---|---:|---:|",
        *(f"| {name} | {seconds / count * 1e3:.1f} | {seconds / total:.0%} |" for name, seconds in ordered),
        "",
        f"Files {files / total:.0%}, fusing {fusing / total:.0%}, metrics {spent['metrics'] / total:.0%}; "
        f"per entry and pair the eight metrics take {spent['metrics'] / count / len(entries) * 1e3:.0f} ms.",
    ]
    replace("eval", "Where the time of `eval` goes", lines)


if __name__ == "__main__":
    main()
