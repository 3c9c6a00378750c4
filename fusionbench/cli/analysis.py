"""``fusionbench compare`` and ``stability``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.options import Comma, as_json, names, out
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import Protocol, metrics_of
from fusionbench.plugins.cards import profiles
from fusionbench.report.numbers import fixed

if TYPE_CHECKING:
    from fusionbench.report.analysis import Comparison, Stability
    from fusionbench.report.tables import Table


@click.command("compare")
@click.argument("first")
@click.argument("second")
@click.option("--dataset", shell_complete=names("dataset"), help="Only this dataset.")
@click.option("--metrics", type=Comma(), default=(), shell_complete=names("metric"), help="[those of the last eval]")
@out
@as_json
def compare_command(
    first: str, second: str, dataset: str | None, metrics: tuple[str, ...], out: Path, json_: bool
) -> None:
    """Compare two entries on the same images, metric by metric.

    Mean paired difference with its 95 % bootstrap interval, Wilcoxon signed-rank p (Holm-corrected over the metrics)
    and the matched-pairs rank-biserial correlation as effect size.
    """
    from fusionbench.report.analysis import compare
    from fusionbench.report.formats import plain
    from fusionbench.report.tables import build
    from fusionbench.results.store import Store

    with Store(out, create=False) as store:
        tables = [build(store, board, metrics, entry_ids=(first, second)) for board in store.boards(dataset)]
    comparisons = [compare(table, first, second) for table in tables]
    if json_:
        click.echo(json.dumps(plain([c.to_dict() for c in comparisons]), indent=1))
        return
    for comparison in comparisons:
        print_comparison(comparison)


def print_comparison(comparison: Comparison) -> None:
    """One line per metric."""
    c = comparison
    click.echo(f"{c.dataset}, {c.protocol}, {c.images} images: {c.first} minus {c.second}")
    click.echo(f"  {'metric':<18} {'difference':>12} {'95 % interval':>26} {'p (Holm)':>10} {'effect':>7}  better")
    for d in c.differences:
        digits = d.metric.digits + 1
        span = f"[{fixed(d.low, digits)}, {fixed(d.high, digits)}]"
        name, verdict = f"{d.metric.title} {'↑' if d.metric.up else '↓'}", d.better or "no clear difference"
        if d.better and d.mean * d.effect < 0:
            verdict += " (by ranks; a few large differences turn the mean)"
        click.echo(
            f"  {name:<18} {fixed(d.mean, digits):>12} {span:>26} {d.p:>10.2g} {fixed(d.effect, 2):>7}  {verdict}"
        )


@click.command("stability")
@click.option("--dataset", required=True, shell_complete=names("dataset"))
@click.option("--profiles", "chosen", type=Comma(), default=(), help="Profiles to compare [all whose scores are here].")
@click.option(
    "--methods", type=Comma(), default=(), shell_complete=names("method"), help="Only these entries or methods."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw the ranks.")
@out
@as_json
def stability_command(
    dataset: str, chosen: tuple[str, ...], methods: tuple[str, ...], output: Path | None, out: Path, json_: bool
) -> None:
    """Show how the ranking of the same entries on the same images changes with the metric profile.

    Score them first under each profile: fusionbench eval ... --profile tang; ... --profile tang-uint8.
    """
    from fusionbench.report.analysis import stability
    from fusionbench.report.figures import draw_ranks

    tables = tables_of(out, dataset, chosen, methods)
    if len(tables) < 2:
        raise FusionbenchError(
            f"{out}: scores of {len(tables)} profiles here, two are needed; run "
            f"`fusionbench eval ... --datasets {dataset} --profile NAME` for another"
        )
    items = stability(tables)
    if not items:
        raise FusionbenchError(f"{out}: the profiles {', '.join(tables)} use the same variants for these entries")
    if json_:
        click.echo(json.dumps([s.to_dict() for s in items], indent=1))
    else:
        print_stability(items)
    if output:
        draw_ranks(items, output)
        click.echo(f"drawn in {output}", err=True)


def tables_of(out: Path, dataset: str, chosen: Sequence[str], methods: Sequence[str]) -> dict[str, Table]:
    """Profile to the table of a dataset under it; of profiles that nobody named, those that have scores.

    Raises:
        FusionbenchError: several results of the dataset, or a named profile without scores.
    """
    from fusionbench.report.tables import build
    from fusionbench.results.store import Store

    tables = {}
    with Store(out, create=False) as store:
        boards = store.boards(dataset)
        if len(boards) > 1:
            have = ", ".join(f"{b.split} with output {b.output}" for b in boards)
            raise FusionbenchError(f"{out}: {dataset} has several results ({have}); use an --out with one of them")
        for name in chosen or ("default", *profiles()):
            try:
                columns = [m.id for m in metrics_of(name, None, Protocol.colour)]
                tables[name] = build(store, boards[0], columns, entry_ids=methods)
            except FusionbenchError:
                if chosen:
                    raise
    return tables


def print_stability(items: Sequence[Stability]) -> None:
    """Each metric's ranking under every profile."""
    for s in items:
        click.echo(f"{s.metric}")
        for p, order in s.order.items():
            click.echo(f"  {p:<12} {s.variants[p]:<22} " + " > ".join(f"{e} {s.means[p][e]:.4g}" for e in order))
        click.echo("  Kendall tau: " + ", ".join(f"{a}/{b} {fixed(t, 2)}" for (a, b), t in s.tau.items()))
        if len(set(s.first_places.values())) > 1:
            click.echo("  first place changes: " + ", ".join(f"{p} {e}" for p, e in s.first_places.items()))
