"""From a published result back to its numbers: verify every hash, rerun, compare whatever the file claims."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fusionbench.data.opening import data_root
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.plan import Plan, Request, Source, make_plan
from fusionbench.evaluation.protocol import metric
from fusionbench.evaluation.runner import Progress, run
from fusionbench.plugins.cards import cards
from fusionbench.plugins.fingerprint import code_hash
from fusionbench.report.claims import Claims, contradictions, read_claims, runnable_specs
from fusionbench.report.published import Cell, Provenance, PublishedTable
from fusionbench.report.tables import build
from fusionbench.results.records import Board
from fusionbench.results.store import Store


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What the user says of the rerun; nothing of it comes from the file.

    Attributes:
        data_root: folder of the datasets.
        dataset: ``NAME=DIR``, where the dataset does not lie below it.
        split: a list file, for a table over a split of the user's own.
        images: ``NAME=DIR`` of pictures that other programs made.
        jobs: images worked on at once.
        device: that computes.
    """

    data_root: Path | None = None
    dataset: str | None = None
    split: str | None = None
    images: tuple[str, ...] = ()
    jobs: int = 0
    device: str = "cpu"


@dataclass
class Reproduction:
    """What was verified and how the numbers compare.

    Attributes:
        differences: claims that are not so or could not be checked (code, weights, data, split, counts), a line each.
        notes: what has changed without a consequence for any number.
        worst: metric id to the largest absolute difference of a mean, over entries.
        cells: number of means compared.
    """

    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    worst: dict[str, float] = field(default_factory=dict)
    cells: int = 0

    @property
    def same(self) -> bool:
        """Whether every compared mean has the same bits."""
        return self.cells > 0 and not any(self.worst.values())

    def compare(self, recorded: PublishedTable, again: PublishedTable) -> None:
        """Compare everything that a table says with the rerun's; a row that was not rerun is no agreement."""
        for name in ("protocol", "dataset", "split", "images", "expected", "metrics"):
            if getattr(recorded, name) != getattr(again, name):
                now = "" if name == "metrics" else f": {getattr(recorded, name)}, now {getattr(again, name)}"
                self.differences.append(f"the table's {name}{now}" + (" are others now" if not now else ""))
        if recorded.caption.replace("(gray)", "(grey)") != again.caption:
            self.differences.append(f"the caption reads otherwise: {again.caption}")
        if recorded.notes != again.notes:
            self.notes.append("the notes below the table read otherwise")
        rows = {row.id: row for row in again.rows}
        complete = rows.keys() == {row.id for row in recorded.rows}
        for row in recorded.rows:
            if row.id not in rows:
                self.differences.append(f"{row.id}: the row was not checked")
                continue
            for name, cell in row.scores.items():
                self._compare_cell(row.id, name, cell, rows[row.id].scores.get(name), ranks=complete)
            if complete and row.average_rank != rows[row.id].average_rank:
                self.differences.append(
                    f"{row.id}: average rank {row.average_rank}, computed {rows[row.id].average_rank}"
                )

    def _compare_cell(self, row: str, name: str, cell: Cell, again: Cell | None, ranks: bool) -> None:
        if again is None:
            self.differences.append(f"{row}, {name}: the value was not checked")
            return
        self.cells += 1
        self.worst[name] = max(self.worst.get(name, 0.0), gap(cell.mean, again.mean))
        facts: dict[str, tuple[object, object]] = {"images": (cell.n, again.n)}
        if ranks:
            facts["rank"] = (cell.rank, again.rank)  # over all rows
        if cell.ci95:
            facts["interval"] = (cell.ci95, again.ci95)
        for what, (then, now) in facts.items():
            if then != now:
                self.differences.append(f"{row}, {name}: {what} {then}, computed {now}")


def gap(a: float | None, b: float | None) -> float:
    """Difference of two means; infinite where only one of them is a number."""
    if a is None or b is None:
        return 0.0 if a is b else math.inf
    difference = abs(a - b)
    return 0.0 if a == b else difference if math.isfinite(difference) else math.inf


def reproduce(result: Path, out: Path, asked: Rerun, progress: Progress = lambda *_: None) -> Reproduction:
    """Rerun a table.

    Args:
        result: ``STEM.provenance.json`` with ``STEM.json`` beside it (or either of them).
        out: a fresh output directory for the rerun.
        asked: folders and how to run.
        progress: called as work proceeds.

    Raises:
        FusionbenchError: files missing or no result, or no such data here.
    """
    claims = read_claims(result)
    facts = claims.facts
    again = Reproduction(differences=contradictions(claims))
    plan = _plan(claims, asked, again.differences)
    if plan is None:
        again.differences += [f"{row.id}: the row was not checked" for row in claims.table.rows]
        return again
    source = plan.sources[0]
    again.differences += [*_changed_board(facts.board, source.board()), *_changed_entries(facts, plan)]
    columns, keys = [m.id for m in source.metrics], [e.key for e in plan.entries]
    with Store(out) as store:
        outcome = run(plan, store, f"fusionbench reproduce {result.name}", progress)
        again.differences += [f"{i} of {d} ({e}): {reason}" for (e, d, i), reason in outcome.failures.items()]
        again.differences += [f"{name}: {reason}" for name, reason in outcome.broken.items()]
        rerun = build(store, source.board(), [c for c in columns if c not in outcome.broken], keys, ids=source.ids)
        pairs = store.pairs(source.label, source.split)
    again.differences += _changed_pairs(facts.pairs, {i: h for i, h in pairs.items() if i in facts.pairs})
    intervals = any(cell.ci95 for row in claims.table.rows for cell in row.scores.values())
    again.compare(claims.table, rerun.published(intervals))
    moved = _changed_code(facts, {entry.id for entry in plan.entries})
    # Code that moved and gives every digit again is worth a note, not a doubt.
    (again.notes if again.same else again.differences).extend(moved)
    return again


def _plan(claims: Claims, asked: Rerun, differences: list[str]) -> Plan | None:
    """What the table says was run, of what can be run here; None where nothing can be verified."""
    facts, board = claims.facts, claims.facts.board
    given = {spec.partition("=")[0] for spec in asked.images}
    named = {str(e.options.get("name")) for e in facts.entries}
    if unknown := sorted(given - named):
        raise FusionbenchError(f"images={unknown[0]}: the table has no such pictures")
    specs = runnable_specs(claims, given, differences)
    dataset = dataset_of(board, asked, differences)
    if not (dataset and facts.pairs and (specs or given)):
        return None
    plan = make_plan(
        Request(
            methods=tuple(specs),
            datasets=(dataset,),
            metrics=board.metrics,
            images=asked.images,
            data_root=asked.data_root,
            split=asked.split or (None if board.split.endswith(".txt") or "/" in board.split else board.split),
            output_rule=None if board.output == "released" else board.output,
            device=asked.device,
            jobs=asked.jobs,
            ids=tuple(facts.pairs),
        )
    )
    entries = tuple(entry for entry in plan.entries if entry.id in claims.methods)
    source = _as_recorded(plan.sources[0], board)
    if (source.label, source.split) != (board.dataset, board.split):
        here = f"{source.label} {source.split}"
        differences.append(f"{here}: the table is of {board.dataset} {board.split}; name them with dataset=, split=")
        return None
    return replace(plan, entries=entries, sources=(source,)) if entries else None


def _as_recorded(source: Source, board: Board) -> Source:
    """A folder's number of images, where only the folder tells it, as the table counts it."""
    if source.expected is None and board.expected == len(source.dataset.ids(source.split)):
        return replace(source, expected=board.expected)
    return source


def dataset_of(board: Board, asked: Rerun, differences: list[str]) -> str | None:
    """The dataset as users type it: by its label, or where the user says that it lies."""
    if asked.dataset:
        return asked.dataset
    for name, card in cards("dataset").items():
        if board.dataset == name or (board.origin.generator and board.dataset == f"{board.origin.generator}-{name}"):
            return name
        if card.facts.generic and board.dataset.startswith(f"{name}-"):
            root = data_root(asked.data_root)
            folders = [root, *sorted(p for p in root.iterdir() if p.is_dir())] if root.is_dir() else []
            for folder in folders:
                if f"{name}-" + re.sub(r"[^A-Za-z0-9._-]+", "_", folder.resolve().name) == board.dataset:
                    return f"{name}={folder}"
            differences.append(f"{board.dataset}: not below {root}; name its folder with dataset={name}=DIR")
            return None
    differences.append(f"{board.dataset}: no such dataset here")
    return None


def _changed_board(recorded: Board, here: Board) -> list[str]:
    """The split's list and the protocol, where they are not as recorded."""
    lines = []
    if here.split_sha256 != recorded.split_sha256:
        then, now = (b.split_sha256[:12] or "none" for b in (recorded, here))
        lines.append(f"split {recorded.split}: its list is {now}, recorded is {then}")
    for name in ("title", "own_metrics", "colour", "output", "origin", "metrics"):
        if getattr(here, name) != getattr(recorded, name):
            lines.append(f"the protocol's {name}: {getattr(recorded, name)}, here {getattr(here, name)}")
    return lines


def _changed_entries(facts: Provenance, plan: Plan) -> list[str]:
    """Weights, options and output rules that are not as recorded."""
    lines = []
    recorded = {e.id: e for e in facts.entries}
    for entry in plan.entries:
        then, now = recorded[entry.id], entry.info()
        first, second = (e.weights.sha256 if e.weights else "none" for e in (now, then))
        if first != second:
            lines.append(f"{entry.id}: weights {first[:12]}, recorded {second[:12]}")
        for name in ("method", "options", "output_rule", "output", "source_only", "unverified"):
            if getattr(now, name) != getattr(then, name):
                lines.append(f"{entry.id}: its {name} is {getattr(now, name)}, recorded {getattr(then, name)}")
    return lines


def _changed_code(facts: Provenance, rerun: set[str]) -> list[str]:
    """Methods that were rerun, and metrics, whose code is not as recorded."""
    lines = []
    known = cards("method")
    for entry in facts.entries:
        card = known.get(entry.method)
        if card and entry.id in rerun and code_hash(card) != entry.code:
            lines.append(
                f"{entry.id}: the method's code has changed since (version {entry.version} then, {card.version} now)"
            )
    for name, then in facts.metrics.items():
        if metric(name).code != then.code:
            lines.append(f"{name}: the metric's code has changed since (version {then.version} then)")
    return lines


def _changed_pairs(recorded: Mapping[str, str], pairs: Mapping[str, str]) -> list[str]:
    """Source pairs that have other bytes, or are not here."""
    changed = [i for i, h in recorded.items() if i in pairs and pairs[i] != h]
    absent = [i for i in recorded if i not in pairs]
    lines = [f"data: {len(changed)} source pairs have other bytes, e.g. {changed[0]}"] if changed else []
    return lines + ([f"data: {len(absent)} source pairs are not here, e.g. {absent[0]}"] if absent else [])
