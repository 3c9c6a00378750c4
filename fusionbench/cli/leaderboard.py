"""``fusionbench leaderboard``."""

from __future__ import annotations

from pathlib import Path

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
    from fusionbench.protocol import metric, metrics_of
    from fusionbench.render import render
    from fusionbench.store import Store
    from fusionbench.tables import build
    from fusionbench.writing import provenance_of, write_text

    with Store(out, create=False) as store:
        boards = store.boards(dataset, split, output_rule)
        columns = [metric(m, profile or "default").id for m in metrics]
        if profile and not columns:
            columns = [m.id for m in metrics_of(profile, None, "gray")]
        tables = [build(store, b, columns, entry_ids=methods) for b in boards]
        texts = [render(t, form, ci) for t in tables]
        if output is None:
            click.echo("\n".join(texts), nl=False)
            return
        if len(tables) > 1:
            raise FusionbenchError(
                f"-o {output}: there are {len(tables)} tables ({', '.join(t.stem for t in tables)}); "
                "choose one with --dataset, --split, --output-rule"
            )
        write_text(output, texts[0])
        beside = write_text(output.with_name(output.stem + ".provenance.json"), provenance_of(tables[0], store))
        click.echo(f"{output} and {beside}", err=True)
