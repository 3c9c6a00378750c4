"""From a published result back to its numbers: verify every hash, rerun, compare whatever the file claims."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fusionbench.commas import parted
from fusionbench.data.layout import DEFAULT
from fusionbench.data.opening import open_spec
from fusionbench.data.pairing import Reading
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.entries import Entry
from fusionbench.evaluation.plan import Plan, Request, make_plan
from fusionbench.evaluation.protocol import metric
from fusionbench.evaluation.runner import Progress, run
from fusionbench.evaluation.source import Source
from fusionbench.plugins.cards import cards
from fusionbench.plugins.fingerprint import code_hash
from fusionbench.report.claims import Claims, contradictions, read_claims, runnable_specs
from fusionbench.report.entry_names import entry_ids
from fusionbench.report.gaps import alike, gap
from fusionbench.report.places import Places
from fusionbench.report.published import Cell, Provenance, PublishedTable
from fusionbench.report.tables import build
from fusionbench.report.task_claims import recorded_results
from fusionbench.report.task_rerun import Networks, check_tasks
from fusionbench.report.task_tables import NO_RESULT
from fusionbench.results.records import Board
from fusionbench.results.store import Store
from fusionbench.runtime.arithmetic import check_compiler

UNCHECKED = ": the row was not checked"
_REASON = re.compile(r"(undefined on every image|there for some \(.*\)): .*")


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What the user says of the rerun; nothing of it comes from the file.

    Attributes:
        places: where data lie.
        split: a list file, for a table over a split of the user's own.
        networks: trained task networks, and whether to train those that are not there.
        jobs: images worked on at once.
        device: that computes.
        reading: how files are read and paired, of a table that was made so.
        methods: only rows of these entries or methods; all, where it is empty.
    """

    places: Places = field(default_factory=Places)
    split: str | None = None
    networks: Networks = field(default_factory=Networks)
    jobs: int = 0
    device: str = "cpu"
    reading: Reading = DEFAULT
    methods: tuple[str, ...] = ()


@dataclass
class Reproduction:
    """What was verified and how the numbers compare.

    Attributes:
        differences: claims that are not so or could not be checked (code, weights, data, split, counts), a line each.
        absent: those of the differences that are only a want of data, weights or pictures here.
        recorded: task columns whose scores nothing verified but hashes, a line each.
        notes: what has changed without a consequence for any number.
        worst: metric id, or a task's column, to the largest absolute difference of a value, over entries.
        misprinted: metric ids and columns where a printed digit is another.
        cells: number of means compared.
        task_results: number of task networks' results compared.
        rows: how many rows were to be run again.
        of: how many the table has; ranks, caption and notes are compared where these are the same number.
    """

    differences: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    worst: dict[str, float] = field(default_factory=dict)
    misprinted: set[str] = field(default_factory=set)
    cells: int = 0
    task_results: int = 0
    rows: int = 0
    of: int = 0

    @property
    def same(self) -> bool:
        """Whether every compared mean has the same bits."""
        return self.cells > 0 and not any(self.worst.values())

    @property
    def agrees(self) -> bool:
        """Whether every printed digit is the same; another processor or library may sum in another order."""
        return self.cells > 0 and not self.misprinted

    @property
    def state(self) -> str:
        """``same`` in every printed digit; ``not here``, where only something is not at hand; or ``differs``."""
        if self.agrees and not self.differences:
            return "same"
        only_absent = self.absent and set(self.differences) <= set(self.absent)
        return "not here" if only_absent and not self.misprinted else "differs"

    def compare(self, recorded: PublishedTable, again: PublishedTable, absent: set[str]) -> None:
        """Compare everything that a table says with the rerun's; a row that was not rerun is no agreement."""
        for name in ("protocol", "dataset", "split", "images", "expected", "metrics"):
            if getattr(recorded, name) != getattr(again, name):
                now = "" if name == "metrics" else f": {getattr(recorded, name)}, now {getattr(again, name)}"
                self.differences.append(f"the table's {name}{now}" + (" are others now" if not now else ""))
        whole = self.rows == self.of
        if whole and recorded.caption.replace("(gray)", "(grey)") != again.caption:
            self.differences.append(f"the caption reads otherwise: {again.caption}")
        rows = {row.id: row for row in again.rows}
        complete = whole and rows.keys() == {row.id for row in recorded.rows}
        before, after = _notes_of_values(recorded), _notes_of_values(again)
        if complete and before != after:  # rows that are not here have a part in them
            self.notes += [f"the note below the table is not so now: {n}" for n in before if n not in after]
            self.notes += [f"below the table would stand now: {n}" for n in after if n not in before]
        for row in recorded.rows:
            if row.id not in rows:
                self.unchecked(row.id, absent)
                continue
            for name, cell in row.scores.items():
                self._compare_cell(row.id, name, cell, rows[row.id].scores.get(name), ranks=complete)
            if complete and row.average_rank != rows[row.id].average_rank:
                self.differences.append(
                    f"{row.id}: average rank {row.average_rank}, computed {rows[row.id].average_rank}"
                )

    def unchecked(self, row: str, absent: set[str]) -> None:
        """A row that was not rerun, because it is not at hand or for another reason."""
        self.differences.append(row + UNCHECKED)
        if row in absent:
            self.absent.append(self.differences[-1])

    def _compare_cell(self, row: str, name: str, cell: Cell, again: Cell | None, ranks: bool) -> None:
        if again is None:
            self.differences.append(f"{row}, {name}: the value was not checked")
            return
        self.cells += 1
        self.worst[name] = max(self.worst.get(name, 0.0), gap(cell.mean, again.mean))
        digits = metric(name).digits
        if not alike(cell.mean, again.mean, digits):
            self.misprinted.add(name)
        facts: dict[str, tuple[object, object]] = {"images": (cell.n, again.n)}
        if ranks:
            facts["rank"] = (cell.rank, again.rank)  # over all rows
        if cell.ci95 and not (
            again.ci95 and all(alike(*pair, digits) for pair in zip(cell.ci95, again.ci95, strict=True))
        ):
            facts["interval"] = (cell.ci95, again.ci95)
        for what, (then, now) in facts.items():
            if then != now:
                self.differences.append(f"{row}, {name}: {what} {then}, computed {now}")


def _notes_of_values(table: PublishedTable) -> list[str]:
    """A table's notes about its values, without the reasons, which cards word.

    Others tell of the store that it was made from (entries and images that are not in it, who made which row), which a
    rerun of its rows does not have.
    """
    heads = tuple(head.title + end for head in table.metrics for end in (" of ", ": "))
    return sorted(_REASON.sub(r"\1.", note) for note in table.notes if note.startswith(heads))


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
    again = Reproduction(differences=contradictions(claims), of=len(claims.table.rows))
    sound, other_pictures = not again.differences, list[str]()
    if asked.methods:
        claims = claims.only(entry_ids(asked.methods, claims.facts.entries, str(result), "--methods"))
    facts, again.rows = claims.facts, len(claims.table.rows)
    plan, absent = _plan(claims, asked, again, out, progress)
    if plan is None:
        for row in claims.table.rows:
            again.unchecked(row.id, absent)
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
        if claims.table.tasks and sound:  # nothing of a file that contradicts itself is trained
            other_pictures = _tasks(claims, plan, store, asked, again, progress)
    again.differences += _changed_pairs(facts.pairs, {i: h for i, h in pairs.items() if i in facts.pairs})
    intervals = any(cell.ci95 for row in claims.table.rows for cell in row.scores.values())
    again.compare(claims.table, rerun.published(intervals), absent)
    moved = [*_changed_code(facts, {e.id for e in plan.entries}), *_other_devices(facts, plan), *other_pictures]
    # Code or a device that is another, and gives every digit again, is worth a note, not a doubt.
    (again.notes if again.agrees else again.differences).extend(moved)
    return again


def _tasks(claims: Claims, plan: Plan, store: Store, asked: Rerun, again: Reproduction, bar: Progress) -> list[str]:
    """What the table says of task networks; where pictures of another processor have other bytes, a line each."""
    empty = [head.id.removesuffix(NO_RESULT) for head in claims.table.tasks if head.id.endswith(NO_RESULT)]
    results = recorded_results(claims.facts)
    check = check_tasks(results, empty, plan, store, asked.networks, bar, claims.facts.processors)
    again.differences += check.differences
    again.recorded, again.task_results = [*again.recorded, *check.recorded], check.compared
    again.worst |= check.worst
    again.misprinted |= check.misprinted
    return check.notes


def _plan(
    claims: Claims, asked: Rerun, again: Reproduction, out: Path, progress: Progress
) -> tuple[Plan | None, set[str]]:
    """What the table says was run, of what can be run here, None where nothing can be verified; rows not at hand."""
    facts, board, differences = claims.facts, claims.facts.board, again.differences
    images = asked.places.pictures(board, facts.entries)
    first = len(differences)
    specs, absent = runnable_specs(claims, {parted(spec)[0] for spec in images}, differences)
    again.absent += [line for line in differences[first:] if line.partition(": not checked")[0] in absent]
    dataset = None
    if facts.pairs and (specs or images):
        dataset = asked.places.dataset_of(board, differences, out, progress)
    if not dataset:
        return None, absent
    try:
        open_spec(dataset, asked.places.data_root, asked.reading)
    except DataError as error:
        if asked.places.dataset:
            raise
        differences.append(str(error))
        again.absent.append(str(error))
        return None, set(claims.methods)
    plan = make_plan(
        Request(
            methods=tuple(specs),
            datasets=(dataset,),
            metrics=board.metrics,
            images=images,
            reading=asked.reading,
            data_root=asked.places.data_root,
            split=asked.split or (None if board.split.endswith(".txt") or "/" in board.split else board.split),
            output_rule=None if board.output == "released" else board.output,
            device=asked.device,
            jobs=asked.jobs,
            ids=tuple(facts.pairs),
        )
    )
    entries = _as_made([e for e in plan.entries if e.id in claims.methods], facts, asked.device, differences)
    source = _as_recorded(plan.sources[0], board)
    if (source.label, source.split) != (board.dataset, board.split):
        here = f"{source.label} {source.split}"
        differences.append(f"{here}: the table is of {board.dataset} {board.split}; name them with dataset=, split=")
        return None, absent
    return (replace(plan, entries=entries, sources=(source,)) if entries else None), absent


def _as_made(entries: list[Entry], facts: Provenance, device: str, differences: list[str]) -> tuple[Entry, ...]:
    """The entries in the arithmetic of the table; in float32, and not the same, where it cannot be had here."""
    recorded = {info.id: info for info in facts.entries}
    made = []
    for entry in entries:
        then = recorded[entry.id]
        try:
            made.append(entry.on(device, then.precision, then.compiled, then.batch))
            if then.compiled:
                check_compiler(device)
        except FusionbenchError as error:
            made.append(entry)
            differences.append(f"{entry.id}: its pictures were made on {then.made_in}, not so here: {error}")
    return tuple(made)


def _as_recorded(source: Source, board: Board) -> Source:
    """A folder's number of images, where only the folder tells it, as the table counts it."""
    if source.expected is None and board.expected == len(source.dataset.ids(source.split)):
        return replace(source, expected=board.expected)
    return source


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


def _other_devices(facts: Provenance, plan: Plan) -> list[str]:
    """Entries whose pictures another kind of device made."""
    then = {info.id: info for info in facts.entries}
    changed = [entry for entry in plan.entries if entry.device != then[entry.id].device]
    return [f"{e.id}: its pictures were made on {then[e.id].made_in}, here on {e.device}" for e in changed]


def _changed_pairs(recorded: Mapping[str, str], pairs: Mapping[str, str]) -> list[str]:
    """Source pairs that have other bytes, or are not here."""
    changed = [i for i, h in recorded.items() if i in pairs and pairs[i] != h]
    absent = [i for i in recorded if i not in pairs]
    lines = [f"data: {len(changed)} source pairs have other bytes, e.g. {changed[0]}"] if changed else []
    return lines + ([f"data: {len(absent)} source pairs are not here, e.g. {absent[0]}"] if absent else [])
