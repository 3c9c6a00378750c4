"""From a published result back to its numbers: verify every hash, rerun, compare."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.plan import Plan, Request, make_plan
from fusionbench.evaluation.protocol import metric
from fusionbench.evaluation.runner import Progress, run
from fusionbench.plugins.cards import cards
from fusionbench.plugins.fingerprint import code_hash
from fusionbench.report.published import Provenance, PublishedTable, read
from fusionbench.report.tables import build
from fusionbench.results.records import EntryInfo
from fusionbench.results.store import Store

SUFFIXES = (".provenance.json", ".json", ".md", ".csv", ".tex")


@dataclass
class Reproduction:
    """What was verified and how the numbers compare.

    Attributes:
        differences: facts that are not as recorded (code, weights, data, split), one line each.
        worst: metric id to the largest absolute difference of a mean, over entries.
        cells: number of means compared.
    """

    differences: list[str] = field(default_factory=list)
    worst: dict[str, float] = field(default_factory=dict)
    cells: int = 0

    @property
    def same(self) -> bool:
        """Whether every compared mean has the same bits."""
        return self.cells > 0 and not any(self.worst.values())

    def compare(self, recorded: PublishedTable, again: PublishedTable) -> None:
        """Compare the means of two tables where both have one."""
        rows = {row.id: row.scores for row in again.rows}
        for row in recorded.rows:
            for name, cell in row.scores.items():
                if row.id in rows and name in rows[row.id]:
                    self.cells += 1
                    gap = _gap(cell.mean, rows[row.id][name].mean)
                    self.worst[name] = max(self.worst.get(name, 0.0), gap)


def reproduce(
    result: Path,
    out: Path,
    data_root: Path | None = None,
    images: tuple[str, ...] = (),
    jobs: int = 0,
    device: str = "cpu",
    progress: Progress = lambda *_: None,
) -> Reproduction:
    """Rerun a table.

    Args:
        result: ``STEM.provenance.json`` with ``STEM.json`` beside it (or either of them).
        out: a fresh output directory for the rerun.
        data_root: folder of the datasets.
        images: ``NAME=DIR`` of pictures that other programs made.
        jobs: images worked on at once.
        device: that computes.
        progress: called as work proceeds.

    Raises:
        FusionbenchError: files missing, or nothing that can be rerun here.
    """
    stem = next((result.name.removesuffix(s) for s in SUFFIXES if result.name.endswith(s)), result.name)
    facts = read(result.with_name(f"{stem}.provenance.json"), Provenance)
    table = read(result.with_name(f"{stem}.json"), PublishedTable)
    again = Reproduction()
    methods = _methods(facts.entries, {spec.partition("=")[0] for spec in images}, again.differences)
    board = facts.board
    request = Request(
        datasets=(board.dataset.rpartition("-")[2],),
        metrics=board.metrics,
        images=images,
        data_root=data_root,
        split=board.split,
        output_rule=None if board.output == "released" else board.output,
        device=device,
        jobs=jobs,
        ids=tuple(facts.pairs),
    )
    plan = _plan(methods, request, again.differences)
    again.differences += [*_changed_inputs(facts, plan), *_changed_code(facts)]
    with Store(out) as store:
        outcome = run(plan, store, f"fusionbench reproduce {result.name}", progress)
        again.differences += [f"{i} of {d} ({e}): {reason}" for (e, d, i), reason in outcome.failures.items()]
        source = plan.sources[0]
        columns, keys = [m.id for m in source.metrics], [e.key for e in plan.entries]
        rerun = build(store, source.board(), columns, keys, ids=source.ids)
        pairs = store.pairs(source.label, source.split)
    again.differences += _changed_pairs(facts.pairs, pairs)
    again.compare(table, rerun.published())
    return again


def _gap(a: float | None, b: float | None) -> float:
    if a is None or b is None:
        return 0.0 if a is b else math.inf
    return abs(a - b)


def _methods(entries: Iterable[EntryInfo], given: set[str], differences: list[str]) -> list[str]:
    """The entries as users type them; what cannot be run here is noted."""
    methods = []
    known = cards("method")
    for entry in entries:
        card = known.get(entry.method)
        if card is None:
            differences.append(f"{entry.id}: no method {entry.method} here")
        elif card.facts.precomputed:
            name = entry.options.get("name")
            if name not in given:
                differences.append(f"{entry.id}: pictures of another program; name them with images={name}=DIR")
        else:
            inside = [entry.weights.name] if entry.weights else []
            inside += [f"{k}={v}" for k, v in entry.options.items() if v != card.defaults.get(k)]
            methods.append(entry.method + (f"[{','.join(inside)}]" if inside else ""))
    return methods


def _plan(methods: Iterable[str], request: Request, differences: list[str]) -> Plan:
    """The plan that made the table, as far as its methods can run here; those that cannot are noted."""
    usable = []
    for spec in methods:
        try:
            make_plan(
                Request(
                    methods=(spec,),
                    datasets=request.datasets,
                    data_root=request.data_root,
                    output_rule=request.output_rule,
                )
            )
            usable.append(spec)
        except FusionbenchError as error:
            differences.append(f"{spec}: cannot run here: {error}")
    return make_plan(replace(request, methods=tuple(usable)))


def _changed_inputs(facts: Provenance, plan: Plan) -> list[str]:
    """The split's list and the weights, where they are not as recorded."""
    lines = []
    here, board = plan.sources[0].board().split_sha256, facts.board
    if here != board.split_sha256:
        lines.append(f"split {board.split}: its list is {here[:12]}, recorded is {board.split_sha256[:12]}")
    recorded = {e.id: e.weights for e in facts.entries}
    for entry in plan.entries:
        then = recorded.get(entry.id)
        if then and entry.weights and then.sha256 != entry.weights.sha256:
            lines.append(f"{entry.id}: weights {entry.weights.sha256[:12]}, recorded {then.sha256[:12]}")
    return lines


def _changed_code(facts: Provenance) -> list[str]:
    """Methods and metrics whose code is not as recorded."""
    lines = []
    known = cards("method")
    for entry in facts.entries:
        card = known.get(entry.method)
        if card and code_hash(card) != entry.code:
            lines.append(
                f"{entry.id}: the method's code has changed since (version {entry.version} then, {card.version} now)"
            )
    for name, then in facts.metrics.items():
        if metric(name).code != then.code:
            lines.append(f"{name}: the metric's code has changed since (version {then.version} then)")
    return lines


def _changed_pairs(recorded: dict[str, str], pairs: dict[str, str]) -> list[str]:
    """Source pairs that have other bytes, or are not here."""
    changed = [i for i, h in recorded.items() if i in pairs and pairs[i] != h]
    absent = [i for i in recorded if i not in pairs]
    lines = [f"data: {len(changed)} source pairs have other bytes, e.g. {changed[0]}"] if changed else []
    return lines + ([f"data: {len(absent)} source pairs are not here, e.g. {absent[0]}"] if absent else [])
