"""``fusionbench leaderboard``."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
from click.core import ParameterSource

from fusionbench.cli.options import Comma, boards_of, data_root, datasets, names, out, profile_names, records
from fusionbench.cli.paper_options import PaperOptions
from fusionbench.cli.rerun import HereOptions, check_tables
from fusionbench.cli.spelling import draw, note, say
from fusionbench.cli.words import OneOf
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import Protocol, metrics_of, profile_name, variants_of

if TYPE_CHECKING:
    from fusionbench.report.beside import Beside
    from fusionbench.report.printed import PrintedValue
    from fusionbench.report.tables import Table
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
        """The tables of a store that are meant.

        Raises:
            FusionbenchError: there is none, or an entry has no results.
        """
        from fusionbench.report.entry_names import entry_ids
        from fusionbench.report.seed_rows import joined
        from fusionbench.report.seeds import is_joint
        from fusionbench.report.tables import build

        boards = boards_of(store, self.datasets, self.split, self.output_rule)
        columns = self.columns
        entries = [e for rule in {b.output for b in boards} for e in store.entries(rule).values()]
        ids = entry_ids(self.methods, entries, str(store.path), "--methods")
        tables = [build(store, b, columns, entry_ids=ids) for b in boards]
        return [joined(table) for table in tables] if any(map(is_joint, self.methods)) else tables


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


@click.command("leaderboard")
@records(selection=Selection, form=Form, paper=PaperOptions, checking=Checking, here=HereOptions)
@data_root
@out
@click.pass_context
def leaderboard_command(
    ctx: click.Context,
    selection: Selection,
    form: Form,
    paper: PaperOptions,
    checking: Checking,
    here: HereOptions,
    data_root: Path | None,
    out: Path,
) -> None:
    """Print a table of results: rows entries, columns metrics, best bold, second underlined.

    With --layout: the table of a paper with the same rows and columns, filled with what was measured; empty cells say
    why they are empty.

    With --check: run published tables again and list what agrees. Exit code 1 if one differs, or is not here.
    """
    if checking.check is not None:
        typed = ctx.get_parameter_source("out") is ParameterSource.COMMANDLINE
        folder = Path(checking.check) if checking.check else None
        rerun = here.rerun(data_root)
        sys.exit(check_tables(folder, out if typed else None, rerun, checking.available, form.chosen() == "json"))
    if form.layout is not None:
        from fusionbench.cli.layout import print_layout

        print_layout(selection, form, out, form.layout)
    else:
        print_tables(selection, form, paper, out)


def with_ties(table: Table) -> Table:
    """The table with its tie groups as a note: Friedman's test and Nemenyi's critical difference over images.

    Raises:
        FusionbenchError: too few entries or images.
    """
    from fusionbench.report.ranking import blocks_of, ranking

    return replace(table, notes=(*table.notes, ranking(blocks_of([table], "images")).note))


def print_tables(selection: Selection, form: Form, paper: PaperOptions, out: Path) -> None:
    """Print the tables that are meant, or write one; several as one of a paper.

    Raises:
        FusionbenchError: no results, or several tables where one is asked.
    """
    from fusionbench.report.formats import as_dict, plain
    from fusionbench.report.paper import paper_latex
    from fusionbench.report.seed_rows import joined
    from fusionbench.report.seeds import is_joint
    from fusionbench.report.sheets import as_text
    from fusionbench.report.terminal import drawn
    from fusionbench.results.store import Store

    kind = form.chosen()
    style = paper.style(kind, form.ci, form.output.stem if form.output else "")
    with Store(out, create=False) as store:
        tables = selection.tables(store)
        if form.join_seeds or any(map(is_joint, selection.methods)):
            if form.output is not None and kind == "json":
                raise FusionbenchError(
                    "joint rows of seeds with a .json: results that others can run again have a row a seed"
                )
            tables = [joined(table) for table in tables]
        if form.ties:
            tables = [with_ties(table) for table in tables]
        for line in store.notes:
            note(line)
        if len(tables) > 1 and style is None and (form.output is not None or kind == "csv"):
            raise FusionbenchError(
                f"{f'--format {kind}' if form.output is None else f'-o {form.output}'}: there are {len(tables)} "
                f"tables ({', '.join(t.stem for t in tables)}); choose one with --datasets, --split, --output-rule"
            )
        if len(tables) > 1 and kind == "json":
            every = plain([as_dict(t, form.ci, b) for t, b in zip(tables, form.beside(tables), strict=True)])
            click.echo(json.dumps(every, indent=1, sort_keys=True, allow_nan=False))
            return
        printed = form.beside(tables)
        if style and len(tables) > 1 and any(printed):
            raise FusionbenchError("--published: one dataset at a time in LaTeX; choose it with --datasets")
        if kind == "table" and form.output is None and not any(printed):
            width = shutil.get_terminal_size().columns
            for table in tables:
                draw(drawn(table, width, form.ci), width)
            return
        if style:
            texts: list[str | bytes] = [paper_latex(tables, style, printed[0])]
        else:
            texts = [as_text(t, kind, form.ci, b) for t, b in zip(tables, printed, strict=True)]
        if form.output is None:
            say("\n".join(map(str, texts)), nl=False)
        else:
            write_files(form.output, texts[0], tables, store, cited=paper.cite)


def write_files(output: Path, text: str | bytes, tables: Sequence[Table], store: Store, cited: bool) -> None:
    """Write a table, and beside it where its numbers come from and what it cites.

    Raises:
        FusionbenchError: a file that cannot be written, or a bibliography there that is the user's own.
    """
    from fusionbench.report.paper import BIBLIOGRAPHY, bibliography_of, without_citation
    from fusionbench.report.writing import provenance_of, write_text

    beside: dict[Path, str | bytes] = {}
    beside |= {output.with_name(output.stem + ".provenance.json"): provenance_of(tables[0], store)}
    if len(tables) > 1:
        several = {output.with_name(f"{output.stem}.{t.stem}.provenance.json"): t for t in tables}
        beside = {path: provenance_of(t, store) for path, t in several.items()}
    if cited:
        path = output.with_suffix(".bib")
        if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(BIBLIOGRAPHY):
            raise FusionbenchError(f"{path}: not written by fusionbench; it stays as it is, choose another name for -o")
        beside[path] = bibliography_of(tables)
        if missing := without_citation(tables):
            note(f"nothing to cite on the card of {', '.join(missing)}")
    for path, own in {output: text, **beside}.items():
        write_text(path, own)
    say(" and ".join(str(path) for path in (output, *beside)), err=True)
