"""The whole page: an index, tables, and what a browser loads only when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from fusionbench.commas import find_item
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import cards
from fusionbench.report import cost_table
from fusionbench.report.beside import beside
from fusionbench.report.colours import colour_of
from fusionbench.report.printed import printed_values
from fusionbench.report.site import facts, files, payload
from fusionbench.report.site.confirmations import WORDS, confirmations
from fusionbench.report.site.pictures import Wanted, pictures_of
from fusionbench.report.site.shown import Shown, of_stores, of_tables, opened, sorted_out
from fusionbench.report.training_figure import read_log
from fusionbench.results.provenance import version
from fusionbench.results.reading import labelled
from fusionbench.results.records import Board
from fusionbench.results.shelf import shelf_of
from fusionbench.results.store import Store

MOST_POINTS, MOST_CURVES = 400, 100  # of a training curve, of a run


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a page is made of.

    Attributes:
        named: folders of results, folders of tables, tables; none for the tables that came with the package.
        title: of the page.
        datasets: only these; all by default.
        pictures: which pictures; None for none.
        training: folders of training runs, or their logs.
        confirmations: a file in place of ours.
        published: a file of printed values in place of ours.
    """

    named: tuple[Path, ...] = ()
    title: str = "Infrared-visible fusion"
    datasets: tuple[str, ...] = ()
    pictures: Wanted | None = None
    training: tuple[Path, ...] = ()
    confirmations: Path | None = None
    published: Path | None = None


@dataclass
class Made:
    """A page that is being put together.

    Attributes:
        texts: path to text.
        pictures: path to bytes.
        notes: what to tell who made it.
    """

    texts: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def data(self, name: str, content: object) -> str:
        """Add a script of data; its path."""
        self.texts[f"data/{name}.js"] = files.script(name, content)
        return f"data/{name}.js"


def write_page(folder: Path, asked: Request) -> tuple[int, int, list[str]]:
    """Make a page.

    Returns:
        Number of tables, bytes of all files, and what to tell who made it.

    Raises:
        FusionbenchError: a store, table or file that cannot be read, or a folder that cannot be written.
    """
    stores, tables = sorted_out(asked.named)
    base = asked.named[0] if len(asked.named) == 1 and asked.named[0].is_dir() else None
    with ExitStack() as stack:
        store, conflicts = stack.enter_context(opened(stores)) if stores else (None, [])
        shown = of_tables(tables, base)
        made = Made()
        if asked.datasets:
            shown = _only(shown, asked.datasets)
        if store:
            shown = of_stores(stores, store, conflicts, _filter(store, asked.datasets), made.notes) + shown
        if not shown:
            what = f"no table of {', '.join(asked.datasets) or 'anything'} in what was named"
            raise FusionbenchError("; ".join(made.notes) or what)
        _write_data(made, shown, asked, store, stores, conflicts)
    made.texts |= files.assets()
    return len(shown), files.write(folder, made.texts, made.pictures), made.notes


def _only(shown: Sequence[Shown], datasets: Sequence[str]) -> list[Shown]:
    labels = {labelled(name, [s.table.board for s in shown]) for name in datasets}
    return [s for s in shown if s.table.board.dataset in labels]


def _filter(store: Store, datasets: Sequence[str]) -> Callable[[Board], bool]:
    wanted = {b.dataset for name in datasets for b in store.boards(name)} if datasets else None
    return lambda board: wanted is None or board.dataset in wanted


def _write_data(
    made: Made, shown: Sequence[Shown], asked: Request, store: Store | None, folders: Sequence[Path], lines: list[str]
) -> None:
    printed, known = printed_values(asked.published), confirmations(asked.confirmations)
    groups = _pictures(made, shown, asked.pictures, store, folders) if asked.pictures else {}
    heads, first = [], []
    for number, one in enumerate(shown):
        data = payload.payload(one, beside(one.table, printed), known)
        if one.first:
            first.append(files.script(f"table-{number}", data))
        else:
            made.data(f"table-{number}", data)
        made.data(f"provenance-{number}", payload.provenance(one.provenance))
        if one.kind == "store":
            made.data(f"images-{number}", payload.images(one.table))
        if one.more:
            made.data(f"columns-{number}", payload.further(one.more))
        heads.append({**payload.head(one), "pictures": groups.get(_place(one), -1)})
    costs, training = _costs(folders), _training(asked.training, made.notes)
    if costs:
        made.data("costs", costs)
    if training:
        made.data("training", training)
    used = {c.id.partition("/")[0] for one in shown for c in one.table.tasks if c.values}
    index = {
        "title": asked.title,
        "version": version(),
        "tables": heads,
        "methods": facts.methods(shown),
        "metrics": facts.metrics(shown),
        "profiles": facts.evaluators(one.profile for one in shown),
        "tasks": [{"name": n, "title": c.title, "summary": c.summary} for n, c in cards("task").items() if n in used],
        "licences": facts.licences(shown),
        "conflicts": lines,
        "costs": bool(costs),
        "training": bool(training),
        "words": WORDS,
    }
    made.texts["data/first.js"] = files.script("index", index) + "".join(first)


Place = tuple[str, str, str, str]  # kind, dataset, split, output rule


def _place(one: Shown) -> Place:
    board = one.table.board
    return one.kind, board.dataset, board.split, board.output


def _pictures(
    made: Made, shown: Sequence[Shown], asked: Wanted, store: Store | None, folders: Sequence[Path]
) -> dict[Place, int]:
    """Pictures of the boards of stores; board to the number of its file."""
    if store is None:
        raise FusionbenchError("--pictures: tables hold no pictures; name the folder of results that they are from")
    boards: dict[Place, Shown] = {}
    for one in shown:
        if one.kind == "store":
            boards.setdefault(_place(one), one)
    every = [i for one in boards.values() for i in one.table.ids]
    named = tuple(find_item(i, every, "--pictures: no table has an image") for i in asked.ids)
    groups = {}
    with ExitStack() as stack:
        shelves = [stack.enter_context(shelf_of(folder)) for folder in folders]
        for number, (place, one) in enumerate(boards.items()):
            told, own, notes = pictures_of(one.table, store, shelves, replace(asked, ids=named), number)
            made.notes += notes
            if own:
                groups[place] = number
                made.data(f"pictures-{number}", told)
                made.pictures |= own
    return groups


def _costs(folders: Sequence[Path]) -> list[dict[str, object]]:
    """What was measured of the stores' entries, those that can be compared together."""
    rows = [row for folder in folders for row in cost_table.kept(folder)]
    return [
        {"title": title, "rows": [msgspec.to_builtins(row) for row in group]}
        for title, group in cost_table.groups(rows).items()
    ]


def _training(paths: Sequence[Path], notes: list[str]) -> list[dict[str, object]]:
    """Curves of training runs, the first of each and thinned to so many points that a page can hold them."""
    runs: list[dict[str, object]] = []
    for path in paths:
        name = path.resolve().name if path.is_dir() else path.stem
        every, curves = read_log(path), []
        if len(every) > MOST_CURVES:
            notes.append(f"{path}: {len(every)} curves; the page shows the first {MOST_CURVES}")
        for title, (steps, values) in list(every.items())[:MOST_CURVES]:
            stride = -(-len(steps) // MOST_POINTS)
            curves.append({"title": title, "steps": steps[::stride], "values": values[::stride], "of": len(steps)})
        runs.append({"name": name, "colour": colour_of(name), "curves": curves})
    return runs
