"""``fusionbench eval``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from fusionbench.cli.options import Bar, Comma, as_json, command_line, data_root, names, out, profile_names


@click.command("eval")
@click.option("--all", "all_", is_flag=True, help="Every runnable method on every dataset that is there.")
@click.option(
    "--methods", type=Comma(), default=(), shell_complete=names("method"), help="e.g. average,gff[r1=30],refusion[ivif]"
)
@click.option("--datasets", type=Comma(), default=(), shell_complete=names("dataset"), help="e.g. msrs,tno,folder=DIR")
@click.option("--metrics", type=Comma(), default=(), shell_complete=names("metric"), help="e.g. vif,ssim@cddfuse")
@click.option("--images", multiple=True, metavar="NAME=DIR", help="Score pictures that another program made.")
@click.option("--profile", shell_complete=profile_names, help="Metric profile: whose evaluator to follow.")
@click.option("--output-rule", help="released (each method's own) or one rule for all, e.g. clip-round.")
@click.option("--split", help="Split other than the protocol's.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N images of each split.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1...")
@click.option("--jobs", type=click.IntRange(0), default=0, help="Images at once [all processors].")
@click.option(
    "--tasks", type=Comma(), default=(), shell_complete=names("task"), help="Downstream tasks, e.g. detection."
)
@click.option("--task-networks", type=Comma(), default=(), help="Other networks than the recipes', e.g. yolox-s.")
@click.option("--task-protocols", type=Comma(), default=("retrained", "frozen"), help="retrained, frozen [both].")
@click.option("--task-size", help="Size of the task networks' recipes, e.g. tiny; without it, full.")
@click.option(
    "--task-options", type=Comma(), default=(), help="Changed settings of those recipes, e.g. train.epochs=5."
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Training runs per task network.")
@click.option("--frozen-on", default="visible", show_default=True, help="Entry that frozen networks are trained on.")
@click.option("--frozen", multiple=True, type=click.Path(path_type=Path), help="A trained task network to score with.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@data_root
@out
@as_json
def eval_command(
    all_: bool,
    methods: tuple[str, ...],
    datasets: tuple[str, ...],
    metrics: tuple[str, ...],
    images: tuple[str, ...],
    profile: str | None,
    output_rule: str | None,
    split: str | None,
    limit: int | None,
    device: str,
    jobs: int,
    tasks: tuple[str, ...],
    task_networks: tuple[str, ...],
    task_protocols: tuple[str, ...],
    task_size: str | None,
    task_options: tuple[str, ...],
    seeds: int,
    frozen_on: str,
    frozen: tuple[Path, ...],
    dry_run: bool,
    data_root: Path | None,
    out: Path,
    json_: bool,
) -> None:
    """Fuse and score methods on datasets, and write the tables.

    What is already in --out is not computed again; an interrupted run continues with the same command.
    Exit code: 0 everything scored, 1 some images or methods failed (they are named), 2 nothing could be run.
    """
    if not (all_ or methods or images):
        raise click.UsageError("say what to run: --all, --methods or --images")
    from fusionbench.evaluation.plan import Request, make_plan

    request = Request(
        methods=methods,
        datasets=datasets,
        metrics=metrics,
        images=images,
        data_root=data_root,
        split=split,
        profile=profile,
        output_rule=output_rule,
        limit=limit,
        device=device,
        jobs=jobs,
        all_=all_,
    )
    plan = make_plan(request)
    if dry_run:
        click.echo(json.dumps(plan.info(), indent=1) if json_ else describe(plan))
        return
    from fusionbench.errors import FusionbenchError
    from fusionbench.evaluation import runner, task_plan, task_run
    from fusionbench.report.tables import build
    from fusionbench.report.writing import write_tables
    from fusionbench.results.store import Store
    from fusionbench.runtime.device import check_device

    check_device(device)
    ask = task_request(tasks, task_networks, task_protocols, task_size, task_options, seeds, frozen_on, frozen)
    if ask:
        task_plan.check(plan, ask)
    with Store(out) as store, Bar(json_) as bar:
        for source in plan.sources:
            if source.partial:
                click.echo(
                    f"warning: {source.label} {source.split}: {len(source.ids)} of {source.expected} pairs, partial",
                    err=True,
                )
        outcome = runner.run(plan, store, command_line(), bar)
        tables, problems = [], []
        if ask:
            found = task_run.run_tasks(plan, ask, store, command_line(), bar)
            for (label, task), reason in found.gaps.items():
                click.echo(f"warning: {task} on {label}: {reason}", err=True)
            problems += found.failures
        for source in plan.sources:
            columns = [m.id for m in source.metrics if m.id not in outcome.broken]
            try:
                if columns:
                    tables.append(build(store, source.info(), columns, [e.key for e in plan.entries], ids=source.ids))
            except FusionbenchError as error:
                problems.append(str(error))
        problems += [f"{name}: left out, it failed: {reason}" for name, reason in outcome.broken.items()]
        written = write_tables(out, tables, store)
    report(plan, outcome, tables, problems, written, json_)
    if problems and not tables:
        sys.exit(2)
    if outcome.failures or problems or len(outcome.skipped) > len(plan.skipped):
        sys.exit(1)


def task_request(
    tasks: tuple[str, ...],
    networks: tuple[str, ...],
    protocols: tuple[str, ...],
    size: str | None,
    options: tuple[str, ...],
    seeds: int,
    frozen_on: str,
    frozen: tuple[Path, ...],
) -> Any:
    """The options on downstream tasks, checked; None without --tasks."""
    from fusionbench.errors import FusionbenchError
    from fusionbench.plugins.cards import card, cards, did_you_mean

    if not tasks:
        if networks or frozen or size or options:
            raise click.UsageError("say which tasks: --tasks segmentation,detection,saliency")
        return None
    from fusionbench.evaluation.task_plan import PROTOCOLS, TaskRequest
    from fusionbench.training.trained import facts_of

    for name in tasks:
        card("task", name)
    for name in protocols:
        if name not in PROTOCOLS:
            raise FusionbenchError(f"--task-protocols {name}: {did_you_mean(name, PROTOCOLS)}")
    listed = {n: name for name, c in cards("task").items() for n in c.data["networks"]}
    for name in networks:
        if listed.get(name) not in tasks:
            have = [n for n, task in listed.items() if task in tasks]
            raise FusionbenchError(f"--task-networks {name}: no network of these tasks; {did_you_mean(name, have)}")
    for path in frozen:
        if (task := facts_of(path).get("task")) not in tasks:
            raise FusionbenchError(
                f"--frozen {path}: holds {task or 'no task'} network; --tasks are {', '.join(tasks)}"
            )
    chosen = {listed[n]: n for n in networks}
    if len(chosen) < len(networks):
        raise FusionbenchError(f"--task-networks {','.join(networks)}: one network of a task at a time")
    return TaskRequest(
        tasks=tasks,
        networks=chosen,
        protocols=protocols,
        seeds=tuple(range(seeds)),
        size=size,
        frozen_on=frozen_on,
        frozen=frozen,
        options=options,
    )


def describe(plan: Any) -> str:
    """The plan in words."""
    lines = [f"{len(plan.entries)} entries: " + ", ".join(e.id for e in plan.entries)]
    for s in plan.sources:
        part = f" of {s.expected}, partial" if s.partial else ""
        lines.append(f"{s.label} {s.split}: {len(s.ids)} pairs{part}; {s.token}: " + ", ".join(m.id for m in s.metrics))
    return "\n".join([*lines, *(f"skipped {s}" for s in plan.skipped)])


def report(plan: Any, outcome: Any, tables: list[Any], problems: list[str], written: list[Path], json_: bool) -> None:
    """Tables on stdout, everything else on stderr."""
    from fusionbench.report.formats import markdown, plain

    failures = [f"{d} {i} ({e}): {reason}" for (e, d, i), reason in sorted(outcome.failures.items())]
    by_metric: dict[tuple[str, str], list[str]] = {}
    for (e, d, m), ids in sorted(outcome.undefined.items()):
        by_metric.setdefault((m, e), []).append(f"{len(ids)} images of {d}, e.g. {ids[0]}")
    undefined = [f"{m} of {e} is undefined on {'; '.join(where)}" for (m, e), where in by_metric.items()]
    if json_:
        click.echo(
            json.dumps(
                {
                    "tables": plain([t.to_dict() for t in tables]),
                    "fused": outcome.fused,
                    "scored": outcome.scored,
                    "seconds": round(outcome.seconds, 2),
                    "failures": failures,
                    "undefined": undefined,
                    "skipped": [str(s) for s in outcome.skipped],
                    "problems": problems,
                    "files": [str(w) for w in written],
                },
                indent=1,
            )
        )
        return
    for table in tables:
        click.echo(markdown(table))
    for skip in outcome.skipped:
        click.echo(f"skipped {skip}", err=True)
    for line in undefined:
        click.echo(f"warning: {line}", err=True)
    for line in failures[:20]:
        click.echo(f"failed: {line}", err=True)
    if len(failures) > 20:
        click.echo(f"failed: ... and {len(failures) - 20} more; they are in the tables' notes", err=True)
    for line in problems:
        click.echo(f"error: {line}", err=True)
    click.echo(
        f"{outcome.fused} images fused, {outcome.cached} kept, {outcome.scored} values computed "
        f"in {outcome.seconds:.1f} s; "
        f"tables in {os.path.commonpath([str(w.parent) for w in written]) if written else '-'}",
        err=True,
    )
