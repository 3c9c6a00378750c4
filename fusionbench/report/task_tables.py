"""Task results as table columns, and as tables of their own: every score, by condition, by class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionbench.plugins.cards import cards
from fusionbench.results.store import Store


@dataclass(frozen=True)
class TaskColumn:
    """One score of one network under one protocol.

    Attributes:
        id: ``task/network/protocol/recipe/score``.
        title: for the head of a table.
        values: entry id to one value per seed, sorted by seed.
        note: what the column is, in a line; for an empty column why it is empty.
    """

    id: str
    title: str
    values: Mapping[str, tuple[float, ...]]
    note: str

    def mean(self, entry: str) -> float:
        """Mean over the seeds; NaN without any."""
        found = [v for v in self.values.get(entry, ()) if not math.isnan(v)]
        return float(np.mean(found)) if found else math.nan

    def half(self, entry: str) -> float:
        """Half of the 95 % interval of the mean over seeds, by Student's t; NaN with fewer than two."""
        return half_interval([v for v in self.values.get(entry, ()) if not math.isnan(v)])

    def text(self, entry: str) -> str:
        """``0.4123 ± 0.0210``, or a dash."""
        return with_interval(self.values.get(entry, ()))

    def places(self, ranked: set[str]) -> dict[str, int]:
        """1 for the best and 2 for the second among these entries."""
        means = {e: self.mean(e) for e in self.values if e in ranked and not math.isnan(self.mean(e))}
        best = sorted(set(means.values()), reverse=True)[:2]
        return {e: best.index(v) + 1 for e, v in means.items() if v in best}


def half_interval(values: Any) -> float:
    """Half of the 95 % interval of the mean by Student's t; NaN with fewer than two values."""
    if len(values) < 2:
        return math.nan
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))


def with_interval(values: Any, digits: int = 4) -> str:
    """Mean and interval as text, a dash without any value."""
    held = [v for v in values if v is not None and not math.isnan(v)]
    if not held:
        return "–"
    half = half_interval(held)
    return f"{np.mean(held):.{digits}f}" + ("" if math.isnan(half) else f" ± {half:.{digits}f}")


def task_columns(store: Store, board: dict[str, Any], ids: Mapping[str, str]) -> tuple[TaskColumn, ...]:
    """The main scores of all tasks of a board, and an empty column for each task that could not be scored.

    Args:
        store: the results.
        board: which dataset and split.
        ids: entry key to entry id of the table's rows.
    """
    every = cards("task")
    groups: dict[tuple[str, ...], dict[str, list[dict[str, Any]]]] = {}
    for key, info in current(store, board):
        if key in ids and info["task"] in every:
            groups.setdefault(_group(info), {}).setdefault(ids[key], []).append(info)
    found = []
    for (task, network, protocol, recipe), rows in groups.items():
        for score, title in every[task].data["columns"]:
            values = {
                entry: tuple(_value(info["scores"]["all"].get(score)) for info in infos)
                for entry, infos in rows.items()
            }
            infos = [info for row in rows.values() for info in row]
            found.append(
                TaskColumn(
                    f"{task}/{network}/{protocol}/{recipe}/{score}",
                    f"{title} {network} {protocol}",
                    values,
                    _note(f"{task} {network} {protocol}", protocol, recipe, infos),
                )
            )
    for task, reason in store.task_gaps(board["dataset"], board["split"]).items():
        if task in every and not any(c.id.startswith(f"{task}/") for c in found):
            title = every[task].data["columns"][0][1]
            found.append(TaskColumn(f"{task}/-/-/-/-", title, {}, f"{title} is empty: {reason}"))
    return tuple(found)


def _group(info: Mapping[str, Any]) -> tuple[str, ...]:
    return info["task"], info["network"], info["protocol"], info["recipe"]


def current(store: Store, board: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(entry key, result) that may stand side by side: of each network those of the newest code and images."""
    rows = store.tasks(board["dataset"], board["split"])
    newest = {_group(info): _tested(info) for _, info in rows}
    kept = [(key, info) for key, info in rows if _tested(info) == newest[_group(info)]]
    return sorted(kept, key=lambda row: (*_group(row[1]), row[1]["seed"]))


def _tested(info: Mapping[str, Any]) -> tuple[Any, ...]:
    return info["code"], info["test_split"], info["images"]


def _value(value: float | None) -> float:
    return math.nan if value is None else value


def _note(title: str, protocol: str, recipe: str, infos: list[dict[str, Any]]) -> str:
    seeds = len({i["seed"] for i in infos})
    trained = sorted({i["trained_on"] for i in infos})
    fed = trained[0] if len(trained) == 1 else "each entry's own pictures of the training split"
    images = f"{infos[0]['images']} pairs of {infos[0]['test_split']}"
    over = "mean ± half of the 95 % interval over {} (Student's t); not in the average rank."
    if recipe.startswith("given-"):
        given = "a network" if seeds == 1 else f"{seeds} networks"
        spread = over.format("them") if seeds > 1 else "not in the average rank."
        return f"{title}: {given} given by the user, trained on {'; '.join(trained)}; tested on {images}; {spread}"
    return (
        f"{title}: recipe {recipe}, {seeds} seeds, network trained on {fed}, tested on {images}; {over.format('seeds')}"
    )


def pages(store: Store, board: dict[str, Any], ids: Mapping[str, str]) -> dict[str, str]:
    """Markdown of every task of a board, by task: all scores, by condition, by class.

    Args:
        ids: entry key to entry id, in the order of rows.
    """
    names = cards("task")
    by_task: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for key, info in current(store, board):
        if key in ids:
            by_task.setdefault(info["task"], []).append((ids[key], info))
    return {
        task: _page(names[task].data, board, rows, list(ids.values()))
        for task, rows in by_task.items()
        if task in names
    }


def _page(card: dict[str, Any], board: dict[str, Any], rows: list[tuple[str, dict[str, Any]]], order: list[str]) -> str:
    lines = [f"# {card['title']} on {board['title']}, split {board['split']}", ""]
    if board.get("origin"):
        lines += [f"Synthetic images: {board['origin']['generator']}, seed {board['origin'].get('seed')}.", ""]
    groups = list(dict.fromkeys((i["network"], i["protocol"], i["recipe"]) for _, i in rows))
    for group in groups:
        mine: dict[str, list[dict[str, Any]]] = {}
        for entry, info in sorted(rows, key=lambda r: order.index(r[0])):
            if (info["network"], info["protocol"], info["recipe"]) == group:
                mine.setdefault(entry, []).append(info)
        infos = [i for row in mine.values() for i in row]
        lines += [
            f"## {group[0]}, {group[1]}, recipe {group[2]}",
            "",
            _note(f"{card['name']} {group[0]} {group[1]}", group[1], group[2], infos),
            "",
        ]
        conditions = sorted({c for i in infos for c in i["scores"]}, key=lambda c: (c != "all", c))
        columns = [s for s, _ in card["columns"]]
        cells = {
            e: [with_interval([i["scores"].get(c, {}).get(s) for i in row]) for s in columns for c in conditions]
            for e, row in mine.items()
        }
        lines += _table("Entry", [f"{s} {c}" for s in columns for c in conditions], cells)
        scores = list(infos[0]["scores"]["all"])
        lines += ["Every score, all conditions:", ""]
        lines += _table(
            "Score",
            list(mine),
            {s: [with_interval([i["scores"]["all"].get(s) for i in row]) for row in mine.values()] for s in scores},
        )
        classes = infos[0]["classes"] if infos[0]["per_class"]["all"] else []
        if classes:
            lines += [f"By class, all conditions ({card['columns'][0][1]}, class by class):", ""]
            lines += _table(
                "Class",
                list(mine),
                {
                    n: [with_interval([i["per_class"]["all"].get(n) for i in row], 3) for row in mine.values()]
                    for n in classes
                },
            )
    return "\n".join(lines)


def _table(corner: str, head: list[str], rows: Mapping[str, list[str]]) -> list[str]:
    return [
        "| " + " | ".join([corner, *head]) + " |",
        "|---" + "|---:" * len(head) + "|",
        *("| " + " | ".join([name, *cells]) + " |" for name, cells in rows.items()),
        "",
    ]
