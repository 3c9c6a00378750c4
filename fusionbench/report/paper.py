"""Tables as papers print them: one or several datasets as LaTeX that a document can ``\\input``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fusionbench.report.beside import Beside
from fusionbench.report.latex import breakable, document, escape_latex, remark, typed
from fusionbench.report.numbers import fixed, places
from fusionbench.report.paper_rows import Naming, PaperRow, bibliography, citation, published, rows_of
from fusionbench.report.paper_width import PAGE, SIZES, fitting
from fusionbench.report.tables import Table
from fusionbench.report.task_tables import TaskColumn
from fusionbench.runtime.files import printable

MARKED = {
    "bold": (r"\textbf{%s}", r"\underline{%s}"),
    "colour": (r"\textcolor{red}{%s}", r"\textcolor{blue}{%s}"),
    "none": ("%s", "%s"),
}
BIBLIOGRAPHY = "% Written by fusionbench from the cards of the methods."
SMALLEST = list(SIZES)[-1]
TOLD = {
    "bold": "best in bold, second underlined",
    "colour": "best in red, second in blue",
    "none": "",
}


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a table looks in a paper.

    Attributes:
        order: ``rank``, ``year``, ``name``, a metric, or entries in the order of their rows; the others by rank.
        last: entries below all others, behind a rule.
        rename: entry, metric or dataset to what is printed for it.
        caption: in place of ours; with a backslash or a dollar sign it is LaTeX, else plain text.
        label: for ``\\ref``.
        years: whether names have the year of publication.
        cite: whether names have a ``\\cite``, see :func:`bibliography_of`.
        marks: how best and second are shown.
        digits: decimals of all metrics; None for those of their cards.
        rank: whether the average rank is a column.
        ci: whether means have 95 % intervals.
        span: ``column`` or ``page``; "" for the narrower one that the table fits.
        standalone: whether it is a whole document.
        bibliography: the ``.bib`` file of a whole document, without suffix.
    """

    order: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""
    label: str = ""
    years: bool = False
    cite: bool = False
    marks: str = "bold"
    digits: int | None = None
    rank: bool = True
    ci: bool = False
    span: str = ""
    standalone: bool = False
    bibliography: str = ""


@dataclass(frozen=True)
class Printed:
    """A cell as LaTeX, and the plain text whose width it has."""

    latex: str
    plain: str


@dataclass(frozen=True)
class Column:
    """One column: its head, and a cell for each row.

    Attributes:
        below: number of a row to the cells of the lines below it, which hold what papers print.
    """

    head: Printed
    cells: tuple[Printed, ...]
    below: Mapping[int, tuple[Printed, ...]] = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        """Everything in it, as plain text."""
        return [c.plain for c in (self.head, *self.cells, *(c for line in self.below.values() for c in line))]


@dataclass(frozen=True)
class Block:
    """The columns of one dataset."""

    title: Printed
    columns: tuple[Column, ...]


def paper_latex(tables: Sequence[Table], style: Style | None = None, printed: Beside | None = None) -> str:
    """Tables as one of a paper: names without what a footnote can say, best and second by what is printed.

    Args:
        tables: one a dataset; side by side where that fits a page, else below each other.
        style: how it looks.
        printed: what papers print beside one table, in small lines below its rows.

    Raises:
        FusionbenchError: the style names an entry or a metric that is not there.
    """
    style = style or Style()
    names = Naming(tables, style.rename)
    groups = rows_of(tables, names, style.order, style.last)
    rows = [row for group in groups for row in group]
    first = _first_column(rows, style)
    blocks = [_block(table, rows, names, style) for table in tables]
    if printed:
        first, blocks = _with_printed(first, blocks, tables, rows, printed)
    ends = {sum(map(len, groups[: n + 1])) for n in range(len(groups) - 1)}
    body, wide = _body(first, blocks, ends, style.span)
    lines = [
        *_comments(tables, style, body),
        rf"\begin{{table{'*' if wide else ''}}}[t]",
        r"\centering",
        rf"\caption{{{typed(style.caption) if style.caption else _caption(tables, names, style)}}}",
        *([rf"\label{{{_label(style.label)}}}"] if style.label else []),
        r"\vspace{2pt}",
        *body,
        *_footnote(tables, rows, names, (*printed.notes, *printed.sources) if printed else ()),
        rf"\end{{table{'*' if wide else ''}}}",
    ]
    text = "\n".join([*remark("".join(lines)), *lines]) + "\n"
    return document(text, style.bibliography) if style.standalone else text


def bibliography_of(tables: Sequence[Table]) -> str:
    """The entries that the rows of tables cite, as BibTeX."""
    return f"{BIBLIOGRAPHY}\n\n" + bibliography([row.info for table in tables for row in table.rows])


def without_citation(tables: Sequence[Table]) -> list[str]:
    """Ids of rows whose methods' cards have no BibTeX entry though they name a paper."""
    infos = {row.id: row.info for table in tables for row in table.rows}
    return [ident for ident, info in infos.items() if published(info) and not citation(info)[0]]


def _first_column(rows: Sequence[PaperRow], style: Style) -> Column:
    cells = []
    for row in rows:
        year = f" ({row.year})" if style.years and row.year else ""
        cite = rf"~\cite{{{row.key}}}" if style.cite and row.key else ""
        mark = "" if row.info.ranked or row.info.source_only else r"$^\dagger$"
        plain = row.plain + year + (" [12]" if cite else "") + ("+" if mark else "")
        cells.append(Printed(f"{row.latex}{mark}{year}{cite}", plain))
    return Column(Printed("Method", "Method"), tuple(cells))


def _block(table: Table, rows: Sequence[PaperRow], names: Naming, style: Style) -> Block:
    """The columns of a table; rows that it lacks have dashes."""
    own = {r.id: r for r in table.rows}
    ranked = {r.id for r in table.ranked}
    columns = []
    for m in table.metrics:
        digits = m.digits if style.digits is None else style.digits
        best = places({i: own[i].mean(m.id) for i in ranked}, digits, m.up)
        cells = []
        for row in rows:
            found = own.get(row.id)
            mean = math.nan if found is None else found.mean(m.id)
            low, high = found.interval(m.id) if style.ci and found and not math.isnan(mean) else (math.nan, math.nan)
            span = "" if math.isnan(low) else f"[{fixed(low, digits)},{fixed(high, digits)}]"
            if found and not math.isnan(deviation := found.deviation(m.id)):
                span = f"±{fixed(deviation, digits)}" + span
            cells.append(_cell(_number(mean, digits), best.get(row.id, 0), style.marks, span))
        columns.append(Column(_head(names.metric(m), m.up), tuple(cells)))
    columns += [_task_column(task, rows, ranked, names, style) for task in table.tasks]
    average = table.average_ranks()
    if style.rank and average:
        texts = [f"{average[r.id]:.2f}" if r.id in average else "–" for r in rows]
        columns.append(Column(_head(("Rank", "Rank"), False), tuple(_cell(t, 0, style.marks) for t in texts)))
    return Block(Printed(*names.dataset(table)), tuple(columns))


def _with_printed(
    first: Column, blocks: Sequence[Block], tables: Sequence[Table], rows: Sequence[PaperRow], printed: Beside
) -> tuple[Column, list[Block]]:
    """One table with lines of what papers print below its rows."""
    (table,), (block,) = tables, blocks
    ids = [*(m.id for m in table.metrics), *(c.id for c in table.tasks)]
    ids += [""] * (len(block.columns) - len(ids))  # the average rank, which has no id, and nothing below
    found = {n: lines for n, row in enumerate(rows) if (lines := printed.lines.get(row.id))}
    named = {n: tuple(_small(f"printed [{line.source}]", r"\quad ") for line in lines) for n, lines in found.items()}
    columns = [
        replace(c, below={n: tuple(_small(line.text(ident)) for line in lines) for n, lines in found.items()})
        for c, ident in zip(block.columns, ids, strict=True)
    ]
    return replace(first, below=named), [replace(block, columns=tuple(columns))]


def _small(text: str, before: str = "") -> Printed:
    return Printed(rf"{before}{{\footnotesize {escape_latex(text)}}}" if text else "", text)


def _task_column(task: TaskColumn, rows: Sequence[PaperRow], ranked: set[str], names: Naming, style: Style) -> Column:
    digits = 3 if style.digits is None else style.digits
    best = places({i: task.mean(i) for i in ranked}, digits, task.up)
    cells = []
    for row in rows:
        half = task.half(row.id)
        span = "" if math.isnan(half) else f"±{fixed(half, digits)}"
        cells.append(_cell(_number(task.mean(row.id), digits), best.get(row.id, 0), style.marks, span))
    return Column(_head(names.task(task), task.up), tuple(cells))


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else fixed(value, digits)


def _cell(text: str, place: int, marks: str, span: str = "") -> Printed:
    """A number, marked where it is best or second, with an interval as a small subscript."""
    number = text.replace("–", "--") if text == "–" else text.replace("-", "$-$")
    marked = MARKED[marks][place - 1] % number if place else number
    below = span.replace("±", r"\pm ").replace(",", r",\,")
    return Printed(marked + (rf"$_{{{below}}}$" if span else ""), text + span)


def _head(name: tuple[str, str], up: bool) -> Printed:
    latex, plain = name
    return Printed(rf"{latex}\,$\{'up' if up else 'down'}arrow$", plain + "↑")


def _body(first: Column, blocks: Sequence[Block], ends: set[int], width: str) -> tuple[list[str], bool]:
    """The tabular, side by side where that fits, else stacked; and whether it is as wide as a page."""
    for draw, columns in ((_beside, _beside_columns(blocks)), (_stacked, _stacked_columns(blocks))):
        texts = [c.texts for c in [first, *columns]]
        if columns and (fit := fitting(texts, width, len(blocks))):
            size, limit = fit
            return [size, *draw(first, blocks, ends)], limit == PAGE
    lines = _beside(first, blocks, ends, "tabular")
    return [SMALLEST, r"\resizebox{\linewidth}{!}{%", *lines, "}"], width != "column"


def _beside_columns(blocks: Sequence[Block]) -> list[Column]:
    return [column for block in blocks for column in block.columns]


def _stacked_columns(blocks: Sequence[Block]) -> list[Column]:
    """Columns of several datasets below each other; none where their heads differ."""
    if len(blocks) < 2 or len({tuple(c.head.latex for c in b.columns) for b in blocks}) > 1:
        return []
    every = zip(*(b.columns for b in blocks), strict=True)
    return [Column(same[0].head, tuple(cell for c in same for cell in c.cells)) for same in every]


def _beside(first: Column, blocks: Sequence[Block], ends: set[int], kind: str = "tabular*") -> list[str]:
    counts = [len(b.columns) for b in blocks]
    lines = _opening(sum(counts), kind)
    if len(blocks) > 1:
        titles = [rf"\multicolumn{{{n}}}{{c}}{{{b.title.latex}}}" for n, b in zip(counts, blocks, strict=True)]
        starts = [2 + sum(counts[:n]) for n in range(len(counts))]
        rules = [rf"\cmidrule(l{{6pt}}){{{s}-{s + n - 1}}}" for s, n in zip(starts, counts, strict=True)]
        lines += [" & ".join(["", *titles]) + r" \\", "".join(rules)]
    columns = _beside_columns(blocks)
    lines += [_line([first.head, *(c.head for c in columns)]), r"\midrule", *_rows(first, columns, ends)]
    return [*lines, r"\bottomrule", rf"\end{{{kind}}}"]


def _stacked(first: Column, blocks: Sequence[Block], ends: set[int]) -> list[str]:
    count = len(blocks[0].columns)
    lines = [*_opening(count, "tabular*"), _line([first.head, *(c.head for c in blocks[0].columns)])]
    for block in blocks:
        title = rf"\multicolumn{{{count + 1}}}{{@{{}}l}}{{\textit{{{block.title.latex}}}}} \\"
        lines += [r"\midrule", title, *_rows(first, block.columns, ends, sparse=True)]
    return [*lines, r"\bottomrule", r"\end{tabular*}"]


def _opening(count: int, kind: str) -> list[str]:
    """As wide as the column, with what is left over between the columns of the table."""
    wide, fill = (r"{\linewidth}", r"@{\extracolsep{\fill}}") if kind == "tabular*" else ("", "@{}")
    begin = rf"\begin{{{kind}}}{wide}{{{fill}l*{{{count}}}{{r}}@{{}}}}"
    return [r"\setlength{\tabcolsep}{2pt}", begin, r"\toprule"]


def _rows(first: Column, columns: Sequence[Column], ends: set[int], sparse: bool = False) -> list[str]:
    lines = []
    for number, name in enumerate(first.cells):
        if not sparse or any(c.cells[number].plain != "–" for c in columns):  # else it is another dataset's alone
            lines.append(_line([name, *(c.cells[number] for c in columns)]))
        lines += [_line(cells) for cells in zip(*(c.below.get(number, ()) for c in (first, *columns)), strict=True)]
        if number + 1 in ends:
            lines.append(r"\midrule")
    return lines


def _line(cells: Sequence[Printed]) -> str:
    return " & ".join(cell.latex for cell in cells) + r" \\"


def _caption(tables: Sequence[Table], names: Naming, style: Style) -> str:
    """Which datasets, and what the marks mean."""
    sizes = [f"{names.dataset(t)[0]} ({escape_latex(t.pairs_in_words)})" for t in tables]
    listed = " and ".join([", ".join(sizes[:-1]), sizes[-1]]) if len(sizes) > 1 else sizes[0]
    told = [TOLD[style.marks], r"small, 95\,\% bootstrap intervals of the mean" if style.ci else ""]
    return "; ".join([f"Results on {listed}", *filter(None, told)]) + "."


def _footnote(tables: Sequence[Table], rows: Sequence[PaperRow], names: Naming, more: Sequence[str] = ()) -> list[str]:
    """Which variant each metric is, the protocols, and more remarks: one line below the table."""
    variants = list(dict.fromkeys(m.title for t in tables for m in t.metrics))
    protocols = list(dict.fromkeys(t.board.protocol for t in tables))
    texts = ["Variants: " + ", ".join(variants), "; protocol " + ", ".join(protocols)]
    latex = "".join(map(escape_latex, texts))
    latex += "".join(rf"; {names.task(c)[0]}: {escape_latex(c.note.rstrip('.'))}" for t in tables for c in t.tasks)
    if any(not r.info.ranked and not r.info.source_only for r in rows):
        latex += r"; $^\dagger$\,not compared with its authors' program, not ranked"
    latex += "".join(f"; {escape_latex(text.rstrip('.'))}" for text in more)
    return [r"\\[2pt]", rf"\parbox{{\linewidth}}{{\raggedright{SMALLEST} {breakable(latex)}.}}"]


def _comments(tables: Sequence[Table], style: Style, body: Sequence[str]) -> list[str]:
    """What the table stands on, for whoever reads the source."""
    packages = ["booktabs", *(["xcolor"] if style.marks == "colour" else [])]
    packages += ["graphicx"] if any("resizebox" in line for line in body) else []
    lines = [rf"% In the preamble: \usepackage{{{','.join(packages)}}}"]
    for table in tables:
        lines += [f"% {printable(text)}" for text in (table.caption, *table.notes)]
    return lines


def _label(label: str) -> str:
    """A label without what would end it."""
    return "".join(c for c in printable(label) if c not in "\\{}%#&~^$ \n")
