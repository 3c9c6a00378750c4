"""The Python interface: what the command line does, in three lines."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.entries import entries
from fusionbench.errors import FusionbenchError
from fusionbench.plan import Request, make_plan
from fusionbench.render import markdown
from fusionbench.runner import Outcome, fuse_pair, run
from fusionbench.store import Store
from fusionbench.tables import Table, build


class Result:
    """Tables of a run, one per dataset; prints as Markdown.

    Attributes:
        tables: the leaderboards.
        outcome: what was computed, what failed.
    """

    def __init__(self, tables: Sequence[Table], outcome: Outcome) -> None:
        self.tables, self.outcome = tuple(tables), outcome

    def __str__(self) -> str:
        return "\n".join(markdown(t) for t in self.tables)

    def to_dict(self) -> list[dict[str, Any]]:
        """All tables as plain data."""
        return [t.to_dict() for t in self.tables]


def evaluate(
    methods: Sequence[str] = (),
    datasets: Sequence[str] = (),
    metrics: Sequence[str] = (),
    *,
    images: Sequence[str] = (),
    data_root: str | Path | None = None,
    limit: int | None = None,
    profile: str | None = None,
    output_rule: str | None = None,
    device: str = "cpu",
    jobs: int = 0,
    out: str | Path | None = None,
) -> Result:
    """Fuse and score; what `out` already holds is not computed again.

    Args:
        methods: as on the command line (``gff``, ``refusion[ivif]``); all runnable ones by default.
        datasets: ``msrs``, ``folder=DIR``...; all present ones by default.
        metrics: ``vif``, ``vif@cddfuse``...; those of the dataset's protocol by default.
        images: ``NAME=DIR``: pictures that another program made.
        data_root: where the datasets lie; ``FUSIONBENCH_DATA`` by default.
        limit: only the first images of each split.
        profile: metric profile, e.g. ``cddfuse``.
        output_rule: one rule for all methods, e.g. ``clip-round``.
        device: ``cpu`` or ``cuda``.
        jobs: images worked on at once; all processors by default.
        out: directory of the results store; a temporary one by default.

    Raises:
        FusionbenchError: when what was asked does not exist or nothing could be scored.
    """
    request = Request(
        tuple(methods),
        tuple(datasets),
        tuple(metrics),
        tuple(images),
        Path(data_root) if data_root else None,
        None,
        profile,
        output_rule,
        limit,
        device,
        jobs,
    )
    plan = make_plan(request)
    with tempfile.TemporaryDirectory() as scratch, Store(Path(out) if out else Path(scratch)) as store:
        outcome = run(plan, store, command="fusionbench.evaluate")
        tables = [
            build(store, s.info(), [m.id for m in s.metrics], [e.key for e in plan.entries], ids=s.ids)
            for s in plan.sources
        ]
        return Result(tables, outcome)


def fuse(
    method: str, ir: np.ndarray, vis: np.ndarray, output_rule: str = "released", device: str = "cpu"
) -> np.ndarray:
    """Fuse one pair and return the 8-bit picture that method would save.

    Args:
        method: e.g. ``gff`` or ``refusion[ivif]``.
        ir: uint8 ``[H,W]`` or ``[H,W,3]``.
        vis: uint8 ``[H,W,3]`` or ``[H,W]``.
        output_rule: ``released`` or ``clip-round``.

    Returns:
        uint8 ``[H,W]`` or ``[H,W,3]``.

    Raises:
        FusionbenchError: unknown method, or weights that are not at hand.
    """
    from fusionbench.images import grey
    from fusionbench.output import RULES, OutputRule

    found, missing = entries(method, output_rule)
    if not found:
        raise FusionbenchError("; ".join(map(str, missing)))
    entry = found[0]
    rule = OutputRule(**entry.card.data.get("output", {})) if output_rule == "released" else RULES[output_rule]
    a, b = (np.ascontiguousarray(x[None] if x.ndim == 2 else x.transpose(2, 0, 1)) for x in (ir, vis))
    b = np.repeat(b, 3, axis=0) if b.shape[0] == 1 else b
    picture = fuse_pair(entry.build(device), rule, grey(a), b, device)
    return picture[0] if picture.shape[0] == 1 else picture.transpose(1, 2, 0)


def cpu_jobs(jobs: int) -> int:
    """Number of images worked on at once: `jobs`, or all processors for 0."""
    return jobs or os.cpu_count() or 1
