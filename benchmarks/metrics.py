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


def ours(names: tuple[str, ...], dtype: torch.dtype | None = None) -> Callable[[tuple], dict[str, float]]:
    chosen = [metric(n) for n in names]
    functions = [(m.id, resolve("metric", m.card.name), m.options) for m in chosen]

    def work(triple: tuple) -> dict[str, float]:
        f, a, b = (
            planes(torch.from_numpy(x)[None] if dtype is None else torch.from_numpy(x)[None].to(dtype)) for x in triple
        )
        return {name: float(fn(f, a, b, **options)) for name, fn, options in functions}

    return work


def ours_sources_kept(names: tuple[str, ...]) -> Callable[[tuple], object]:
    """As in `eval`: the source terms of an image are kept while method after method is scored on it."""
    chosen = [(resolve("metric", m.card.name), m.options) for m in map(metric, names)]
    kept: dict[int, tuple] = {}

    def work(triple: tuple) -> object:
        key = id(triple[1])
        if key not in kept:
            kept.clear()
            kept[key] = tuple(planes(torch.from_numpy(x)[None]) for x in triple[1:])
            work(triple)
        f = planes(torch.from_numpy(triple[0])[None])
        return [float(fn(f, *kept[key], **options)) for fn, options in chosen]

    return work


def time_kept(names: tuple[str, ...], triples: list[tuple]) -> float:
    work, times = ours_sources_kept(names), []
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
    mine = ours((*SIX, "mi@nats"))
    for triple in triples:
        got = {k.partition("@")[0]: v for k, v in mine(triple).items()}
        floats = tuple(x.astype(np.float64) for x in triple)
        for name, fn in {**released.TDFUSION, "mi": released.mi}.items():
            worst = max(worst, abs(fn(*floats) - got[name]) / abs(got[name]))
    assert worst < 1e-6, worst
    return worst


def float32_error(names: tuple[str, ...], triples: list[tuple]) -> dict[str, float]:
    exact, single = ours(names), ours(names, torch.float32)
    worst = dict.fromkeys(names, 0.0)
    for triple in triples:
        for (k, a), b in zip(exact(triple).items(), single(triple).values(), strict=True):
            worst[k.partition("@")[0]] = max(worst[k.partition("@")[0]], abs(a - b) / max(abs(a), 1e-12))
    return worst


def on_gpu(names: tuple[str, ...], triples: list[tuple], device: str, batch: int = 32) -> dict[str, float]:
    """Pairs per second in batches, copy to the device included, exact (float64) and float32."""
    chosen = [(resolve("metric", m.card.name), m.options) for m in map(metric, names)]
    stacks = [torch.from_numpy(np.stack([t[i] for t in (triples * batch)[:batch]])).pin_memory() for i in range(3)]
    found = {}
    for label, dtype in (("exact", None), ("float32", torch.float32)):

        def work(dtype: torch.dtype | None = dtype) -> list[torch.Tensor]:
            f, a, b = (
                planes(s.to(device, non_blocking=True) if dtype is None else s.to(device).to(dtype)) for s in stacks
            )
            return [fn(f, a, b, **options) for fn, options in chosen]

        for _ in range(3):
            work()
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(10):
            work()
        torch.cuda.synchronize()
        found[label] = 10 * batch / (time.perf_counter() - began)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    triples, what = images(options.pairs)
    floats = [tuple(x.astype(np.float64) for x in t) for t in triples]
    full = tuple(n for n in cards("metric") if n not in SLOW)
    with torch.inference_mode():
        worst = agree(triples[:2])
        theirs = {
            n: per_pair(lambda t, fn=fn: fn(*t), floats, 1)
            for n, fn in {**released.TDFUSION, **released.CDDFUSE}.items()
        }
        before = per_pair(ours(SIX), triples)
        keep_memory()
        theirs_kept = per_pair(lambda t: [fn(*t) for fn in released.TDFUSION.values()], floats, 1)
        rows = {
            "TDFusion's six": (per_pair(ours(SIX), triples), time_kept(SIX, triples)),
            "the eight": (per_pair(ours(EIGHT), triples), time_kept(EIGHT, triples)),
            f"all but FMI and MEF-SSIM ({len(full)})": (per_pair(ours(full), triples), time_kept(full, triples)),
            "MEF-SSIM": (per_pair(ours(("mef_ssim",)), triples), time_kept(("mef_ssim",), triples)),
        }
        for feature in cards("metric")["fmi"].data["variants"]:
            name = f"fmi@{feature}"
            rows[f"FMI, {feature}"] = (per_pair(ours((name,)), triples[:2], 1), time_kept((name,), triples[:2]))
        single = {n: per_pair(ours((n,)), triples) for n in full}
        errors = float32_error(EIGHT, triples)
        gpu = on_gpu(EIGHT, triples, options.device) if options.device != "cpu" else None
    six = sum(theirs[n] for n in SIX)
    cold, warm = rows["TDFusion's six"]
    hardware = provenance.hardware()
    lines = [
        f"{what}, 480x640, one thread; median per pair. {hardware.cpu}, {hardware.cores} cores; "
        + ", ".join(f"{k} {v}" for k, v in provenance.libraries().items())
        + f"; commit {provenance.commit()}; {provenance.now()}. "
        + f"Command: `python benchmarks/metrics.py --pairs {options.pairs}`.",
        "",
        f"Before timing, the released arithmetic and ours were compared: largest relative difference {worst:.1e}.",
        "",
        "| TDFusion's six metrics | ms per pair | ratio |",
        "|---|---:|---:|",
        f"| released evaluator's arithmetic (sewar, scikit-image, scipy) | {six * 1e3:.0f} | 1 |",
        f"| the same, freed memory kept | {theirs_kept * 1e3:.0f} | {six / theirs_kept:.1f}x |",
        f"| ours | {before * 1e3:.0f} | {six / before:.1f}x |",
        f"| ours, freed memory kept (as `eval` runs) | {cold * 1e3:.0f} | **{six / cold:.1f}x** |",
        f"| ours, source terms kept across methods | {warm * 1e3:.0f} | {six / warm:.1f}x |",
        "",
        "| set | ms per pair | with source terms kept |",
        "|---|---:|---:|",
        *(f"| {k} | {a * 1e3:.0f} | {b * 1e3:.0f} |" for k, (a, b) in rows.items()),
        "",
        "| one by one | released ms | ours ms | ratio |",
        "|---|---:|---:|---:|",
        *(
            f"| {n} | {theirs[n] * 1e3:.1f} | {single[m] * 1e3:.1f} | {theirs[n] / single[m]:.1f}x |"
            for n, m in [*zip(SIX, SIX, strict=True), ("mi@nats", "mi")]
        ),
        "",
        "Ours alone, ms: " + ", ".join(f"{n} {single[n] * 1e3:.1f}" for n in full if n not in SIX) + ".",
        "",
        "float32 input against float64, largest relative difference over these pairs: "
        + ", ".join(f"{n} {e:.1e}" for n, e in errors.items())
        + ".",
        "",
        "GPU: "
        + (
            ", ".join(f"{v:.0f} pairs/s {k}" for k, v in gpu.items())
            + f" (the eight, batches of 32, {list(hardware.gpus)})."
            if gpu
            else "not measured; no GPU was at hand."
        ),
    ]
    replace("metrics", "Metrics", lines)


if __name__ == "__main__":
    main()
