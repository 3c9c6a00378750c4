"""The contract of a method."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import msgspec
import torch
from torch import Tensor

from fusionbench.evaluation.contract.report import Report, SkippedCheck, need
from fusionbench.evaluation.contract.samples import sample_images
from fusionbench.evaluation.entries import Entry, entries
from fusionbench.pixels.output_rule import OutputRule, render
from fusionbench.plugins.cards import MethodCard
from fusionbench.plugins.method import Context, Method

NEAR = 1e-4  # between two ways to the same picture: batch or single, one thread or two
SIZES = ((48, 64), (37, 53))


def check_method(entry: MethodCard, report: Report) -> None:
    """Every entry that can run here fuses: right shape and range, pure, deterministic, in batches and threads."""
    rule = OutputRule(**msgspec.structs.asdict(entry.facts.output)) if entry.facts.output else OutputRule()
    found: list[Entry] = []
    with report.check("starts"):
        if entry.facts.precomputed:
            raise SkippedCheck("reads finished pictures; nothing to run")
        found, missing = entries(entry.name)
        if not found:
            raise SkippedCheck(str(missing[0]))
    if not report.passed:
        return
    for row in found:
        with report.check(f"{row.id}: builds"):
            method: Method = row.build("cpu")
        if not report.passed:
            return
        for height, width in SIZES:
            with report.check(f"{row.id}: fuses {height}x{width}"), torch.inference_mode():
                _fuses(method, rule, height, width)
        with report.check(f"{row.id}: two threads at once"):
            _threads(method)


def _fuses(method: Method, rule: OutputRule, height: int, width: int) -> None:
    _, ir, vis = (x.float() / 255 for x in sample_images(2, height, width))
    before = ir.clone(), vis.clone()
    fused = method.fuse(ir, vis, Context(["a", "b"]))
    need(
        fused.shape in ((2, 1, height, width), (2, 3, height, width)),
        f"fuse returned {list(fused.shape)} for 2 pairs of {height}x{width}",
    )
    need(torch.isfinite(fused).all(), "fuse returned values that are not finite")
    need(torch.equal(ir, before[0]) and torch.equal(vis, before[1]), "fuse changed its input")
    again = method.fuse(ir, vis, Context(["a", "b"]))
    need(torch.equal(fused, again), "two calls on the same pair differ; inference must be deterministic")
    need(
        rule.stretch != "none" or fused.float().median() <= 1,
        f"fuse returned values up to {float(fused.max()):.4g}, most above 1, which is white; "
        "divide levels of 0..255 by 255",
    )
    single = torch.cat([method.fuse(ir[i : i + 1], vis[i : i + 1], Context([n])) for i, n in enumerate("ab")])
    worst = float((fused - single).abs().max())
    need(worst <= NEAR, f"a batch of two differs from two batches of one by {worst:.2g}")
    need(render(fused, vis, rule).dtype == torch.uint8, "the output rule gave no 8-bit picture")


def _threads(method: Method) -> None:
    """Two threads with a pair each, several times, against one after the other."""
    images = [sample_images(1, *size, seed=number) for number, size in enumerate(SIZES)]
    pairs = [(ir.float() / 255, vis.float() / 255) for _, ir, vis in images]
    start = Barrier(len(pairs))

    def fuse(number: int, together: bool) -> Tensor:
        if together:
            start.wait(timeout=60)
        with torch.inference_mode():
            return method.fuse(*pairs[number], Context([str(number)]))

    alone = [fuse(number, False) for number in range(len(pairs))]
    with ThreadPoolExecutor(len(pairs)) as pool:
        for _ in range(3):
            for number, fused in enumerate(pool.map(fuse, range(len(pairs)), [True] * len(pairs))):
                right = fused.shape == alone[number].shape and float((fused - alone[number]).abs().max()) <= NEAR
                need(right, "with another thread beside it fuse returned another picture; keep no state in the method")
