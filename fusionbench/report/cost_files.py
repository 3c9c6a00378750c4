"""Costs in the formats that tables have."""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections.abc import Mapping, Sequence

import msgspec

from fusionbench.evaluation.cost import Cost
from fusionbench.report.cost_table import Quality, cells_of, markdown
from fusionbench.report.latex import escape_latex, remark
from fusionbench.report.markup import csv_cell
from fusionbench.report.sheets import STYLE, Cell, workbook
from fusionbench.runtime.files import printable

Groups = Mapping[str, Sequence[Cost]]  # title, see cost_table.groups, to rows that can be compared


def cost_text(groups: Groups, quality: Quality, form: str) -> str | bytes:
    """Costs as ``md``, ``latex``, ``csv``, ``json``, ``html`` or ``xlsx``.

    Args:
        groups: rows of each machine and size, which are compared with nobody else's.
        quality: means of metrics beside them.
        form: the format.
    """
    if form == "json":
        rows = [row for group in groups.values() for row in group]
        return json.dumps(msgspec.to_builtins(rows), indent=1, sort_keys=True) + "\n"
    if form == "md":
        return "\n".join(markdown(title, group, quality) for title, group in groups.items())
    if form == "xlsx":
        return _xlsx(groups, quality)
    return {"latex": _latex, "csv": _csv, "html": _html}[form](groups, quality)


def _values(row: Cost, quality: Quality) -> list[float | None]:
    """Parameters, operations, milliseconds, MiB and means, with all digits."""
    numbers = [row.parameters, row.flops, row.milliseconds, row.peak_mib]
    return [*numbers, *(means.get(row.entry) for means in quality.values())]


def _csv(groups: Groups, quality: Quality) -> str:
    """One line per entry, full precision; what failed has its reason in the last column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["entry", "parameters", "operations", "milliseconds", "peak MiB"]
    writer.writerow([*head, *map(csv_cell, map(printable, quality)), "measured on", "failed"])
    for title, rows in groups.items():
        for row in rows:
            numbers = ["" if value is None else repr(value) for value in _values(row, quality)]
            texts = [csv_cell(printable(text)) for text in (row.entry, title, row.failure)]
            writer.writerow([texts[0], *numbers, *texts[1:]])
    return out.getvalue()


def _latex(groups: Groups, quality: Quality) -> str:
    r"""Tables to ``\input``, with booktabs, one for each machine and size."""
    lines: list[str] = [r"% Needs \usepackage{booktabs}."]
    for title, rows in groups.items():
        head, entries = cells_of(rows, quality)
        failed = [f"{row.entry}: {row.failure}." for row in rows if row.failure]
        caption = escape_latex(" ".join([f"{title}.", *failed]))
        lines += [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", r"\vspace{2pt}", r"\footnotesize"]
        lines += [rf"\begin{{tabular}}{{l{'r' * len(head)}}}", r"\toprule"]
        lines += [" & ".join(map(escape_latex, ["Method", *head])) + r" \\", r"\midrule"]
        lines += [
            " & ".join([escape_latex(name), *(escape_latex(c) if c != "-" else "--" for c in own)]) + r" \\"
            for name, own in entries
        ]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join([*remark("".join(lines)), *lines]) + "\n"


def _html(groups: Groups, quality: Quality) -> str:
    """A page that needs nothing else."""
    parts = []
    for title, rows in groups.items():
        head, entries = cells_of(rows, quality)
        heads = "".join(f"<th>{_escaped(text)}</th>" for text in ("Method", *head))
        body = "\n".join(
            f"<tr><td>{_escaped(name)}</td>{''.join(f'<td>{_escaped(cell)}</td>' for cell in own)}</tr>"
            for name, own in entries
        )
        failed = "".join(f"<li>{_escaped(f'{row.entry}: {row.failure}')}</li>" for row in rows if row.failure)
        parts.append(
            f"<p>{_escaped(title)}.</p>\n<table><thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
            + (f"\n<ul>{failed}</ul>" if failed else "")
        )
    tables = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Costs</title>\n<style>{STYLE}</style>'
        f"</head><body>\n{tables}\n</body></html>\n"
    )


def _xlsx(groups: Groups, quality: Quality) -> bytes:
    """A workbook of one sheet, the groups below each other."""
    sheet: list[list[Cell]] = []
    for title, rows in groups.items():
        sheet += [[(f"{title}.", 0, 0)], [(text, 1, 0) for text in ("Method", "parameters", "operations", "ms", "MiB")]]
        sheet[-1] += [(name, 1, 0) for name in quality]
        for row in rows:
            decimals = [0, 0, 1, 0, *[3] * len(quality)]
            numbers = zip(_values(row, quality), decimals, strict=True)
            cells: list[Cell] = [(math.nan if value is None else value, 0, digits) for value, digits in numbers]
            sheet.append([(row.entry, 0, 0), *cells, *([(row.failure, 0, 0)] if row.failure else [])])
        sheet.append([])
    return workbook(sheet)


def _escaped(text: str) -> str:
    return html.escape(printable(" ".join(text.splitlines())))
