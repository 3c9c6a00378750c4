"""Options of the commands that show tables: which tables, rows and columns, and how they are written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import Comma, boards_of, datasets, names, profile_names
from fusionbench.cli.spelling import note
from fusionbench.cli.words import OneOf
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import Protocol, metrics_of, profile_name, variants_of

if TYPE_CHECKING:
    from fusionbench.report.beside import Beside
    from fusionbench.report.printed import PrintedValue
    from fusionbench.report.tables import Table
    from fusionbench.results.records import Board
    from fusionbench.results.store import Store


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which tables, rows and columns are shown."""

    datasets: Annotated[tuple[str, ...], datasets]
    split: Annotated[str | None, click.option("--split", help="Only this split.")]
    methods: Annotated[
        tuple[str, ...],
        click.option(
            "--methods",
            type=Comma(),
            default=(),
            shell_complete=names("method"),
            help="Only these entries or methods.",
        ),
    ]
    metrics: Annotated[
        tuple[str, ...],
        click.option(
            "--metrics",
            type=Comma(),
            default=(),
            shell_complete=names("metric"),
            help="Columns [those of the last eval].",
        ),
    ]
    profile: Annotated[
        str | None,
        click.option("--profile", shell_complete=profile_names, help="Columns in the variants of this profile."),
    ]
    output_rule: Annotated[
        str | None, click.option("--output-rule", help="Only tables under this rule (released, clip-round).")
    ]

    @property
    def columns(self) -> list[str]:
        """Metric ids; none stands for those of the last eval."""
        profile = profile_name(self.profile or "default")
        chosen = [m for spec in self.metrics for m in variants_of(spec, profile)]
        return [m.id for m in chosen or (metrics_of(profile, None, Protocol.colour) if self.profile else [])]

    def tables(self, store: Store) -> list[Table]:
        """The tables of a store that are meant; what has none of these scores is named and hides no other.

        Raises:
            FusionbenchError: there is none, or an entry has no results.
        """
        from fusionbench.report.board_scores import NothingToShow
        from fusionbench.report.entry_names import entry_ids
        from fusionbench.report.seed_rows import joined
        from fusionbench.report.seeds import is_joint
        from fusionbench.report.tables import build

        boards = boards_of(store, self.datasets, self.split, self.output_rule)
        columns = self.columns
        entries = [e for rule in {b.output for b in boards} for e in store.entries(rule).values()]
        ids = entry_ids(self.methods, entries, str(store.path), "--methods")
        tables, missing = [], []
        for board in boards:
            try:
                tables.append(build(store, board, columns, entry_ids=ids))
            except NothingToShow as error:
                missing.append(error)
        if missing and not tables:
            raise missing[0]
        for lacking in missing:
            note(f"left out: {lacking}")
        return [joined(table) for table in tables] if any(map(is_joint, self.methods)) else tables


def _place(board: Board) -> str:
    """Where rows are of, as a user tells boards apart."""
    return f"{board.dataset} {board.split}, output rule {board.output}"


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a table is written, and where to."""

    form: Annotated[
        str | None,
        click.option(
            "--format",
            "form",
            type=OneOf(
                ("table", "md", "latex", "csv", "json", "html", "xlsx"), {"md": ("markdown",), "latex": ("tex",)}
            ),
            help="[that of -o's suffix; else a table in a terminal, md elsewhere]",
        ),
    ]
    ci: Annotated[bool, click.option("--ci", is_flag=True, help="95 % bootstrap interval of each mean.")]
    join_seeds: Annotated[
        bool,
        click.option(
            "--join-seeds", is_flag=True, help="Networks trained alike but for the seed: one row, mean ± deviation."
        ),
    ]
    ties: Annotated[bool, click.option("--ties", is_flag=True, help="Name entries that cannot be told apart.")]
    extend: Annotated[
        str | None,
        click.option(
            "--extend",
            is_flag=False,
            flag_value="",
            metavar="[FILE]",
            help="With the rows of a published table, ranked together [the longest that came with the package].",
        ),
    ]
    layout: Annotated[
        str | None,
        click.option("--layout", metavar="NAME", help="A table as its paper lays it out, such as tdfusion-main."),
    ]
    published: Annotated[
        str | None,
        click.option(
            "--published",
            is_flag=False,
            flag_value="",
            metavar="[FILE]",
            help="What papers print in lines of their own, never ranked; another FILE in place of ours.",
        ),
    ]
    output: Annotated[
        Path | None,
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Write here, provenance beside it; .md, .tex, .csv, .json, .html or .xlsx.",
        ),
    ]

    def extended(self, store: Store, selection: Selection) -> list[Table]:
        """The tables of a store that are meant, with the rows of published ones.

        Raises:
            FusionbenchError: there is none, or what was published cannot stand beside it.
        """
        from fusionbench.report.claims import read_claims
        from fusionbench.report.extending import extended, largest
        from fusionbench.report.seeds import is_joint

        unfit = {
            "--ties": self.ties,
            "--ci": self.ci,
            "--join-seeds": self.join_seeds or any(map(is_joint, selection.methods)),
        }
        for option, given in unfit.items():
            if given:
                raise FusionbenchError(f"--extend with {option}: published rows have no values of single images")
        own = selection.tables(store)
        if self.extend:
            wanted = read_claims(Path(self.extend)).facts.board
            pairs = [(table, Path(self.extend)) for table in own if _place(table.board) == _place(wanted)]
            if not pairs:
                here = "; ".join(_place(table.board) for table in own)
                raise FusionbenchError(f"--extend {self.extend}: it is of {_place(wanted)}; here: {here}")
        else:
            pairs = [(table, path) for table in own if (path := largest(table.board))]
            if not pairs:
                named = ", ".join(table.stem for table in own)
                raise FusionbenchError(f"--extend: no table that came with the package is of {named}; name a file")
            for table in [table for table in own if all(table is not found for found, _ in pairs)]:
                note(f"left out: no table that came with the package is of {table.stem}")
        tables, refused = [], []
        for table, path in pairs:
            only = [row.id for row in table.rows] if selection.methods else []
            try:
                tables.append(extended(store, table.board, path, selection.columns, only))
            except FusionbenchError as error:
                refused.append(error)
        if refused and not tables:
            raise refused[0]
        for unfit_one in refused:
            note(f"left out: {unfit_one}")
        return tables

    def beside(self, tables: Sequence[Table]) -> list[Beside | None]:
        """What papers print of each table; None where nobody asked.

        Raises:
            FusionbenchError: the file is none of printed values.
        """
        from fusionbench.report.beside import beside

        if self.published is None:
            return [None for _ in tables]
        values = self.values()
        return [beside(table, values) for table in tables]

    def values(self) -> tuple[PrintedValue, ...]:
        """What papers print, of the file that was asked for; nothing where nobody asked.

        Raises:
            FusionbenchError: the file is none of printed values.
        """
        from fusionbench.report.printed import printed_values

        if self.published is None:
            return ()
        return printed_values(Path(self.published) if self.published else None)

    def chosen(self) -> str:
        """The format that was asked for, or that the name of the file has.

        Raises:
            FusionbenchError: the name has another one, or none that is known.
        """
        if self.output is None and self.form == "xlsx":
            raise FusionbenchError("--format xlsx: is no text; name a file with -o")
        if self.output is None:
            return self.form or ("table" if sys.stdout.isatty() else "md")
        from fusionbench.report.sheets import form_of

        named = form_of(self.output)
        if self.form is None and named is None:
            raise FusionbenchError(
                f"-o {self.output}: the name must end in .md, .tex, .csv, .json, .html or .xlsx, or give --format"
            )
        if self.form and named not in (None, self.form):
            raise FusionbenchError(f"-o {self.output}: the name says {named}, --format says {self.form}")
        return self.form or named or "md"


@dataclass(frozen=True, kw_only=True)
class Checking:
    """Whether published tables are run again, instead."""

    check: Annotated[
        str | None,
        click.option(
            "--check",
            is_flag=False,
            flag_value="",
            metavar="[DIR]",
            help="Run every published table of a folder again [those that came with the package], see `reproduce`.",
        ),
    ]
    available: Annotated[
        bool, click.option("--available", is_flag=True, help="Pass over tables whose data are not here.")
    ]
