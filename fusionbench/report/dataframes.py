"""A results folder as data frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pandas as pd

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.cost import Cost
from fusionbench.evaluation.protocol import variants_of
from fusionbench.report import cost_table
from fusionbench.report.entry_names import entry_ids
from fusionbench.report.scores import frame
from fusionbench.report.tables import build
from fusionbench.report.task_tables import current
from fusionbench.results.records import Board
from fusionbench.results.store import Store

SHORT = ["dataset", "split", "protocol", "entry", "id", "metric", "value"]


class Results:
    """What `eval` left in a folder; nothing in it is changed.

    Args:
        folder: as ``--out`` names it.

    Raises:
        FusionbenchError: there is no store in it. Every method raises it for a name that is not there.
    """

    def __init__(self, folder: str | Path = "results") -> None:
        self.folder = Path(folder)
        with self._store():
            pass

    def __repr__(self) -> str:
        return f"fusionbench.results({str(self.folder)!r}): {', '.join(self.datasets())}"

    def datasets(self) -> list[str]:
        """Labels of the datasets that have scores."""
        with self._store() as store:
            return list(dict.fromkeys(board.dataset for board in store.boards()))

    def scores(
        self,
        datasets: Sequence[str] = (),
        methods: Sequence[str] = (),
        metrics: Sequence[str] = (),
        hashes: bool = False,
    ) -> pd.DataFrame:
        """Every score of every image, one row each.

        Args:
            datasets: only these; all by default.
            methods: only these entries or methods.
            metrics: only these, such as ``vif`` (the default variant) or ``vif@cddfuse``.
            hashes: also what each was computed from, as `export` writes it.

        Returns:
            Columns dataset, split, protocol, entry, id, metric, value; NaN where a metric is undefined.
        """
        with self._store() as store:
            boards = self._boards(store, datasets)
            rows = frame(store, boards, self._entries(store, boards, methods))
        wanted = {m.id for spec in metrics for m in variants_of(spec)}
        if rows.empty:
            return pd.DataFrame(columns=SHORT)
        chosen = rows[rows["metric"].isin(wanted)] if wanted else rows
        return chosen.reset_index(drop=True) if hashes else chosen[SHORT].reset_index(drop=True)

    def table(
        self, dataset: str | None = None, methods: Sequence[str] = (), metrics: Sequence[str] = ()
    ) -> pd.DataFrame:
        """The leaderboard of one dataset: means over the images that all entries have, and the average rank.

        Args:
            dataset: which; may be left out where there is one.
            methods: only these entries or methods.
            metrics: columns; those of the last run by default.

        Returns:
            A row an entry in the order of the table, a column a metric, ``average_rank`` behind them; NaN for none.
        """
        with self._store() as store:
            boards = self._boards(store, [dataset] if dataset else ())
            if len(boards) > 1:
                there = ", ".join(f"{b.dataset} ({b.split}, output {b.output})" for b in boards)
                raise FusionbenchError(f"{self.folder}: there are several tables: {there}; name one")
            columns = [m.id for spec in metrics for m in variants_of(spec)]
            table = build(store, boards[0], columns, entry_ids=self._entries(store, boards, methods))
        average = table.average_ranks()
        rows = {r.id: {m.id: r.mean(m.id) for m in table.metrics} for r in table.rows}
        made = pd.DataFrame.from_dict(rows, orient="index")
        made["average_rank"] = pd.Series(average, dtype=float)
        return made.rename_axis("entry")

    def entries(self) -> pd.DataFrame:
        """What each row of a table is: method, options, weights, device; indexed by the entry's id."""
        with self._store() as store:
            rules = {board.output for board in store.boards()}
            infos = [info for rule in sorted(rules) for info in store.entries(rule).values()]
        facts = {
            info.id: {
                "method": info.method,
                "title": info.title,
                "options": json.dumps(info.options, sort_keys=True),
                "weights": info.weights.name if info.weights else "",
                "output_rule": info.output_rule,
                "device": info.device,
            }
            for info in infos
        }
        return pd.DataFrame.from_dict(facts, orient="index").rename_axis("entry")

    def tasks(self) -> pd.DataFrame:
        """Scores of task networks: a row for each entry, network, protocol, seed, condition and score."""
        rows = []
        with self._store() as store:
            for board in store.boards():
                names = {key: info.id for key, info in store.entries(board.output).items()}
                for key, result in current(store, board):
                    facts = (board.dataset, names.get(key, key), result.task, result.network, result.protocol)
                    rows += [
                        (*facts, result.recipe, result.seed, condition, score, value)
                        for condition, scores in result.scores.items()
                        for score, value in scores.items()
                    ]
        heads = ["dataset", "entry", "task", "network", "protocol", "recipe", "seed", "condition", "score", "value"]
        return pd.DataFrame(rows, columns=heads)

    def costs(self) -> pd.DataFrame:
        """What `cost` measured: parameters, operations, milliseconds, memory; a row an entry, size and machine."""
        rows = [msgspec.to_builtins(row) for row in cost_table.kept(self.folder)]
        return pd.DataFrame(rows, columns=[field.name for field in msgspec.structs.fields(Cost)])

    def _store(self) -> Store:
        return Store(self.folder, create=False)

    def _boards(self, store: Store, datasets: Sequence[str]) -> list[Board]:
        found = [board for name in datasets or (None,) for board in store.boards(name)]
        return list({(b.dataset, b.split, b.output): b for b in found}.values())

    def _entries(self, store: Store, boards: Sequence[Board], methods: Sequence[str]) -> tuple[str, ...]:
        infos = [info for rule in {b.output for b in boards} for info in store.entries(rule).values()]
        return entry_ids(methods, infos, str(store.path), "methods")
