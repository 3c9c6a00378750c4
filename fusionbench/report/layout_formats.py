"""A filled layout as Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

from fusionbench.report.beside import MARKS
from fusionbench.report.filling import Filled, FilledLayout
from fusionbench.report.formats import plain
from fusionbench.report.latex import escape_latex, fonts
from fusionbench.report.layouts import COSTS
from fusionbench.report.markup import csv_cell, escape_markdown
from fusionbench.runtime.files import printable


def layout_text(filled: FilledLayout, form: str, printed: bool) -> str:
    """A filled layout in one of the formats of tables; ``printed`` adds what its paper prints."""
    forms: dict[str, Callable[[FilledLayout, bool], str]] = {"md": _markdown, "latex": _latex, "csv": _csv}
    return {**forms, "json": _json}[form](filled, printed)


def _caption(filled: FilledLayout) -> str:
    layout = filled.layout
    where = f"{layout.source}, {layout.table}" if layout.table else layout.source
    return f"{layout.title} ({where}), filled with what was measured here."


def _head(filled: FilledLayout) -> list[tuple[str, bool]]:
    return [(column.title, column.up) for column in filled.layout.columns]


def _body(filled: FilledLayout) -> tuple[list[tuple[str, list[tuple[str, int]]]], list[str]]:
    """Rows of (text, place), an empty cell as a dash with the letter of its reason; and what the letters mean."""
    places, reasons = filled.places(), dict[str, str]()
    body = []
    for number, (row, cells) in enumerate(zip(filled.layout.rows, filled.cells, strict=True)):
        line = []
        for column, cell in enumerate(cells):
            text = cell.text or f"– ({reasons.setdefault(cell.why, _letter(len(reasons)))})"
            line.append((text, places[column].get(number, 0)))
        body.append((row.title, line))
    return body, [f"({letter}) {why}." for why, letter in reasons.items()]


def _letter(number: int) -> str:
    """a, b ... z, aa, ab ..."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _in_print(cell: Filled, score: str) -> str:
    unit = COSTS[score.partition("/")[2]][0] if score.startswith("cost/") else ""
    return " / ".join(dict.fromkeys(f"{p.text} {unit}".strip() for p in cell.printed))


def _print_lines(filled: FilledLayout) -> list[list[str]]:
    scores = [column.score for column in filled.layout.columns]
    return [[_in_print(cell, score) for cell, score in zip(row, scores, strict=True)] for row in filled.cells]


def _notes(filled: FilledLayout, reasons: list[str], printed: bool) -> list[str]:
    notes = [*filled.notes, *reasons]
    if filled_with := list(dict.fromkeys(c.remark for row in filled.cells for c in row if c.remark)):
        notes.append(f"Filled with: {'; '.join(filled_with)}.")
    cells = [p for row in filled.cells for c in row for p in c.printed] if printed else []
    if printed:
        notes.append(
            "Printed values are others' numbers: they are not ranked, and none is marked as best."
            if cells
            else "None of these cells is in print."
        )
    used = {mark for cell in cells for mark in cell.marks}
    meanings = [f"{letter}: {text}" for letter, text in MARKS.items() if {letter, f"{letter}?"} & used]
    if meanings:
        notes.append(f"Beside printed values, {'; '.join(meanings)}; with ?: the source does not tell.")
    hand = {True: "; second hand", False: ""}
    notes += dict.fromkeys(f"In print: {cell.value.source}{hand[cell.value.second_hand]}." for cell in cells)
    return notes


def _markdown(filled: FilledLayout, printed: bool) -> str:
    head = ["Method", *(f"{escape_markdown(title)} {'↑' if up else '↓'}" for title, up in _head(filled))]
    lines = [escape_markdown(_caption(filled)), "", f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    body, reasons = _body(filled)
    for (name, cells), texts in zip(body, _print_lines(filled), strict=True):
        marked = [f"**{t}**" if place == 1 else f"<u>{t}</u>" if place == 2 else t for t, place in cells]
        lines.append("| " + " | ".join([escape_markdown(name), *marked]) + " |")
        if printed and any(texts):
            lines.append("| " + " | ".join(["printed", *map(escape_markdown, texts)]) + " |")
    lines += ["", *(f"- {escape_markdown(note)}" for note in _notes(filled, reasons, printed))]
    return "\n".join(lines) + "\n"


def _latex(filled: FilledLayout, printed: bool) -> str:
    arrows = {True: r"$\uparrow$", False: r"$\downarrow$"}
    head = ["Method", *(f"{escape_latex(title)} {arrows[up]}" for title, up in _head(filled))]
    body, reasons = _body(filled)
    lines = ["% --- table begins", r"\begin{table}", r"\centering", rf"\caption{{{escape_latex(_caption(filled))}}}"]
    lines += [r"\resizebox{\textwidth}{!}{%", rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule"]
    lines += [" & ".join(head) + r" \\", r"\midrule"]
    for (name, cells), texts in zip(body, _print_lines(filled), strict=True):
        wrapped = {0: "{}", 1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}
        marked = [wrapped[place].format(escape_latex(text)) for text, place in cells]
        lines.append(" & ".join([escape_latex(name), *marked]) + r" \\")
        if printed and any(texts):
            small = [rf"{{\footnotesize {escape_latex(text)}}}" if text else "" for text in ("printed", *texts)]
            lines.append(r"\quad " + " & ".join(small) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}", "% --- table ends"]
    lines += [rf"\noindent {escape_latex(note)}\par" for note in _notes(filled, reasons, printed)]
    packages = [r"\usepackage{booktabs}", r"\usepackage{graphicx}", r"\usepackage[margin=2cm]{geometry}"]
    preamble = [r"\documentclass{article}", *packages, *fonts("".join(lines)), r"\begin{document}"]
    return "\n".join([*preamble, *lines, r"\end{document}"]) + "\n"


def _csv(filled: FilledLayout, printed: bool) -> str:
    """One line per row; full precision, for an empty cell nothing and its reason in a column of its own."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    titles = [column.title for column in filled.layout.columns]
    writer.writerow(["row", *titles, *([f"{t} printed" for t in titles] if printed else []), "empty cells"])
    for row, cells, texts in zip(filled.layout.rows, filled.cells, _print_lines(filled), strict=True):
        why = "; ".join(dict.fromkeys(cell.why for cell in cells if cell.why))
        values = [repr(cell.value) if cell.text else "" for cell in cells]
        texts = [csv_cell(printable(text)) for text in texts] if printed else []
        writer.writerow([csv_cell(printable(row.title)), *values, *texts, csv_cell(printable(why))])
    return out.getvalue()


def _json(filled: FilledLayout, printed: bool) -> str:
    layout = filled.layout
    titles = [column.title for column in layout.columns]
    rows = [
        {"title": row.title, "cells": [_facts(t, cell, printed) for t, cell in zip(titles, cells, strict=True)]}
        for row, cells in zip(layout.rows, filled.cells, strict=True)
    ]
    facts = {"layout": filled.name, "title": layout.title, "source": layout.source, "table": layout.table}
    columns = [{"title": c.title, "score": c.score, "dataset": c.dataset, "up": c.up} for c in layout.columns]
    everything = {**facts, "columns": columns, "rows": rows, "notes": _notes(filled, [], printed)}
    return json.dumps(plain(everything), indent=1, sort_keys=True, allow_nan=False) + "\n"


def _facts(title: str, cell: Filled, printed: bool) -> dict[str, object]:
    facts = {"column": title, "value": cell.value, "empty": cell.why, "filled_with": cell.remark}
    in_print = [{"text": p.value.text, "unit": p.value.unit, "marks": list(p.marks)} for p in cell.printed]
    return {**facts, **({"printed": in_print} if printed else {})}
