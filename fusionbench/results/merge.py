"""Several results stores into one; other machines' files are read as a stranger's, with every type and name checked."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.results import packed
from fusionbench.results.merged_pictures import copy_picture, is_safe, sample
from fusionbench.results.records import Board, EntryInfo, Run, TaskResult, as_stored
from fusionbench.results.schema import (
    TABLES,
    BoardRow,
    EntryRow,
    FailureRow,
    FusedRow,
    GapRow,
    MakerRow,
    PackedRow,
    PairRow,
    RunRow,
    TaskRow,
)
from fusionbench.results.shards import joined
from fusionbench.results.sources import LocalStore, source
from fusionbench.results.store import Store
from fusionbench.runtime.files import sweep

BOARD_FACTS = ("protocol", "split_sha256")  # counts of a board differ between machines, these must not
R = TypeVar("R", bound=tuple[object, ...])


@dataclass(frozen=True)
class Content:
    """Everything that a store holds, checked."""

    makers: list[MakerRow]
    entries: list[EntryRow]
    infos: dict[str, EntryInfo]
    boards: list[BoardRow]
    pairs: list[PairRow]
    fused: list[FusedRow]
    scores: list[PackedRow]
    variants: dict[int, tuple[str, str]]
    failures: list[FailureRow]
    tasks: list[TaskRow]
    results: list[TaskResult]
    gaps: list[GapRow]
    runs: list[RunRow]


def content(store: Store, scores: bool = True) -> Content:
    """Read everything.

    Args:
        store: the results.
        scores: whether also all scores, which are many.

    Raises:
        FusionbenchError: a row or record is not of its type, or they contradict each other.
    """
    entries, boards, tasks = store.rows(EntryRow), store.rows(BoardRow), store.rows(TaskRow)
    runs, makers = store.rows(RunRow), store.makers()
    infos = {row.key: store.decoded(EntryInfo, row.info) for row in entries}
    agree = [(infos[row.key].id, infos[row.key].output_rule) == (row.id, row.output) for row in entries]
    for board in boards:
        facts = store.decoded(Board, board.info)
        agree.append((facts.dataset, facts.split, facts.output) == board[:3])
    results = [store.decoded(TaskResult, row.info) for row in tasks]
    for task, result in zip(tasks, results, strict=True):
        names = ("task", "network", "protocol", "recipe", "seed", "code", "pictures")
        agree.append(all(getattr(result, name) == getattr(task, name) for name in names))
    for run in runs:
        store.decoded(Run, run.info)
    agree += [number == made.id for number, made in makers.items()]
    if not all(agree):
        raise FusionbenchError(f"{store.path}: its records contradict each other; it was edited or is damaged")
    packed_rows, variants = store.packed_scores() if scores else ([], {})
    return Content(
        makers=store.rows(MakerRow),
        entries=entries,
        infos=infos,
        boards=boards,
        pairs=store.rows(PairRow),
        fused=store.rows(FusedRow),
        scores=packed_rows,
        variants=variants,
        failures=store.rows(FailureRow),
        tasks=tasks,
        results=results,
        gaps=store.rows(GapRow),
        runs=runs,
    )


def merge(
    store: Store, places: Sequence[Path | LocalStore], pictures: int | None = None
) -> tuple[dict[str, int], list[str]]:
    """Add what other stores have and this one lacks; what disagrees is named, and stays as it is here.

    Args:
        store: the target.
        places: output directories of other runs, or what :func:`fusionbench.results.sources.source` made of addresses.
        pictures: how many of each entry and split are copied, see :func:`fusionbench.results.merged_pictures.sample`;
            all by default.

    Returns:
        Number of rows added per table (of entries: those that tables show), and one line per conflict.

    Raises:
        FusionbenchError: when a folder holds no store, or one that contradicts itself.
    """
    added = dict.fromkeys((name for name in TABLES if name not in ("makers", "runs", "variants")), 0)
    conflicts = list(store.notes)
    with ExitStack() as stack:  # all are looked at before the target is touched
        others = [p if isinstance(p, LocalStore) else stack.enter_context(source(p)) for p in places]
        for place in others:
            _merge_one(store, place, pictures, added, conflicts)
    return added, conflicts


def _merge_one(
    store: Store, place: LocalStore, pictures: int | None, added: dict[str, int], conflicts: list[str]
) -> None:
    if place.folder.resolve() == store.folder.resolve():
        raise FusionbenchError(f"{place.name}: a store cannot be merged into itself; choose another out=")
    with place.opened() as opened:  # read whole before the target is touched
        other = content(opened)
        conflicts += opened.notes
    merger = Merger(store, place, content(store, scores=False), other, added, conflicts)
    merger.copy_pictures(pictures)
    with store.transaction() as db:
        merger.write(db)


@dataclass
class Merger:
    """One source on its way into the target.

    Attributes:
        store: the target.
        source: where the other store lies.
        own: what the target holds.
        other: what the source holds.
        added: rows added per table.
        conflicts: a line each.
        refused: rows whose pictures are not what they should be.
    """

    store: Store
    source: LocalStore
    own: Content
    other: Content
    added: dict[str, int]
    conflicts: list[str]
    refused: set[FusedRow] = field(default_factory=set)

    def copy_pictures(self, count: int | None = None) -> None:
        """Copy the pictures of images that the target lacks, all or a sample; note those that are refused."""
        wanted = set(self.other.fused) if count is None else sample(self.other.fused, count)
        own = {row[:4] for row in self.own.fused}
        paths = {row.path: row.image for row in self.own.fused}
        reasons: Counter[str] = Counter()
        example: dict[str, str] = {}
        for below in {row.path.rpartition("/")[0] for row in self.other.fused if is_safe(row.path)}:
            sweep(self.store.folder / below, ".*.tmp")
        for row, reason, folder in self.source.fetched(r for r in self.other.fused if r in wanted and r[:4] not in own):
            if paths.get(row.path) == row.image and (self.store.folder / row.path).is_file():
                continue
            taken = paths.get(row.path, row.image) != row.image
            if reason := reason or copy_picture(row, folder, self.store.folder, taken):
                self.refused.add(row)
                reasons[reason] += 1
                example.setdefault(reason, f"{self._name(row.entry)} {row.dataset} {row.split} {row.id}")
            else:
                paths[row.path] = row.image
        for reason, count in reasons.items():
            self._conflict(f"{counted(count, 'picture')} refused ({reason}), e.g. {example[reason]}", "none of them")

    def write(self, db: sqlite3.Connection) -> None:
        """Add all rows to the target, in its transaction."""
        pairs = self._new("source pair", self.own.pairs, self.other.pairs, 3)
        fused = self._fused()
        seen = {(row.image, row.pair) for row in (*self.own.fused, *fused)}  # no scores of pictures that nobody has
        self._insert(db, "pairs", pairs)
        self._insert(db, "fused", fused)
        self._scores(db, seen)
        self._entries(db)
        self._insert(db, "boards", self._boards())
        for place, board in joined(*(self._read_boards(side.boards) for side in (self.own, self.other))):
            db.execute("UPDATE boards SET info=? WHERE dataset=? AND split=? AND output=?", (as_stored(board), *place))
        self._insert(db, "failures", self._failures((*self.own.pairs, *pairs), (*self.own.fused, *fused)))
        self._drop_stale_failures(db, fused)
        self._insert(db, "tasks", self._tasks())
        gaps = {row[:3] for row in self.own.gaps}
        self._insert(db, "task_gaps", [row for row in self.other.gaps if row[:3] not in gaps])
        db.executemany("INSERT OR IGNORE INTO makers VALUES(?,?)", self.other.makers)
        own = set(self.own.runs)
        db.executemany("INSERT INTO runs VALUES(?,?)", [row for row in self.other.runs if row not in own])

    def _scores(self, db: sqlite3.Connection, seen: set[tuple[str, str]]) -> None:
        """Add scores of the pictures in `seen`: (hash of the picture, hash of the pair)."""
        adder = packed.Adder(db, self.other.variants)
        for row in self.other.scores:
            if (row.image, row.pair) in seen:
                adder.add(*row)
        self.added["scores"] += adder.added
        for key, value, own in adder.differing:
            name = " ".join(k[:12] if len(k) == 64 else k for k in key)
            self._conflict(f"score {name}: {_short(_number(value))}", _short(_number(own)))

    def _new(self, word: str, own: Iterable[R], other: Iterable[R], width: int) -> list[R]:
        """Rows whose key, the first columns, the target lacks; rows that differ in the next column are noted."""
        known = {row[:width]: row[width] for row in own}
        new = []
        for row in other:
            if row[:width] not in known:
                new.append(row)
            elif known[row[:width]] != row[width]:
                name = " ".join(str(k)[:12] if len(str(k)) == 64 else str(k) for k in row[:width])
                self._conflict(f"{word} {name}: {_short(row[width])}", _short(known[row[:width]]))
        return new

    def _fused(self) -> list[FusedRow]:
        own = {row[:4]: row for row in self.own.fused}
        differing: dict[tuple[str, str, str, str], list[str]] = {}
        for row in self.other.fused:
            present = own.get(row[:4])
            if present and (present.image, present.pair) != (row.image, row.pair):
                what = "pictures differ" if present.pair == row.pair else "pictures are of other source pairs"
                differing.setdefault((what, *row[:3]), []).append(row.id)
        for (what, entry, dataset, split), ids in differing.items():
            name = f"fused images of {self._name(entry)} on {dataset} {split}"
            self._conflict(f"{name}: {len(ids)} {what}, e.g. {ids[0]}", "ours")
        return [row for row in self.other.fused if row[:4] not in own and row not in self.refused]

    def _entries(self, db: sqlite3.Connection) -> None:
        """Add entries, numbered so that of an id and output rule the target's latest stays the one tables show."""
        last = max((row.seq for row in self.own.entries), default=0)
        lowest: dict[tuple[str, str], int] = {}
        latest: dict[tuple[str, str], EntryRow] = {}
        for row in sorted(self.own.entries, key=lambda r: r.seq):
            lowest.setdefault((row.id, row.output), row.seq)
            latest[row.id, row.output] = row
        known, shown, new = set(self.own.infos), dict(latest), []
        for row in sorted(self.other.entries, key=lambda r: -r.seq):  # the source's latest first
            name = row.id, row.output
            if name in latest and shown[name] is latest[name]:
                self._compare_entries(latest[name], row)
                shown[name] = row  # named once
            if row.key in known:
                continue
            if name in latest:
                lowest[name] -= 1
                new.append(row._replace(seq=lowest[name]))
            else:
                new.append(row._replace(seq=last + min(max(row.seq, 0), 1 << 40)))
                self.added["entries"] += name not in shown
                shown.setdefault(name, row)
        db.executemany("INSERT INTO entries VALUES(?,?,?,?,?)", new)

    def _compare_entries(self, own: EntryRow, other: EntryRow) -> None:
        name = f"entry {own.id} (output {own.output})"
        present, facts = self.own.infos[own.key], self.other.infos[other.key]
        parts = {
            "code": (present.code, present.version) != (facts.code, facts.version),
            "options": present.options != facts.options,
            "weights": (present.weights and present.weights.sha256) != (facts.weights and facts.weights.sha256),
            "output rule": present.output != facts.output,
            "device": present.made_in != facts.made_in,
        }
        differ = " and ".join(part for part, differs in parts.items() if differs)
        if own.key != other.key:
            differ = differ or "version of fusionbench, or other pictures"
            self._conflict(f"{name}: key {other.key[:12]} (other {differ})", own.key[:12])
        elif differ:
            self._conflict(f"{name}: the same key with other {differ}", "ours")

    def _read_boards(self, rows: Iterable[BoardRow]) -> dict[tuple[str, ...], Board]:
        return {row[:3]: self.store.decoded(Board, row.info) for row in rows}

    def _boards(self) -> list[BoardRow]:
        own = self._read_boards(self.own.boards)
        for row in self.other.boards:
            if present := own.get(row[:3]):
                facts = self.store.decoded(Board, row.info)
                for fact in BOARD_FACTS:
                    if getattr(facts, fact) != getattr(present, fact):
                        what = f"protocol of {' '.join(row[:3])}: {fact} {_short(getattr(facts, fact))}"
                        self._conflict(what, _short(getattr(present, fact)))
        return [row for row in self.other.boards if row[:3] not in own]

    def _failures(self, pairs: Iterable[PairRow], fused: Iterable[FusedRow]) -> list[FailureRow]:
        """Failures of images that neither machine fused."""
        present = {row[:3]: row.hash for row in pairs}
        there = {row[:4] for row in fused if present.get(row[1:4]) == row.pair}
        other = [row for row in self.other.failures if row[:4] not in there]
        return self._new("failure", self.own.failures, other, 4)

    def _drop_stale_failures(self, db: sqlite3.Connection, fused: Iterable[FusedRow]) -> None:
        """Forget failures of the target for images that the source could fuse."""
        where = "DELETE FROM failures WHERE entry=? AND dataset=? AND split=? AND id=?"
        pairs = {row[:3]: row.hash for row in (*self.other.pairs, *self.own.pairs)}
        db.executemany(where, [row[:4] for row in fused if pairs.get(row[1:4]) == row.pair])

    def _tasks(self) -> list[TaskRow]:
        own = {row[:8]: (row, result) for row, result in zip(self.own.tasks, self.own.results, strict=True)}
        new = []
        for row, result in zip(self.other.tasks, self.other.results, strict=True):
            if row[:8] not in own:
                new.append(row)
                continue
            present, known = own[row[:8]]
            parts = {"code": present.code != row.code, "pictures": present.pictures != row.pictures}
            parts["scores"] = (known.scores, known.images) != (result.scores, result.images) and not any(parts.values())
            if differ := " and ".join(part for part, differs in parts.items() if differs):
                where = f"{self._name(row.entry)} on {row.dataset} {row.split}"
                self._conflict(f"{row.task} {row.network} {row.protocol} of {where}: {differ} differ", "ours")
        return new

    def _insert(self, db: sqlite3.Connection, table: str, rows: list[R]) -> None:
        columns = TABLES[table].columns
        marks = ",".join("?" * len(columns))
        db.executemany(f"INSERT INTO {table}({','.join(columns)}) VALUES({marks})", rows)
        self.added[table] += len(rows)

    def _name(self, key: str) -> str:
        info = self.own.infos.get(key) or self.other.infos.get(key)
        return info.id if info else key[:12] or "source"

    def _conflict(self, what: str, own: str) -> None:
        self.conflicts.append(f"{self.source.name}: {what}, kept {own}")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 40 else text[:16] + "..."
