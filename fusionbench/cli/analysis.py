"""``fusionbench compare`` and ``stability``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from fusionbench.cli.options import Comma, as_json, boards_of, datasets, names, out
from fusionbench.cli.spelling import say
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import Protocol, metrics_of, profile_name, variants_of
from fusionbench.plugins.cards import profiles
from fusionbench.report.numbers import fixed

if TYPE_CHECKING:
    from fusionbench.report.analysis import Comparison, Stability
    from fusionbench.report.tables import Table


@click.command("compare")
@click.argument("first")
@click.argument("second")
@datasets
@click.option("--metrics", type=Comma(), default=(), shell_complete=names("metric"), help="[those of the last eval]")
@out
@as_json
def compare_command(
    first: str, second: str, datasets: tuple[str, ...], metrics: tuple[str, ...], out: Path, json_: bool
) -> None:
    """Compare two entries on the same images, metric by metric.

    All columns are about the mean paired difference, by which tables rank: its 95 % bootstrap interval, its p by
    random signs of the differences (Holm-corrected over the metrics), and d, it in standard deviations of the
    differences. An entry is better where p < 0.05 and the interval lies on one side of zero; arrows say whether more
    or less of a metric is better.
    """
    from fusionbench.report.analysis import compare
    from fusionbench.report.entry_names import entry_ids, one_entry_id
    from fusionbench.report.formats import plain
    from fusionbench.report.seed_rows import with_joint
    from fusionbench.report.tables import build
    from fusionbench.results.store import Store

    with Store(out, create=False) as store:
        boards = boards_of(store, datasets)
        entries = [e for rule in {b.output for b in boards} for e in store.entries(rule).values()]
        first, second = (one_entry_id(name, entries, str(store.path)) for name in (first, second))
        ids = entry_ids((first, second), entries, str(store.path))
        columns = [m.id for spec in metrics for m in variants_of(spec)]
        tables = [build(store, board, columns, entry_ids=ids) for board in boards]
    joint = [with_joint(table, (first, second)) for table in tables]
    comparisons = [compare(table, *ids) for table, ids in joint]
    if json_:
        click.echo(json.dumps(plain([c.to_dict() for c in comparisons]), indent=1))
        return
    for comparison in comparisons:
        print_comparison(comparison)


def print_comparison(comparison: Comparison) -> None:
    """One line per metric."""
    c = comparison
    say(f"{c.dataset}, {c.protocol}, {counted(c.images, 'image')}: {c.first} minus {c.second}, mean over images")
    say(f"  {'metric':<18} {'difference':>12} {'95 % interval':>26} {'p (Holm)':>10} {'d':>7}  better")
    for d in c.differences:
        digits = d.metric.digits + 1
        span = f"[{fixed(d.low, digits)}, {fixed(d.high, digits)}]"
        name, verdict = f"{d.metric.title} {'↑' if d.metric.up else '↓'}", d.better or "no clear difference"
        say(f"  {name:<18} {fixed(d.mean, digits):>12} {span:>26} {d.p:>10.2g} {fixed(d.effect, 2):>7}  {verdict}")


@click.command("stability")
@click.option("--datasets", "dataset", required=True, shell_complete=names("dataset"), help="One dataset.")
@click.option("--profiles", "chosen", type=Comma(), default=(), help="Profiles to compare [all whose scores are here].")
@click.option(
    "--methods", type=Comma(), default=(), shell_complete=names("method"), help="Only these entries or methods."
)
@click.option(
    "--halves", type=click.IntRange(1, 10_000), metavar="N", help="On N random halves of the images and their rests."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw the ranks.")
@out
@as_json
def stability_command(
    dataset: str,
    chosen: tuple[str, ...],
    methods: tuple[str, ...],
    halves: int | None,
    output: Path | None,
    out: Path,
    json_: bool,
) -> None:
    """Show how the ranking of the same entries on the same images changes with the metric profile, or the images.

    Score them first under each profile: fusionbench eval ... --profile tang; ... --profile tang-uint8. With --halves,
    entries are ranked on random halves of the images (seed 0), under each profile by itself.
    """
    from fusionbench.report.analysis import stability
    from fusionbench.report.rank_figures import draw_ranks

    tables = tables_of(out, dataset, [profile_name(name) for name in chosen], methods)
    if halves is not None:
        print_halves(tables, halves, output, json_)
        return
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
        say(f"drawn in {output}", err=True)


def print_halves(tables: Mapping[str, Table], times: int, output: Path | None, json_: bool) -> None:
    """Positions on random halves of the images, a block for each profile.

    Raises:
        FusionbenchError: too few entries or images, or several profiles where one is drawn.
    """
    from fusionbench.report.rank_figures import draw_halves
    from fusionbench.report.ranking import halves

    if not tables:
        raise FusionbenchError("no scores of any profile here; run `fusionbench eval ... --profile NAME`")
    if output and len(tables) > 1:
        raise FusionbenchError(f"-o {output}: there are {len(tables)} profiles ({', '.join(tables)}); name one")
    items = {profile: halves(table, times) for profile, table in tables.items()}
    if json_:
        click.echo(json.dumps({profile: item.to_dict() for profile, item in items.items()}, indent=1))
    for profile, item in items.items():
        table = tables[profile]
        size = f"{counted(len(table.metrics), 'metric')}, {counted(len(table.ids), 'image')}"
        title = f"{table.board.dataset}, {profile}: {size}"
        if not json_:
            say(f"{title}; average rank, then median [best, worst] position on {len(item.positions)} halves")
            for number, name in enumerate(item.names):
                own = item.positions[:, number]
                middle = f"{np.median(own):5.1f} [{own.min():g}, {own.max():g}]"
                say(f"  {item.average[number]:6.2f}  {middle:<18} {name}")
            for what, tau in (("the two halves", item.between), ("a half and all", item.whole)):
                say(f"  Kendall tau between {what}: median {np.median(tau):.2f}, lowest {tau.min():.2f}")
        if output:
            draw_halves(item, title, output)
            say(f"drawn in {output}", err=True)


def tables_of(out: Path, dataset: str, chosen: Sequence[str], methods: Sequence[str]) -> dict[str, Table]:
    """Profile to the table of a dataset under it; of profiles that nobody named, those that have scores.

    Raises:
        FusionbenchError: several results of the dataset, or a named profile without scores.
    """
    from fusionbench.report.entry_names import entry_ids
    from fusionbench.report.tables import build
    from fusionbench.results.store import Store

    tables = {}
    with Store(out, create=False) as store:
        boards = store.boards(dataset)
        if len(boards) > 1:
            have = ", ".join(f"{b.split} with output {b.output}" for b in boards)
            raise FusionbenchError(f"{out}: {dataset} has several results ({have}); use an --out with one of them")
        ids = entry_ids(methods, store.entries(boards[0].output).values(), str(store.path), "--methods")
        for name in chosen or ("default", *profiles()):
            try:
                columns = [m.id for m in metrics_of(name, None, Protocol.colour)]
                tables[name] = build(store, boards[0], columns, entry_ids=ids)
            except FusionbenchError:
                if chosen:
                    raise
    return tables


def print_stability(items: Sequence[Stability]) -> None:
    """Each metric's ranking under every profile."""
    for s in items:
        say(f"{s.metric}")
        for p, order in s.order.items():
            say(f"  {p:<12} {s.variants[p]:<22} " + " > ".join(f"{e} {s.means[p][e]:.4g}" for e in order))
        say("  Kendall tau: " + ", ".join(f"{a}/{b} {fixed(t, 2)}" for (a, b), t in s.tau.items()))
        if len(set(s.first_places.values())) > 1:
            say("  first place changes: " + ", ".join(f"{p} {e}" for p, e in s.first_places.items()))
