"""A table as Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import overload

from fusionbench.report.markup import csv_cell, escape_markdown
from fusionbench.report.numbers import fixed, places
from fusionbench.report.paper import Style, paper_latex
from fusionbench.report.tables import Table
from fusionbench.runtime.files import printable

FORMATS = {"md": "md", "latex": "tex", "csv": "csv", "json": "json"}


def as_text(table: Table, form: str, ci: bool = False) -> str:
    """The table in one of `FORMATS`; `ci` adds 95 % bootstrap intervals."""
    return {"md": markdown, "latex": latex, "csv": as_csv, "json": as_json}[form](table, ci)


def markdown(table: Table, ci: bool = False) -> str:
    """GitHub Markdown: best bold, second underlined."""
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
    lines += ["", *(f"- {escape_markdown(note)}" for note in table.notes)] if table.notes else []
    return "\n".join(lines) + "\n"


def latex(table: Table, ci: bool = False) -> str:
    """What a document can ``\\input``, see :func:`fusionbench.report.paper.paper_latex`."""
    return paper_latex([table], Style(ci=ci))


def as_csv(table: Table, ci: bool = False) -> str:
    """One line per entry; full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    bounds = ("low95", "high95") if ci else ()
    extra = [f"{m.id} {b}" for m in table.metrics for b in bounds]
    tasks = [text for c in table.tasks for text in (c.id, f"{c.id} half95")]
    writer.writerow(["entry", *(m.id for m in table.metrics), *extra, *tasks, "average_rank", "images", "protocol"])
    average = table.average_ranks()
    for r in table.rows:
        means = [_number(r.mean(m.id)) for m in table.metrics]
        ends = [_number(v) for m in table.metrics for v in r.interval(m.id)] if ci else []
        ends += [_number(v) for c in table.tasks for v in (c.mean(r.id), c.half(r.id))]
        own = csv_cell(printable(r.id)), csv_cell(printable(table.board.protocol))
        writer.writerow([own[0], *means, *ends, average.get(r.id, ""), len(table.ids), own[1]])
    return out.getvalue()


def as_json(table: Table, ci: bool = False) -> str:
    """Everything, full precision."""
    return json.dumps(plain(table.to_dict(ci)), indent=1, sort_keys=True, allow_nan=False) + "\n"


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
            if ci and not math.isnan(mean):
                low, high = r.interval(m.id)
                text += f" [{fixed(low, m.digits)}, {fixed(high, m.digits)}]"
            cells.append((text, best[m.id].get(r.id, 0)))
        cells += [(c.text(r.id), c.places(ranked).get(r.id, 0)) for c in table.tasks]
        rows.append((r.id, cells, f"{average[r.id]:.2f}" if r.id in average else "–"))
    return rows
