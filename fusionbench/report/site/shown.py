"""What a page shows: tables of stores and of committed files, side by side in one form."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError, PluginError
from fusionbench.evaluation.protocol import Metric, metric, metrics_of
from fusionbench.plugins.cards import profiles
from fusionbench.report.checking import published
from fusionbench.report.claims import contradictions
from fusionbench.report.recorded import recorded
from fusionbench.report.tables import Table, build
from fusionbench.report.writing import provenance_of
from fusionbench.results.merge import merge
from fusionbench.results.opening import open_to_read
from fusionbench.results.records import Board
from fusionbench.results.storage_errors import storage_error
from fusionbench.results.store import Store
from fusionbench.runtime.files import printable

DATABASE = "results.db"
MANY = 24  # columns that are shown at once


@dataclass(frozen=True)
class Shown:
    """One table of the page.

    Attributes:
        table: it.
        stem: name of its files.
        label: where it is from, in words.
        kind: ``store`` or ``table``.
        provenance: where its numbers come from, as plain data.
        more: further columns, each as a table of the same board.
        makers: entry id to who made its pictures, where that is known.
        conflicts: what disagrees, a line each.
        profile: name of the evaluator whose variants the columns are; "default" where they are the protocol's own.
    """

    table: Table
    stem: str
    label: str
    kind: str
    provenance: dict[str, object]
    more: tuple[Table, ...] = ()
    makers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()
    profile: str = "default"

    @property
    def first(self) -> bool:
        """Whether the page's first load holds it; the others come when they are chosen."""
        return self.profile == "default" and not self.table.board.corruption


def profile_of(table: Table) -> str:
    """Name of the evaluator whose variants a protocol's token says, "default" where it says none."""
    changes = table.board.protocol.split("+")[1:]
    named = [c.removeprefix("profile=") for c in changes if c.startswith(("profile=", "metrics="))]
    return named[0] if named else "default"


def sorted_out(named: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Which of the named paths are stores, and the tables that the others hold; without any the committed tables.

    Raises:
        FusionbenchError: a path is neither.
    """
    stores, tables = [], []
    for path in named:
        if (path / DATABASE).is_file():
            stores.append(path)
        elif path.is_dir():
            tables += [file for _, file in published(path)]
        elif path.is_file():
            tables.append(path)
        else:
            raise FusionbenchError(
                f"{path}: not there; name a folder of results, a folder of tables, or a table's .json"
            )
    return stores, tables if named else [file for _, file in published()]


def of_tables(files: Sequence[Path], base: Path | None = None) -> list[Shown]:
    """Committed tables.

    Raises:
        FusionbenchError: one of them cannot be read.
    """
    shown = []
    for path in files:
        found = recorded(path)
        facts = {
            "board": found.provenance.board,
            "images": len(found.table.ids),
            "entries": [row.info for row in found.table.rows],
            "metrics": found.facts.metrics,
            "runs": found.facts.runs,
            "tasks": found.provenance.tasks,
        }
        folder = path.parent.name
        label = found.stem if path.parent == base or folder == "leaderboards" else f"{folder}/{found.stem}"
        odd = contradictions(found.claims)
        plain: dict[str, object] = msgspec.to_builtins(facts)
        first, more = _split(found.table)
        shown.append(
            Shown(first, found.stem, printable(label), "table", plain, more, {}, tuple(odd), profile_of(found.table))
        )
    return shown


def _split(table: Table) -> tuple[Table, tuple[Table, ...]]:
    """A table of very many columns with its protocol's own alone, and the others as further ones."""
    own = tuple(m for m in table.metrics if m.id in table.board.own_metrics)
    if len(table.metrics) <= MANY or not own:
        return table, ()
    return replace(table, metrics=own), (replace(table, metrics=tuple(m for m in table.metrics if m not in own)),)


@contextmanager
def opened(folders: Sequence[Path]) -> Iterator[tuple[Store, list[str]]]:
    """One store with all that several hold, and a line for each disagreement, of which the first named store's stays.

    Nothing is written to them: several are copied, without their pictures, to a folder that is gone afterwards.
    """
    if len(folders) == 1:
        with Store(folders[0], create=False) as store:
            yield store, list(store.notes)
        return
    with tempfile.TemporaryDirectory(prefix="fusionbench-site-") as scratch:
        names = labels(folders)
        copies = []
        for number, folder in enumerate(folders):
            copy = Path(scratch, str(number))
            copy.mkdir()
            _copy(folder / DATABASE, copy / DATABASE)
            copies.append(copy)
        with Store(Path(scratch, "all")) as store:
            _, conflicts = merge(store, copies)
            for copy, name in zip(copies, names, strict=True):
                conflicts = [line.replace(f"{copy}:", f"{name}:").replace(str(copy), name) for line in conflicts]
            yield store, conflicts


def labels(folders: Sequence[Path]) -> list[str]:
    """Names of stores: the folder, its parent where the folder is ``results``; numbered where they are alike."""
    names = [
        (f.resolve().parent.name if f.resolve().name == "results" else f.resolve().name) or "store" for f in folders
    ]
    return [printable(f"{n} ({i})" if names.count(n) > 1 else n) for i, n in enumerate(names, 1)]


def _copy(source: Path, target: Path) -> None:
    try:
        with closing(open_to_read(source)) as db, closing(sqlite3.connect(target)) as copy:
            db.backup(copy)
    except sqlite3.Error as error:
        raise storage_error(source, error, reading=True) from None


def of_stores(
    folders: Sequence[Path], store: Store, conflicts: Sequence[str], wanted: Callable[[Board], bool], notes: list[str]
) -> list[Shown]:
    """The tables of opened stores: of each board the protocol's columns, and those of every evaluator that is there.

    Args:
        folders: of the stores.
        store: all of them, from :func:`opened`.
        conflicts: between them.
        wanted: which boards are shown.
        notes: takes why a board has no table.
    """
    there = set(store.metrics())
    makers = _Makers(folders)
    shown = []
    label = ", ".join(labels(folders))
    for board in filter(wanted, store.boards()):
        try:
            own = _own(store, board, there)
        except FusionbenchError as error:
            notes.append(str(error))
            continue
        tables = {profile_of(own): own}
        for profile in profiles():
            columns = [m.id for m in metrics_of(profile, None, board.colour)]
            if set(columns) <= there and not any(set(columns) == {m.id for m in t.metrics} for t in tables.values()):
                tables.update((profile, table) for table in _built(store, board, columns))
        odd = tuple(line for line in conflicts if _concerns(line, board))
        for profile, table in tables.items():
            facts = json.loads(provenance_of(table, store))
            more = _more(store, board, own, there) if table is own else ()
            shown.append(Shown(table, table.stem, label, "store", facts, more, makers.of(table), odd, profile))
    return shown


def _concerns(line: str, board: Board) -> bool:
    """Whether a disagreement names this board's dataset, or none that could be told."""
    return f" {board.dataset} " in f"{line.replace(':', ' ').replace(',', ' ')} " or "entry " in line


def _own(store: Store, board: Board, there: set[str]) -> Table:
    """The table with the protocol's own columns, where they were computed, else with those of the last run."""
    if set(board.own_metrics) <= there:
        try:
            return build(store, board, board.own_metrics)
        except FusionbenchError:
            pass  # of older code, or of none of the entries
    return build(store, board)


def _built(store: Store, board: Board, columns: Sequence[str]) -> list[Table]:
    """The table with these columns; none where no entry has all of them."""
    try:
        return [build(store, board, columns)]
    except FusionbenchError:
        return []


def _more(store: Store, board: Board, table: Table, there: set[str]) -> tuple[Table, ...]:
    """Every further metric of the store as a column: all at once where the rows have all of them, else one by one."""
    names = sorted(there - {m.id for m in table.metrics})
    found: list[Metric] = []
    for name in names:
        try:
            found.append(metric(name))
        except PluginError:
            continue  # of a plugin that is not here now
    columns = [m.id for m in found]
    if not columns:
        return ()
    together = _built(store, board, columns)
    if together and together[0].ids == table.ids and {r.id for r in together[0].rows} == {r.id for r in table.rows}:
        return tuple(together)
    return tuple(one for name in columns for one in _built(store, board, [name]))


class _Makers:
    """Which store has an entry's pictures, and what made them.

    Args:
        folders: of the stores.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders, self.names = folders, labels(folders)

    def of(self, table: Table) -> dict[str, tuple[str, ...]]:
        """Entry id to a line for each store that holds pictures of it."""
        lines: dict[str, list[str]] = {row.id: [] for row in table.rows}
        board = table.board
        for folder, name in zip(self.folders, self.names, strict=True):
            with Store(folder, create=False) as store:
                made, pairs = store.makers(), store.pairs(board.dataset, board.split)
                for key, info in store.entries(board.output).items():
                    if info.id not in lines:
                        continue
                    fused = store.fused(key, board.dataset, board.split, pairs)
                    who = sorted(
                        {str(made[f.made]) if f.made in made else "versions not recorded" for f in fused.values()}
                    )
                    if fused:
                        lines[info.id].append(f"{name}: {counted(len(fused), 'picture')}, {'; '.join(who)}")
        return {entry: tuple(own) for entry, own in lines.items()}
