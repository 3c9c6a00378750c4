"""Tables for browsers and office programs: HTML and XLSX, which is XML in a ZIP file."""

from __future__ import annotations

import html
import io
import math
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from fusionbench.errors import FusionbenchError
from fusionbench.report import formats
from fusionbench.report.beside import Beside
from fusionbench.report.formats import cells_of
from fusionbench.report.tables import Table
from fusionbench.runtime.files import printable

STYLE = """body{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:80em}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25em .8em;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
thead th{border-bottom:1px solid}
thead,tbody{border-bottom:2px solid;border-top:2px solid}
.second{text-decoration:underline}.best{font-weight:bold}
small{display:block;font-weight:normal;opacity:.7}"""
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
PARTS = {
    "[Content_Types].xml": f'{HEAD}<Types xmlns="{PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
    '<Override PartName="/xl/styles.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/></Types>',
    "_rels/.rels": f'{HEAD}<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'{HEAD}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
    '<sheet name="results" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'{HEAD}<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="r2" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>',
}
WRAPS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # what XML cannot hold
Cell = tuple[str | float, int, int]  # value, place (1 best, 2 second), decimals


def form_of(path: Path) -> str | None:
    """The format of a table that a file's name says; None where it says none that is known."""
    suffixes = {f".{suffix}": form for form, suffix in formats.FORMATS.items()}
    suffixes |= {".markdown": "md", ".html": "html", ".htm": "html", ".xlsx": "xlsx"}
    return suffixes.get(path.suffix.lower())


def as_text(table: Table, form: str, ci: bool = False, printed: Beside | None = None) -> str | bytes:
    """A table in any format: one of :data:`fusionbench.report.formats.FORMATS`, ``html`` or ``xlsx``.

    Raises:
        FusionbenchError: what papers print is asked for in a format that does not show it.
    """
    if form not in ("html", "xlsx"):
        return formats.as_text(table, "md" if form == "table" else form, ci, printed)
    if printed:
        raise FusionbenchError(f"printed values beside a table are not written as {form}; take md, latex, csv or json")
    return as_html(table, ci) if form == "html" else as_xlsx(table, ci)


def as_html(table: Table, ci: bool = False) -> str:
    """A page that needs nothing else: the caption, the table, its notes."""
    heads = ["<th>Method</th>"]
    for title, up in [(m.title, m.up) for m in table.metrics] + [(c.title, c.up) for c in table.tasks]:
        name, _, variant = title.partition("@")
        heads.append(f"<th>{_escaped(name)} {'↑' if up else '↓'}<small>{_escaped(variant)}</small></th>")
    lines = []
    for name, cells, rank in cells_of(table, ci):
        marked = "".join(f"<td{('', ' class=best', ' class=second')[place]}>{_escaped(t)}</td>" for t, place in cells)
        lines.append(f"<tr><td>{_escaped(name)}</td>{marked}<td>{_escaped(rank)}</td></tr>")
    notes = "".join(f"<li>{_escaped(note)}</li>" for note in table.notes)
    body = "\n".join(lines)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{_escaped(table.board.title)}</title>\n'
        f"<style>{STYLE}</style></head><body>\n<p>{_escaped(table.caption)}</p>\n<table><thead><tr>{''.join(heads)}"
        f"<th>Average rank ↓</th></tr></thead>\n<tbody>\n{body}\n</tbody></table>\n"
        f"{f'<ul>{notes}</ul>' if notes else ''}\n</body></html>\n"
    )


def as_xlsx(table: Table, ci: bool = False) -> bytes:
    """A workbook of one sheet: numbers with all digits, shown as in the table; best bold, second underlined."""
    heads = [*(m.title for m in table.metrics), *(c.title for c in table.tasks), "average rank"]
    if ci:
        heads += [f"{m.title} {end}" for m in table.metrics for end in ("low95", "high95")]
    average = table.average_ranks()
    sheet: list[list[Cell]] = [[(text, 1, 0) for text in ("Method", *heads)]]
    for row, (name, cells, _) in zip(table.rows, cells_of(table, ci), strict=True):
        means = [(row.mean(m.id), m.digits) for m in table.metrics] + [(c.mean(row.id), 4) for c in table.tasks]
        line: list[Cell] = [(name, 0, 0)]
        line += [(value, place, digits) for (value, digits), (_, place) in zip(means, cells, strict=True)]
        line.append((average.get(row.id, math.nan), 0, 2))
        if ci:
            line += [(end, 0, m.digits) for m in table.metrics for end in row.interval(m.id)]
        sheet.append(line)
    sheet.append([])
    for text in (table.caption, *table.notes):
        sheet.append([(text, 0, 0)])
    return workbook(sheet)


def workbook(rows: Sequence[Sequence[Cell]]) -> bytes:
    """An XLSX file of one sheet of these rows; cells have one style for each number of decimals and each place."""
    decimals = sorted({digits for row in rows for _, _, digits in row})
    formats = "".join(f'<numFmt numFmtId="{200 + d}" formatCode="0{"." + "0" * d if d else ""}"/>' for d in decimals)
    kinds = "".join(
        f'<xf numFmtId="{200 + d}" fontId="{place}" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" '
        'applyFont="1"/>'
        for d in decimals
        for place in range(3)
    )
    font = '<sz val="11"/><name val="Calibri"/>'
    styles = (
        f'{HEAD}<styleSheet xmlns="{MAIN}"><numFmts count="{len(decimals)}">{formats}</numFmts>'
        f'<fonts count="3"><font>{font}</font><font><b/>{font}</font><font><u/>{font}</font></fonts>'
        '<fills count="1"><fill><patternFill patternType="none"/></fill></fills><borders count="1"><border/></borders>'
        f'<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="{3 * len(decimals)}">{kinds}</cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
    )
    lines = []
    for number, row in enumerate(rows, 1):
        cells = "".join(_cell(f"{_letters(n)}{number}", cell, decimals) for n, cell in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    sheet = f'{HEAD}<worksheet xmlns="{MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**PARTS, "xl/styles.xml": styles, "xl/worksheets/sheet1.xml": sheet}.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)  # the same bytes on every day
    return data.getvalue()


def _cell(place: str, cell: Cell, decimals: Sequence[int]) -> str:
    value, mark, digits = cell
    style = 3 * decimals.index(digits) + mark
    if isinstance(value, str):
        text = html.escape(WRAPS.sub("", printable(value)), quote=False)
        return f'<c r="{place}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
    return "" if math.isnan(value) else f'<c r="{place}" s="{style}"><v>{value!r}</v></c>'


def _letters(number: int) -> str:
    """``A``, ``B`` ... ``Z``, ``AA``: the name of a column."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def _escaped(text: str) -> str:
    return html.escape(printable(" ".join(text.splitlines())))
