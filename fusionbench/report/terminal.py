"""Tables as a terminal shows them: fitted to its width, best bold and second underlined."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Drawn
from rich.text import Text

from fusionbench.report.formats import cells_of
from fusionbench.report.tables import Table
from fusionbench.runtime.files import printable

STYLES = {0: "", 1: "bold green", 2: "underline"}
Marked = tuple[str, int]  # a cell, and 1 for the best, 2 for the second, else 0


def drawn(table: Table, width: int, ci: bool = False) -> RenderableType:
    """A leaderboard; columns that do not fit stand below the others, behind the names again.

    Args:
        table: which.
        width: of the terminal in characters.
        ci: whether cells have intervals.
    """
    heads = [f"{m.card.title} {'↑' if m.up else '↓'}\n{m.id.partition('@')[2]}" for m in table.metrics]
    heads += [f"{c.title.partition('@')[0]} {'↑' if c.up else '↓'}\n{c.title.partition('@')[2]}" for c in table.tasks]
    rows = [(name, [*cells, (rank, 0)]) for name, cells, rank in cells_of(table, ci)]
    return grid(table.caption, [*heads, "rank ↓"], rows, table.notes, width)


def grid(
    caption: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[Marked]]], notes: Sequence[str], width: int
) -> RenderableType:
    """A table of any numbers.

    Args:
        caption: above it.
        heads: of the columns behind the first.
        rows: name and cells.
        notes: below it.
        width: of the terminal in characters.
    """
    parts: list[RenderableType] = [_text(caption, "dim")]
    names = max([len("method"), *(len(printable(name)) for name, _ in rows)])
    room = max(width - names, 1)
    gap = 1 if len(_fitting(heads, rows, room, 2)) > len(_fitting(heads, rows, room, 1)) else 2
    for chosen in _fitting(heads, rows, room, gap):
        table = Drawn(box=None, padding=(0, 0, 0, gap), header_style="bold", pad_edge=False)
        table.add_column("method", no_wrap=names < width - 12)
        for number in chosen:
            table.add_column(_text(heads[number]), justify="right", no_wrap=True)
        for name, cells in rows:
            table.add_row(_text(name), *(_text(cells[n][0], STYLES[cells[n][1]]) for n in chosen))
        parts.append(Padding(table, (1, 0, 0, 0)))
    parts += [Padding(Group(*(_text(f"- {line}", "dim") for line in notes)), (1, 0, 0, 0))] if notes else []
    return Group(*parts, Text(""))


def _fitting(
    heads: Sequence[str], rows: Sequence[tuple[str, Sequence[Marked]]], room: int, gap: int
) -> list[list[int]]:
    """The columns in groups that fit beside the names, with so much between two."""
    groups: list[list[int]] = [[]]
    used = 0
    for number, head in enumerate(heads):
        texts = [*head.split("\n"), *(cells[number][0] for _, cells in rows)]
        wide = max(len(printable(text)) for text in texts) + gap
        if groups[-1] and used + wide > room:
            groups.append([])
            used = 0
        groups[-1].append(number)
        used += wide
    return groups


def _text(text: str, style: str = "") -> Text:
    """Text that marks nothing up and obeys nothing."""
    return Text.assemble((printable(text, "\n"), style))


def as_seen(what: RenderableType, width: int, colour: bool) -> str:
    """What a terminal of this width is sent."""
    console = Console(width=width, force_terminal=colour, color_system="standard" if colour else None, highlight=False)
    with console.capture() as capture:
        console.print(what)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"
