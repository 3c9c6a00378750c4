"""``fusionbench leaderboard``."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from fusionbench.cli.options import data_root, out, records
from fusionbench.cli.paper_options import PaperOptions
from fusionbench.cli.rerun import HereOptions, check_tables
from fusionbench.cli.spelling import draw, note, say
from fusionbench.cli.table_options import Checking, Form, Selection
from fusionbench.errors import FusionbenchError

if TYPE_CHECKING:
    from fusionbench.report.tables import Table
    from fusionbench.results.store import Store


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
    if form.extend is not None and (checking.check is not None or form.layout is not None):
        raise FusionbenchError(f"--extend with {'--layout' if form.layout else '--check'}: take one of them")
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


def every_with_ties(tables: Sequence[Table]) -> list[Table]:
    """The tables with their tie groups; one of several that is too small says so and hides no other.

    Raises:
        FusionbenchError: too few entries or images in all of them.
    """
    found, refused = [], []
    for table in tables:
        try:
            found.append(with_ties(table))
        except FusionbenchError as error:
            refused.append(error)
            found.append(replace(table, notes=(*table.notes, f"No tie groups: {error}.")))
    if refused and len(refused) == len(tables):
        raise refused[0]
    return found


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
        tables = selection.tables(store) if form.extend is None else form.extended(store, selection)
        if form.join_seeds or any(map(is_joint, selection.methods)):
            if form.output is not None and kind == "json":
                raise FusionbenchError(
                    "joint rows of seeds with a .json: results that others can run again have a row a seed"
                )
            tables = [joined(table) for table in tables]
        if form.ties:
            tables = every_with_ties(tables)
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
