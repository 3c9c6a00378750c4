"""A table as Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import overload

from fusionbench.report.beside import Beside
from fusionbench.report.markup import csv_cell, escape_markdown
from fusionbench.report.numbers import fixed, places
from fusionbench.report.paper import Style, paper_latex
from fusionbench.report.tables import Table
from fusionbench.runtime.files import printable

FORMATS = {"md": "md", "latex": "tex", "csv": "csv", "json": "json"}


def as_text(table: Table, form: str, ci: bool = False, printed: Beside | None = None) -> str:
    """The table in one of `FORMATS`; `ci` adds 95 % bootstrap intervals, `printed` what papers print."""
    return {"md": markdown, "latex": latex, "csv": as_csv, "json": as_json}[form](table, ci, printed)


def markdown(table: Table, ci: bool = False, printed: Beside | None = None) -> str:
    """GitHub Markdown: best bold, second underlined; printed values in lines of their own below a row."""
    head = [
        "Method",
        *(f"{escape_markdown(m.title)} {'↑' if m.up else '↓'}" for m in table.metrics),
        *(f"{escape_markdown(c.title)} {'↑' if c.up else '↓'}" for c in table.tasks),
    ]
    head.append("Average rank ↓")
    lines = [
        escape_markdown(table.caption),
        "",
        "| " + " | ".join(head) + " |",
        "|---" + "|---:" * (len(head) - 1) + "|",
    ]
    for name, cells, rank in cells_of(table, ci):
        marked = [f"**{t}**" if place == 1 else f"<u>{t}</u>" if place == 2 else t for t, place in cells]
        lines.append("| " + " | ".join([escape_markdown(name), *marked, rank]) + " |")
        for label, texts in _printed_lines(table, printed, name):
            lines.append("| " + " | ".join([label, *map(escape_markdown, texts), ""]) + " |")
    notes = _notes(table, printed)
    lines += ["", *(f"- {escape_markdown(note)}" for note in notes)] if notes else []
    return "\n".join(lines) + "\n"


def latex(table: Table, ci: bool = False, printed: Beside | None = None) -> str:
    """What a document can ``\\input``, see :func:`fusionbench.report.paper.paper_latex`."""
    return paper_latex([table], Style(ci=ci), printed)


def as_csv(table: Table, ci: bool = False, printed: Beside | None = None) -> str:
    """One line per entry; full precision. What is printed stands in further columns, with its source's number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    bounds = ("low95", "high95") if ci else ()
    extra = [f"{m.id} {b}" for m in table.metrics for b in bounds]
    tasks = [text for c in table.tasks for text in (c.id, f"{c.id} half95")]
    if spread := any(not math.isnan(r.deviation(m.id)) for r in table.rows for m in table.metrics):
        extra += [f"{m.id} deviation" for m in table.metrics]
    head = ["entry", *(m.id for m in table.metrics), *extra, *tasks, "average_rank", "images", "protocol"]
    columns = [*(m.id for m in table.metrics), *(c.id for c in table.tasks)] if printed else []
    writer.writerow([*head, *(f"{name} printed" for name in columns), *(["printed in"] if printed else [])])
    average = table.average_ranks()
    for r in table.rows:
        means = [_number(r.mean(m.id)) for m in table.metrics]
        ends = [_number(v) for m in table.metrics for v in r.interval(m.id)] if ci else []
        ends += [_number(r.deviation(m.id)) for m in table.metrics] if spread else []
        ends += [_number(v) for c in table.tasks for v in (c.mean(r.id), c.half(r.id))]
        own = csv_cell(printable(r.id)), csv_cell(printable(table.board.protocol))
        others = printed.lines.get(r.id, ()) if printed else ()
        beside = [" / ".join(f"[{o.source}] {text}" for o in others if (text := o.text(name))) for name in columns]
        if printed:
            named = sorted({o.source for o in others})
            beside.append(csv_cell(printable(" ".join(printed.sources[number - 1] for number in named))))
        writer.writerow([own[0], *means, *ends, average.get(r.id, ""), len(table.ids), own[1], *beside])
    return out.getvalue()


def as_json(table: Table, ci: bool = False, printed: Beside | None = None) -> str:
    """Everything, full precision."""
    return json.dumps(plain(as_dict(table, ci, printed)), indent=1, sort_keys=True, allow_nan=False) + "\n"


def as_dict(table: Table, ci: bool = False, printed: Beside | None = None) -> dict[str, object]:
    """The table as plain data, printed values under ``printed``."""
    return {**table.to_dict(ci), **({"printed": printed.to_dict(table)} if printed else {})}


@overload
def plain(value: dict[str, object]) -> dict[str, object]: ...
@overload
def plain(value: object) -> object: ...
def plain(value: object) -> object:
    """Data with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _printed_lines(table: Table, printed: Beside | None, entry: str) -> list[tuple[str, list[str]]]:
    """Below an entry's row: a label, and a text for each column."""
    columns = [*(m.id for m in table.metrics), *(c.id for c in table.tasks)]
    lines = printed.lines.get(entry, ()) if printed else ()
    return [(f"printed [{line.source}]", [line.text(name) for name in columns]) for line in lines]


def _notes(table: Table, printed: Beside | None) -> list[str]:
    return [*table.notes, *(printed.notes + printed.sources if printed else ())]


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def cells_of(table: Table, ci: bool) -> list[tuple[str, list[tuple[str, int]], str]]:
    """Per row: name, (text, place) per metric with place 1, 2 or 0 as it is printed, and the average rank."""
    average = table.average_ranks()
    best = {m.id: places({r.id: r.mean(m.id) for r in table.ranked}, m.digits, m.up) for m in table.metrics}
    ranked = {r.id for r in table.ranked}
    rows = []
    for r in table.rows:
        cells: list[tuple[str, int]] = []
        for m in table.metrics:
            mean = r.mean(m.id)
            text = "–" if math.isnan(mean) else fixed(mean, m.digits)
            if not math.isnan(deviation := r.deviation(m.id)):
                text += f" ± {fixed(deviation, m.digits)}"
            low, high = r.interval(m.id) if ci else (math.nan, math.nan)
            if not math.isnan(low):
                text += f" [{fixed(low, m.digits)}, {fixed(high, m.digits)}]"
            cells.append((text, best[m.id].get(r.id, 0)))
        cells += [(c.text(r.id), c.places(ranked).get(r.id, 0)) for c in table.tasks]
        rows.append((r.id, cells, f"{average[r.id]:.2f}" if r.id in average else "–"))
    return rows
