"""``fusionbench explain``."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.options import Comma, Number, as_json, data_root, names
from fusionbench.cli.progress import Bar
from fusionbench.cli.spelling import say
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError, PluginError, find
from fusionbench.evaluation.protocol import parsed
from fusionbench.plugins.cards import card

if TYPE_CHECKING:
    from fusionbench.report.explain import Verdict

Means = dict[str, dict[str, float | None]]  # whose pictures of which dataset -> metric id -> mean


@click.command("explain")
@click.argument("metric", shell_complete=names("metric"), required=False)
@click.argument("value", type=Number(), required=False)
@click.option("--paper", metavar="'EN=6.70 VIF=0.97 ...'", help="A whole printed row; needs one of --datasets.")
@click.option(
    "--methods",
    "method",
    metavar="NAME",
    shell_complete=names("method"),
    help="With --paper: whose row it is, measured beside it.",
)
@click.option("--images", multiple=True, metavar="NAME=DIR", help="Score these pictures under every variant.")
@click.option("--datasets", type=Comma(), default=(), shell_complete=names("dataset"), help="On which it was measured.")
@data_root
@as_json
def explain_command(
    metric: str | None,
    value: float | None,
    paper: str | None,
    method: str | None,
    images: tuple[str, ...],
    datasets: tuple[str, ...],
    data_root: Path | None,
    json_: bool,
) -> None:
    """Say under which variants of METRIC a published VALUE is plausible, or under which evaluator a row of a paper.

    Judged by the definition's range and by what real methods reached on real images in the committed tables. With
    --images, the same pictures are scored under every variant, the closest first. With --paper, the evaluator under
    which the whole row is likeliest comes first; the rule stands in docs/results.md.
    """
    if paper is not None:
        if metric is not None or images:
            raise FusionbenchError("--paper: a row stands alone, without METRIC, VALUE and --images")
        explain_paper(paper, datasets, method, json_)
    elif method is not None:
        raise FusionbenchError("--methods: is of a whole row, --paper")
    elif metric is None or value is None:
        raise FusionbenchError("give a METRIC and a VALUE, or a row: --paper 'EN=6.70 VIF=0.97' --datasets msrs")
    else:
        explain_value(metric, value, images, datasets, data_root, json_)


def explain_value(
    metric: str, value: float, images: tuple[str, ...], datasets: tuple[str, ...], root: Path | None, json_: bool
) -> None:
    """One value under every variant of its metric."""
    from fusionbench.report.explain import verdicts

    asked = parsed(metric)
    entry = asked.card
    metric = entry.name
    judged = verdicts(entry, value, [] if images else [card("dataset", name).name for name in datasets])
    if asked.variant and asked.variant.lower() != "all":
        variant = find(asked.variant, entry.facts.variants, f"{metric} has no variant", error=PluginError)
        judged = [v for v in judged if v.variant == variant]
    means = score(metric, images, datasets, root) if images else {}
    if json_:
        click.echo(json.dumps(as_dict(metric, value, judged, means), indent=1))
        return
    say(f"{entry.title} = {value:g}")
    for v in judged:
        say(f"  {v.verdict:<11} {metric}@{v.variant}: {v.formula}")
        for s in v.spans:
            say(
                f"              measured {s.low:.4g} to {s.high:.4g} "
                f"({counted(s.entries, 'method')}, {s.dataset}, {counted(s.images, 'image')})"
            )
        if v.verdict == "unreached":
            nearest = min((end for s in v.spans for end in (s.low, s.high)), key=lambda end: abs(end - value))
            say(f"              no method in these tables reached it; the nearest mean is {nearest:.4g}")
        if v.used_by:
            say(f"              published with by {'; '.join(v.used_by)}")
    for where, by_variant in means.items():
        say(f"{where}:")
        ordered = sorted(by_variant.items(), key=lambda kv: math.inf if kv[1] is None else abs(kv[1] - value))
        for name, mean in ordered:
            say(f"  {name:<24} {'undefined' if mean is None else f'{mean:.6g}'}")


def explain_paper(row: str, datasets: Sequence[str], method: str | None, json_: bool) -> None:
    """A whole printed row: the likeliest evaluator, and each value under it and under others.

    Raises:
        FusionbenchError: no row, not one dataset, or nothing measured to judge by.
    """
    from fusionbench.report.formats import plain
    from fusionbench.report.own_row import own_rows
    from fusionbench.report.paper_row import explain_row, parse

    values = parse(row)
    if len(datasets) != 1:
        raise FusionbenchError("--paper: name the one dataset that the row was measured on, e.g. --datasets msrs")
    answer = explain_row(values, datasets[0])
    own = own_rows(answer, method) if method else {}
    if json_:
        worst = answer.profiles[0].worst if answer.profiles else None
        more = {"likeliest": answer.likeliest, "worst": worst, "own": own}
        click.echo(json.dumps(plain({**dataclasses.asdict(answer), **more}), indent=1))
        return
    from fusionbench.cli.paper_lines import own_lines, row_lines

    for line in (*row_lines(answer, values), *own_lines(answer, values, own)):
        say(line)


def as_dict(metric: str, value: float, judged: Sequence[Verdict], means: Means) -> dict[str, object]:
    """Everything as plain data for --json."""
    variants = [
        {
            "variant": v.variant,
            "verdict": v.verdict,
            "used_by": v.used_by,
            "measured": [dataclasses.asdict(s) for s in v.spans],
        }
        for v in judged
    ]
    return {"metric": metric, "value": value, "scored": means, "variants": variants}


def score(metric: str, images: tuple[str, ...], datasets: tuple[str, ...], root: Path | None) -> Means:
    """Means of these pictures under every variant of a metric."""
    from fusionbench.evaluation.plan import Request, make_plan
    from fusionbench.evaluation.runner import run
    from fusionbench.report.tables import build
    from fusionbench.results.store import Store
    from fusionbench.runtime.allocator import keep_memory

    keep_memory()
    plan = make_plan(Request(datasets=datasets, metrics=(f"{metric}@all",), images=images, data_root=root))
    means: Means = {}
    with tempfile.TemporaryDirectory() as scratch, Store(Path(scratch)) as store, Bar() as bar:
        run(plan, store, progress=bar)
        for s in plan.sources:
            if not (keys := [e.key for e in plan.entries_of(s)]):
                continue
            table = build(store, s.board(), [m.id for m in s.metrics], keys, ids=s.ids)
            for row in table.rows:
                values = {m.id: row.mean(m.id) for m in table.metrics}
                means[f"{row.id} on {s.label} {s.split}, {counted(len(table.ids), 'image')}"] = {
                    k: None if math.isnan(v) else v for k, v in values.items()
                }
    return means
