"""``fusionbench leaderboard``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fusionbench.cli.options import Comma, names, out, profile_names


@click.command("leaderboard")
@click.option("--dataset", shell_complete=names("dataset"), help="Only this dataset (label as `eval` printed it).")
@click.option("--split", help="Only this split.")
@click.option(
    "--methods", type=Comma(), default=(), shell_complete=names("method"), help="Only these entries or methods."
)
@click.option(
    "--metrics", type=Comma(), default=(), shell_complete=names("metric"), help="Columns [those of the last eval]."
)
@click.option("--profile", shell_complete=profile_names, help="Columns in the variants of this profile.")
@click.option("--output-rule", help="Only tables under this rule (released, clip-round).")
@click.option("--format", "form", type=click.Choice(["md", "latex", "csv", "json"]), default="md", show_default=True)
@click.option("--ci", is_flag=True, help="95 % bootstrap interval of each mean.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write here, provenance beside it."
)
@out
def leaderboard_command(
    dataset: str | None,
    split: str | None,
    methods: tuple[str, ...],
    metrics: tuple[str, ...],
    profile: str | None,
    output_rule: str | None,
    form: str,
    ci: bool,
    output: Path | None,
    out: Path,
) -> None:
    """Print a table of results: rows entries, columns metrics, best bold, second underlined."""
    from fusionbench.errors import FusionbenchError
    from fusionbench.evaluation.protocol import metric, metrics_of
    from fusionbench.report.formats import plain, render
    from fusionbench.report.tables import build
    from fusionbench.report.writing import provenance_of, write_text
    from fusionbench.results.store import Store

    with Store(out, create=False) as store:
        boards = store.boards(dataset, split, output_rule)
        columns = [metric(m, profile or "default").id for m in metrics]
        if profile and not columns:
            columns = [m.id for m in metrics_of(profile, None, "gray")]
        check_entries(store, boards, methods)
        tables = [build(store, b, columns, entry_ids=methods) for b in boards]
        if len(tables) > 1 and (output is not None or form in ("latex", "csv")):
            raise FusionbenchError(
                f"{f'--format {form}' if output is None else f'-o {output}'}: there are {len(tables)} tables "
                f"({', '.join(t.stem for t in tables)}); choose one with --dataset, --split, --output-rule"
            )
        if len(tables) > 1 and form == "json":
            click.echo(json.dumps(plain([t.to_dict(ci) for t in tables]), indent=1, sort_keys=True, allow_nan=False))
            return
        texts = [render(t, form, ci) for t in tables]
        if output is None:
            click.echo("\n".join(texts), nl=False)
            return
        write_text(output, texts[0])
        beside = write_text(output.with_name(output.stem + ".provenance.json"), provenance_of(tables[0], store))
        click.echo(f"{output} and {beside}", err=True)


def check_entries(store: Any, boards: list[dict[str, Any]], asked: tuple[str, ...]) -> None:
    """Raise for an entry or method that has no results, naming those that have."""
    from fusionbench.errors import FusionbenchError

    here = [e for rule in {b["output"] for b in boards} for e in store.entries(rule).values()]
    for name in asked:
        if name not in {e["id"] for e in here} | {e["method"] for e in here}:
            there = ", ".join(sorted({e["id"] for e in here})) or "none"
            raise FusionbenchError(f"--methods {name}: {store.path} has no such entry; there are: {there}")
