"""``fusionbench compare`` and ``stability``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fusionbench.cli.options import Comma, as_json, names, out


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

    results = {}
    with Store(out, create=False) as store:
        for board in store.boards(dataset):
            table = build(store, board, metrics, entry_ids=(first, second))
            results[board["dataset"], table.board["protocol"]] = (len(table.ids), compare(table, first, second))
    if json_:
        click.echo(
            json.dumps(
                plain(
                    [
                        {
                            "dataset": d,
                            "protocol": s,
                            "images": n,
                            "metrics": {
                                x.metric.id: {
                                    "n": x.n,
                                    first: x.a,
                                    second: x.b,
                                    "difference": x.mean,
                                    "ci95": [x.low, x.high],
                                    "p_holm": x.p,
                                    "effect": x.effect,
                                    "better": x.better,
                                }
                                for x in rows
                            },
                        }
                        for (d, s), (n, rows) in results.items()
                    ]
                ),
                indent=1,
            )
        )
        return
    for (d, s), (n, rows) in results.items():
        click.echo(f"{d}, {s}, {n} images: {first} minus {second}")
        click.echo(f"  {'metric':<18} {'difference':>12} {'95 % interval':>26} {'p (Holm)':>10} {'effect':>7}  better")
        for x in rows:
            digits = x.metric.digits + 1
            span = f"[{x.low:.{digits}f}, {x.high:.{digits}f}]"
            arrow = "↑" if x.metric.up else "↓"
            name, verdict = f"{x.metric.title} {arrow}", x.better or "no clear difference"
            click.echo(f"  {name:<18} {x.mean:>12.{digits}f} {span:>26} {x.p:>10.2g} {x.effect:>7.2f}  {verdict}")


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
    from fusionbench.errors import FusionbenchError
    from fusionbench.evaluation.protocol import metrics_of
    from fusionbench.plugins.cards import profiles
    from fusionbench.report.analysis import draw, stability
    from fusionbench.report.tables import build
    from fusionbench.results.store import Store, storage_error

    tables = {}
    with Store(out, create=False) as store:
        boards = store.boards(dataset)
        if len(boards) > 1:
            have = ", ".join(f"{b['split']} with output {b['output']}" for b in boards)
            raise FusionbenchError(f"{out}: {dataset} has several results ({have}); use an --out with one of them")
        board = boards[0]
        for name in chosen or ("default", *profiles()):
            try:
                columns = [m.id for m in metrics_of(name, None, "gray")]
                tables[name] = build(store, board, columns, entry_ids=methods)
            except FusionbenchError:
                if chosen:
                    raise
    if len(tables) < 2:
        raise FusionbenchError(
            f"{out}: scores of {len(tables)} profiles here, two are needed; run "
            f"`fusionbench eval ... --datasets {dataset} --profile NAME` for another"
        )
    items = stability(tables)
    if not items:
        raise FusionbenchError(f"{out}: the profiles {', '.join(tables)} use the same variants for these entries")
    if json_:
        click.echo(
            json.dumps(
                [
                    {
                        "metric": s.metric,
                        "variants": s.variants,
                        "order": s.order,
                        "tau": {f"{a} / {b}": t for (a, b), t in s.tau.items()},
                    }
                    for s in items
                ],
                indent=1,
            )
        )
    else:
        for s in items:
            click.echo(f"{s.metric}")
            for p, order in s.order.items():
                click.echo(f"  {p:<12} {s.variants[p]:<22} " + " > ".join(f"{e} {s.means[p][e]:.4g}" for e in order))
            click.echo("  Kendall tau: " + ", ".join(f"{a}/{b} {t:.2f}" for (a, b), t in s.tau.items()))
            if len(set(s.first_places.values())) > 1:
                click.echo("  first place changes: " + ", ".join(f"{p} {e}" for p, e in s.first_places.items()))
    if output:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            draw(items, output)
        except OSError as error:
            raise storage_error(output, error) from None
        click.echo(f"drawn in {output}", err=True)
