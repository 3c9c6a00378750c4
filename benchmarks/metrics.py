"""Times our metrics beside the released evaluators' arithmetic, in one run on the same images.

Writes docs/benchmarks.md:

    pip install sewar scikit-learn          # only for this comparison
    FUSIONBENCH_DATA=... python benchmarks/metrics.py [--pairs 6] [--device cuda]

One thread on the CPU. The image pairs are MSRS test pairs where they are at hand, else generated scenes, 480x640.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import released_evaluators as released
import torch
from page import replace

from fusionbench.evaluation.protocol import metric
from fusionbench.metrics import planes
from fusionbench.pixels.images import grey
from fusionbench.plugins.cards import cards
from fusionbench.plugins.registry import resolve
from fusionbench.results import provenance
from fusionbench.runtime.allocator import keep_memory

SIX = ("en", "sf", "scd", "vif", "qabf", "ssim")
EIGHT = (*SIX, "mi", "qcv")
SLOW = ("fmi", "mef_ssim")


def images(count: int) -> tuple[list[tuple[np.ndarray, ...]], str]:
    """(fused, ir, vis) grey uint8 [H,W] triples; fused is the mean, with a little of everything in it."""
    from fusionbench.data import open_spec
    from fusionbench.errors import FusionbenchError

    try:
        dataset = open_spec("msrs", None)
        ids = dataset.ids("test")[:: 361 // count][:count]
        pairs = [(s.ir[0], grey(s.vis)[0]) for s in (dataset.pair("test", i) for i in ids)]
        what = f"{count} MSRS test pairs"
    except FusionbenchError:
        from fusionbench.scenes import scene

        scenes = [scene(i, (480, 640), None, "msrs") for i in range(count)]
        pairs = [(s.ir, grey(s.vis.transpose(2, 0, 1))[0]) for s in scenes]
        what = f"{count} generated scenes"
    return [((ir.astype(int) + vis + 1 >> 1).astype(np.uint8), ir, vis) for ir, vis in pairs], what


def per_pair(work: Callable[[tuple], object], triples: list[tuple], rounds: int = 3) -> float:
    """Median seconds for one pair."""
    work(triples[0])
    times = []
    for _ in range(rounds):
        for triple in triples:
            began = time.perf_counter()
            work(triple)
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def scorer(names: tuple[str, ...]) -> Callable[[tuple], dict[str, float]]:
    chosen = [metric(n) for n in names]
    functions = [(m.id, resolve("metric", m.card.name), m.options) for m in chosen]

    def work(triple: tuple) -> dict[str, float]:
        f, a, b = (planes(torch.from_numpy(x)[None]) for x in triple)
        return {name: float(fn(f, a, b, **options)) for name, fn, options in functions}

    return work


def with_cached_sources(names: tuple[str, ...]) -> Callable[[tuple], object]:
    """As in `eval`: the source terms of an image stay while method after method is scored on it."""
    chosen = [(resolve("metric", m.card.name), m.options) for m in map(metric, names)]
    cache: dict[int, tuple] = {}

    def work(triple: tuple) -> object:
        key = id(triple[1])
        if key not in cache:
            cache.clear()
            cache[key] = tuple(planes(torch.from_numpy(x)[None]) for x in triple[1:])
            work(triple)
        f = planes(torch.from_numpy(triple[0])[None])
        return [float(fn(f, *cache[key], **options)) for fn, options in chosen]

    return work


def time_cached(names: tuple[str, ...], triples: list[tuple]) -> float:
    work, times = with_cached_sources(names), []
    for triple in triples:
        work(triple)
        for _ in range(3):
            began = time.perf_counter()
            work(triple)
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def agree(triples: list[tuple]) -> float:
    """Largest relative difference between the released arithmetic and ours; they must be the same metrics."""
    worst = 0.0
    score = scorer((*SIX, "mi@nats"))
    for triple in triples:
        got = {k.partition("@")[0]: v for k, v in score(triple).items()}
        floats = tuple(x.astype(np.float64) for x in triple)
        for name, fn in {**released.TDFUSION, "mi": released.mi}.items():
            worst = max(worst, abs(fn(*floats) - got[name]) / abs(got[name]))
    assert worst < 1e-6, worst
    return worst


def on_gpu(names: tuple[str, ...], triples: list[tuple], device: str, batch: int = 32) -> float:
    """Pairs per second in batches, copy to the device included."""
    chosen = [(resolve("metric", m.card.name), m.options) for m in map(metric, names)]
    stacks = [torch.from_numpy(np.stack([t[i] for t in (triples * batch)[:batch]])).pin_memory() for i in range(3)]

    def work() -> list[torch.Tensor]:
        f, a, b = (planes(s.to(device, non_blocking=True)) for s in stacks)
        return [fn(f, a, b, **options) for fn, options in chosen]

    for _ in range(3):
        work()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(10):
        work()
    torch.cuda.synchronize()
    return 10 * batch / (time.perf_counter() - began)


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Seconds per pair.

    Attributes:
        released: of each released function.
        released_keeping: of all of TDFusion's, freed memory kept by the process.
        before: of our six, before memory is kept.
        sets: a set's name to our seconds, and to those with source terms cached.
        single: of each of our metrics.
    """

    released: dict[str, float]
    released_keeping: float
    before: float
    sets: dict[str, tuple[float, float]]
    single: dict[str, float]


def measure(triples: list[tuple], full: tuple[str, ...]) -> Timings:
    """Time everything, first as the process starts, then with freed memory kept."""
    floats = [tuple(x.astype(np.float64) for x in t) for t in triples]
    functions = {**released.TDFUSION, **released.CDDFUSE}
    others = {n: per_pair(lambda t, fn=fn: fn(*t), floats, 1) for n, fn in functions.items()}
    before = per_pair(scorer(SIX), triples)
    keep_memory()
    keeping = per_pair(lambda t: [fn(*t) for fn in released.TDFUSION.values()], floats, 1)
    chosen = {
        "TDFusion's six": SIX,
        "the eight": EIGHT,
        f"all but FMI and MEF-SSIM ({len(full)})": full,
        "MEF-SSIM": ("mef_ssim",),
    }
    sets = {label: (per_pair(scorer(n), triples), time_cached(n, triples)) for label, n in chosen.items()}
    for feature in cards("metric")["fmi"].facts.variants:
        name = f"fmi@{feature}"
        sets[f"FMI, {feature}"] = (per_pair(scorer((name,)), triples[:2], 1), time_cached((name,), triples[:2]))
    single = {n: per_pair(scorer((n,)), triples) for n in full}
    return Timings(released=others, released_keeping=keeping, before=before, sets=sets, single=single)


def tables(times: Timings, full: tuple[str, ...]) -> list[str]:
    """The timings as Markdown."""
    six = sum(times.released[n] for n in SIX)
    cold, warm = times.sets["TDFusion's six"]
    return [
        "| TDFusion's six metrics | ms per pair | ratio |",
        "|---|---:|---:|",
        f"| released evaluator's arithmetic (sewar, scikit-image, scipy) | {six * 1e3:.0f} | 1 |",
        f"| the same, freed memory kept | {times.released_keeping * 1e3:.0f} | {six / times.released_keeping:.1f}x |",
        f"| ours | {times.before * 1e3:.0f} | {six / times.before:.1f}x |",
        f"| ours, freed memory kept (as `eval` runs) | {cold * 1e3:.0f} | **{six / cold:.1f}x** |",
        f"| ours, source terms kept across methods | {warm * 1e3:.0f} | {six / warm:.1f}x |",
        "",
        "| set | ms per pair | with source terms kept |",
        "|---|---:|---:|",
        *(f"| {k} | {a * 1e3:.0f} | {b * 1e3:.0f} |" for k, (a, b) in times.sets.items()),
        "",
        "| one by one | released ms | ours ms | ratio |",
        "|---|---:|---:|---:|",
        *(
            f"| {n} | {times.released[n] * 1e3:.1f} | {times.single[m] * 1e3:.1f} "
            f"| {times.released[n] / times.single[m]:.1f}x |"
            for n, m in [*zip(SIX, SIX, strict=True), ("mi@nats", "mi")]
        ),
        "",
        "Ours alone, ms: " + ", ".join(f"{n} {times.single[n] * 1e3:.1f}" for n in full if n not in SIX) + ".",
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    triples, what = images(options.pairs)
    full = tuple(n for n in cards("metric") if n not in SLOW)
    with torch.inference_mode():
        worst = agree(triples[:2])
        times = measure(triples, full)
        gpu = on_gpu(EIGHT, triples, options.device) if options.device != "cpu" else None
    hardware = provenance.hardware()
    lines = [
        f"{what}, 480x640, one thread; median per pair. {hardware.cpu}, {hardware.cores} cores; "
        + ", ".join(f"{k} {v}" for k, v in provenance.libraries().items())
        + f"; commit {provenance.commit()}; {provenance.now()}. "
        + f"Command: `python benchmarks/metrics.py --pairs {options.pairs}`.",
        "",
        f"Before timing, the released arithmetic and ours were compared: largest relative difference {worst:.1e}.",
        "",
        *tables(times, full),
        "",
        f"GPU: {gpu:.0f} pairs/s (the eight, batches of 32, {list(hardware.gpus)})."
        if gpu
        else "GPU: not measured; no GPU was at hand.",
    ]
    replace("metrics", "Metrics", lines)


if __name__ == "__main__":
    main()
