"""Rows of a paper's table: their plain names, their order, and what they cite."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fusionbench.errors import FusionbenchError, did_you_mean
from fusionbench.evaluation.protocol import Metric
from fusionbench.naming import matches
from fusionbench.plugins.cards import MethodCard, cards
from fusionbench.report.entry_names import entry_ids, label_of
from fusionbench.report.latex import escape_latex, typed
from fusionbench.report.tables import Table
from fusionbench.report.task_tables import TaskColumn
from fusionbench.results.records import EntryInfo

Text = tuple[str, str]  # as LaTeX, and plain
ORDERS = ("rank", "year", "name")
_LATEX = re.compile(r"\\[A-Za-z]+|[\\${}^]")  # what takes no room
_KEY = re.compile(r"@\w+\s*\{\s*([^\s,{}]+)\s*,")


@dataclass(frozen=True)
class PaperRow:
    """One row: its name as LaTeX and plain, the year of its method, and what it cites."""

    info: EntryInfo
    latex: str
    plain: str
    year: int | None
    key: str

    @property
    def id(self) -> str:
        """The entry's id."""
        return self.info.id


def plain_names(infos: Iterable[EntryInfo]) -> dict[str, str]:
    """Entry id to the name that a reader needs: the title of the method, or what pictures were called.

    Options are part of it; weights only where two rows would have one name. Names that are still the same are ids.
    """
    every = {info.id: info for info in infos}
    short = {i: label_of(info) or _titled(info, weights=False) for i, info in every.items()}
    for i in _shared(short):
        short[i] = label_of(every[i]) or _titled(every[i], weights=True)
    return {**short, **{i: i for i in _shared(short)}}


def _shared(names: Mapping[str, str]) -> list[str]:
    counts = Counter(names.values())
    return [i for i, name in names.items() if counts[name] > 1]


def _titled(info: EntryInfo, weights: bool) -> str:
    inside = re.fullmatch(r"[^\[]+\[(.*)\]", info.id)
    parts = [part for part in (inside[1].split(",") if inside else []) if weights or "=" in part]
    return info.title + (f" [{', '.join(parts)}]" if parts else "")


class Naming:
    """What is printed for entries, metrics and datasets.

    Args:
        tables: of which they are.
        rename: what the user wants printed for some, by any name of theirs.

    Attributes:
        renamed: ids of what the user named.

    Raises:
        FusionbenchError: a name in `rename` that none has.
    """

    def __init__(self, tables: Sequence[Table], rename: Mapping[str, str]) -> None:
        self.infos = {r.id: r.info for t in tables for r in t.rows}
        names = plain_names(self.infos.values())
        metrics = {m.id: m for t in tables for m in t.metrics}
        titles = Counter(m.card.title for m in metrics.values())
        heads = {m.id: m.card.title if titles[m.card.title] == 1 else m.title for m in metrics.values()}
        scores = {c.id: c for t in tables for c in t.tasks}
        short = Counter(c.title.partition("@")[0] for c in scores.values())
        for c in scores.values():
            first = c.title.partition("@")[0]
            heads[c.id] = first if short[first] == 1 else c.title
        boards = {t.board.protocol: t.board.title for t in tables}
        shared = Counter(boards.values())
        boards = {p: title if shared[title] == 1 else f"{title} ({p})" for p, title in boards.items()}
        self._texts: dict[str, Text] = {k: (escape_latex(v), v) for k, v in {**names, **heads, **boards}.items()}
        self.renamed: set[str] = set()
        for asked, text in rename.items():
            for key in self._meant(asked, tables, metrics, heads):
                self.renamed.add(key)
                self._texts[key] = (typed(text), _LATEX.sub("", text))

    def _meant(
        self, asked: str, tables: Sequence[Table], metrics: Mapping[str, Metric], heads: Mapping[str, str]
    ) -> list[str]:
        spoken: dict[str, tuple[str, ...]]
        spoken = {i: (self._texts[i][1], e.method, e.title, label_of(e)) for i, e in self.infos.items()}
        spoken |= {k: (heads[k], *((m.card.name, m.title) if (m := metrics.get(k)) else ())) for k in heads}
        spoken |= {t.board.protocol: (t.board.dataset, t.board.title) for t in tables}
        found = matches(asked, spoken, spoken)
        if not found:
            known = [name for key, others in spoken.items() for name in (key, *others) if name]
            near = did_you_mean(asked, known)
            raise FusionbenchError(f"--rename {asked}=...: no such entry, metric or dataset; {near}")
        if len(found) > 1:
            raise FusionbenchError(f"--rename {asked}=...: it may be {' or '.join(found)}; write it as it is")
        return found

    def entry(self, ident: str) -> Text:
        """Name of an entry."""
        return self._texts[ident]

    def metric(self, m: Metric) -> Text:
        """Head of a metric's column, without its arrow."""
        return self._texts[m.id]

    def task(self, column: TaskColumn) -> Text:
        """Head of a task's column, without its arrow."""
        return self._texts[column.id]

    def dataset(self, table: Table) -> Text:
        """Title of a dataset."""
        return self._texts[table.board.protocol]


def rows_of(tables: Sequence[Table], names: Naming, order: Sequence[str], last: Sequence[str]) -> list[list[PaperRow]]:
    """The rows in groups that rules part: source images, the others, and those that the user wants last.

    Args:
        tables: their rows are the union.
        names: what is printed.
        order: see :class:`fusionbench.report.paper.Style`.
        last: entries of the last group, in this order.

    Raises:
        FusionbenchError: an order or a name that there is not.
    """
    ranks: dict[str, list[float]] = {}
    for table in tables:
        for ident, rank in table.average_ranks().items():
            ranks.setdefault(ident, []).append(rank)
    infos = list(names.infos.values())
    by_rank = sorted(infos, key=lambda e: (e.id not in ranks, sum(ranks.get(e.id, [0])) / len(ranks.get(e.id, [0]))))
    bottom = entry_ids(last, infos, "the table", "--last")
    ordered = _ordered(by_rank, order, tables, names)
    rows = {e.id: PaperRow(e, *names.entry(e.id), _year(e), citation(e)[0]) for e in infos}
    middle = [rows[e.id] for e in ordered if not e.source_only and e.id not in bottom]
    sources = [rows[e.id] for e in ordered if e.source_only and e.id not in bottom]
    return [group for group in (sources, middle, [rows[i] for i in bottom]) if group]


def _ordered(
    by_rank: Sequence[EntryInfo], order: Sequence[str], tables: Sequence[Table], names: Naming
) -> list[EntryInfo]:
    if len(order) == 1 and order[0].lower() in ORDERS:
        years = {e.id: _year(e) for e in by_rank}
        if order[0].lower() == "year":
            return sorted(by_rank, key=lambda e: (years[e.id] is None, years[e.id] or 0))
        named = order[0].lower() == "name"
        return sorted(by_rank, key=lambda e: names.entry(e.id)[1].casefold() if named else "")
    if len(order) == 1 and (metric := _column(order[0], tables)):
        table, m = metric
        sign = -1 if m.up else 1
        means = {r.id: sign * r.mean(m.id) for r in table.rows}
        return sorted(by_rank, key=lambda e: (not means.get(e.id, float("nan")) < float("inf"), means.get(e.id, 0.0)))
    first = entry_ids(order, by_rank, f"no order of {', '.join(ORDERS)}, no column", "--order")
    place = {ident: number for number, ident in enumerate(first)}
    return sorted(by_rank, key=lambda e: place.get(e.id, len(place)))


def _column(name: str, tables: Sequence[Table]) -> tuple[Table, Metric] | None:
    for table in tables:
        spoken = {m.id: (m.card.name, m.card.title, m.title) for m in table.metrics}
        if len(found := matches(name, spoken, spoken)) == 1:
            return table, next(m for m in table.metrics if m.id == found[0])
    return None


def _card(info: EntryInfo) -> MethodCard | None:
    """The card of an entry's method; of pictures, that of the method that the user called them after, if any."""
    known = cards("method")
    if label := label_of(info):
        meant = matches(label, known, {name: (card.title,) for name, card in known.items()})
        return known[meant[0]] if len(meant) == 1 else None
    return known.get(info.method)


def _year(info: EntryInfo) -> int | None:
    card = _card(info)
    return card.facts.year if card else None


def published(info: EntryInfo) -> bool:
    """Whether a method's card names a paper."""
    card = _card(info)
    return bool(card and card.facts.paper)


def citation(info: EntryInfo) -> tuple[str, str]:
    """The key and the BibTeX entry of a method's card; both "" where it has none."""
    card = _card(info)
    text = card.facts.bibtex.strip() if card else ""
    found = _KEY.match(text)
    return (found[1], text) if found else ("", "")


def bibliography(infos: Iterable[EntryInfo]) -> str:
    """The BibTeX entries of the methods, each once, in the order of their keys."""
    found = dict(sorted(citation(info) for info in infos))
    return "\n\n".join(text for key, text in found.items() if key) + "\n"
