"""Tables as papers lay them out: ``layouts/NAME.toml`` beside the committed tables and in plugin folders.

A layout says which rows and columns stand where; it holds no value. It is filled with what was measured
(:mod:`fusionbench.report.filling`).
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import msgspec

from fusionbench.errors import FusionbenchError, PluginError, find
from fusionbench.evaluation.protocol import Metric, metric
from fusionbench.plugins.cards import card, cards, folders
from fusionbench.report.printed import committed
from fusionbench.runtime import locations
from fusionbench.runtime.decoding import decode
from fusionbench.runtime.files import read_regular

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = "layouts"
MOST_BYTES, MOST_COLUMNS, MOST_ROWS = 1 << 20, 60, 300
COSTS = {"parameters": ("M", 1e6), "flops": ("G", 1e9)}  # to unit and scale


class LayoutColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column.

    Attributes:
        title: of the column.
        score: ``metric@variant``, ``task/score``, ``cost/parameters`` or ``cost/flops``.
        dataset: on which it is measured; "" for costs.
        network: of a task.
        training: ``retrained`` or ``frozen``; "" where the rows say it.
    """

    title: str
    score: str
    dataset: str = ""
    network: str = ""
    training: str = ""

    @property
    def metric(self) -> Metric | None:
        """The metric of a column of fused pictures."""
        return None if "/" in self.score.partition("@")[0] else metric(self.score)

    @property
    def up(self) -> bool:
        """Whether a larger value is better."""
        kind, _, score = self.score.partition("/")
        if own := self.metric:
            return own.up
        return kind != "cost" and score not in card("task", kind).facts.lower


class LayoutRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row.

    Attributes:
        title: of the row.
        entry: the entry that fills it, ``method`` or ``method[weights,option=value]``; by default the method that the
            title names.
        entries: dataset to the entry, where it differs from dataset to dataset.
        printed: name of the method in print; by default the title.
        training: of its task networks, where columns leave it open.
        how: the command that makes what is missing, or "".
    """

    title: str
    entry: str = ""
    entries: dict[str, str] = {}
    printed: str = ""
    training: str = ""
    how: str = ""


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table as a paper lays it out.

    Attributes:
        title: the caption.
        source: with which the source of its printed values begins.
        table: which of its tables.
        note: what is known of its protocol.
        columns, rows: in order.
    """

    title: str
    source: str
    columns: tuple[LayoutColumn, ...]
    rows: tuple[LayoutRow, ...]
    table: str = ""
    note: str = ""


def layouts() -> dict[str, Layout]:
    """Every layout by name, ours first.

    Raises:
        PluginError: a file that is no layout, or a name that is taken.
    """
    return _layouts(locations.current().plugins)


def layout(name: str) -> tuple[str, Layout]:
    """The layout that is meant, and its name.

    Raises:
        FusionbenchError: there is none.
    """
    known = layouts()
    found = find(name, known, "--layout: no layout", error=FusionbenchError)
    return found, known[found]


@lru_cache(maxsize=1)
def _layouts(further: tuple[Path, ...]) -> dict[str, Layout]:
    every: dict[str, Layout] = {}
    for folder in (committed(FOLDER), *(folder / FOLDER for folder, _ in folders(further))):
        for path in sorted(folder.glob("*.toml")):
            if path.stem in every:
                raise PluginError(f"{path}: the layout {path.stem!r} exists already; rename it")
            every[path.stem] = read_layout(path)
    return every


def read_layout(path: Path) -> Layout:
    """One file.

    Raises:
        PluginError: it is no layout, or names what is not there.
    """
    try:
        data = tomllib.loads(read_regular(path, "a layout", MOST_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise PluginError(f"{path}: not a readable TOML layout: {' '.join(str(error).split())}") from None
    made = decode(Layout, data, path, PluginError, "the layout")
    for what, count, most in (("columns", len(made.columns), MOST_COLUMNS), ("rows", len(made.rows), MOST_ROWS)):
        if not 0 < count <= most:
            raise PluginError(f"{path}: {count} {what}; a layout has 1 to {most}")
    for column in made.columns:
        _check(column, f"{path}: column {column.title!r}")
    known = {column.dataset for column in made.columns}
    for row in made.rows:
        _training(row.training, f"{path}: row {row.title!r}")
        if strange := sorted(row.entries.keys() - known):
            raise PluginError(
                f"{path}: row {row.title!r}: entries names {strange[0]!r}, on which no column is measured"
            )
    return made


def _check(column: LayoutColumn, where: str) -> None:
    kind, slash, score = column.score.partition("/")
    _training(column.training, where)
    try:
        if column.metric is None and kind != "cost":
            card("task", kind)
    except PluginError as error:
        raise PluginError(f"{where}: score {column.score!r}: {error}") from None
    if slash and kind == "cost" and score not in COSTS:
        raise PluginError(f"{where}: score {column.score!r}: costs are {', '.join(f'cost/{c}' for c in COSTS)}")
    if kind != "cost" and column.dataset not in cards("dataset"):
        raise PluginError(f"{where}: dataset {column.dataset!r} is none of {', '.join(cards('dataset'))}")


def _training(word: str, where: str) -> None:
    if word not in ("", "retrained", "frozen"):
        raise PluginError(f"{where}: training {word!r} is neither retrained nor frozen")
