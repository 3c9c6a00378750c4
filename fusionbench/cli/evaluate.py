"""``fusionbench eval``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench import environment
from fusionbench.cli.evaluation import Evaluation, skips
from fusionbench.cli.options import (
    Comma,
    as_json,
    compiled,
    data_root,
    located,
    names,
    out,
    placed,
    precision,
    profile_names,
    records,
)
from fusionbench.cli.progress import Bar
from fusionbench.cli.reading_options import ReadingOptions
from fusionbench.cli.spelling import note, say, spelt
from fusionbench.cli.spread_options import SpreadOptions
from fusionbench.cli.task_options import TaskOptions
from fusionbench.cli.words import one_kind_each
from fusionbench.commas import listed
from fusionbench.counting import counted

if TYPE_CHECKING:
    from fusionbench.evaluation.outcome import Outcome
    from fusionbench.evaluation.plan import Plan, Request
    from fusionbench.evaluation.task_plan import TaskRequest
    from fusionbench.evaluation.task_run import Problems
    from fusionbench.results.store import Store


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What is fused and scored, and how."""

    all_: Annotated[
        bool, click.option("--all", "all_", is_flag=True, help="Every runnable method on every dataset that is there.")
    ]
    methods: Annotated[
        tuple[str, ...],
        click.option(
            "--methods",
            type=Comma(),
            default=(),
            shell_complete=names("method"),
            help="e.g. average,gff[r1=30],refusion[ivif]",
        ),
    ]
    datasets: Annotated[
        tuple[str, ...],
        click.option(
            "--datasets", type=Comma(), default=(), shell_complete=names("dataset"), help="e.g. msrs,tno,folder=DIR"
        ),
    ]
    metrics: Annotated[
        tuple[str, ...],
        click.option(
            "--metrics", type=Comma(), default=(), shell_complete=names("metric"), help="e.g. vif,ssim@cddfuse"
        ),
    ]
    images: Annotated[
        tuple[str, ...],
        click.option("--images", multiple=True, metavar="NAME=DIR", help="Score pictures that another program made."),
    ]
    images_root: Annotated[
        Path | None,
        click.option(
            "--images-root",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Score every METHOD/DATASET folder of pictures in a tree.",
        ),
    ]
    profile: Annotated[
        str | None,
        click.option("--profile", shell_complete=profile_names, help="Metric profile: whose evaluator to follow."),
    ]
    output_rule: Annotated[
        str | None,
        click.option("--output-rule", help="released (each method's own) or one rule for all, e.g. clip-round."),
    ]
    located: Annotated[tuple[str, ...], located]
    split: Annotated[str | None, click.option("--split", help="Split other than the protocol's.")]
    limit: Annotated[
        int | None, click.option("--limit", type=click.IntRange(1), help="Only the first N images of each split.")
    ]
    device: Annotated[
        str,
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda (all there are), cuda:0,cuda:1..."),
    ]
    precision: Annotated[str | None, precision]
    compiled: Annotated[bool, compiled]
    batch: Annotated[
        int,
        click.option(
            "--batch",
            type=click.IntRange(1, 1024),
            metavar="N",
            default=None,
            callback=lambda _, __, given: given or 0,
            help="Pairs of 480x640 that go through a method at once [1 on a CPU, else 8].",
        ),
    ]
    jobs: Annotated[
        int, click.option("--jobs", type=click.IntRange(0), default=0, help="Images at once [all processors].")
    ]

    corrupt: Annotated[
        tuple[str, ...],
        click.option(
            "--corrupt",
            multiple=True,
            metavar="KIND[=LEVEL,...]",
            callback=one_kind_each,
            help="Also with corrupted pairs: shift, noise, blur, lowlight, fog, drop-ir, drop-vis.",
        ),
    ]
    fresh_versions: Annotated[
        bool,
        click.option(
            "--fresh-versions",
            is_flag=True,
            help="Compute again what other versions of torch, mmdet, mmsegmentation or another processor computed.",
        ),
    ]

    def request(self, data_root: Path | None, reading: ReadingOptions) -> Request:
        """The options as the library takes them."""
        from fusionbench.evaluation.plan import Request

        return Request(
            methods=self.methods,
            datasets=placed(self.datasets, self.located),
            metrics=self.metrics,
            images=self.images,
            images_root=self.images_root,
            reading=reading.reading(),
            data_root=data_root,
            split=self.split,
            profile=self.profile,
            output_rule=self.output_rule,
            limit=self.limit,
            device=self.device,
            jobs=self.jobs,
            all_=self.all_,
            fresh_versions=self.fresh_versions,
            corrupt=self.corrupt,
            precision=self.precision,
            compiled=self.compiled,
            batch=self.batch,
        )


@click.command("eval")
@records(asked=PlanOptions, read=ReadingOptions, spread=SpreadOptions, tasks=TaskOptions)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--who", default="", metavar="NAME", help="Sign the results: name, time, machine [FUSIONBENCH_WHO].")
@data_root
@out
@as_json
def eval_command(
    asked: PlanOptions,
    read: ReadingOptions,
    spread: SpreadOptions,
    tasks: TaskOptions,
    dry_run: bool,
    who: str,
    data_root: Path | None,
    out: Path,
    json_: bool,
) -> None:
    """Fuse and score methods on datasets, and write the tables.

    What is already in --out is not computed again; an interrupted run continues with the same command. Results of other
    versions of torch or another processor are kept and marked below the table; --fresh-versions computes them again.
    Exit code: 0 everything scored, 1 some images or methods failed (they are named), 2 nothing could be run.
    """
    if not (asked.all_ or asked.methods or asked.images or asked.images_root):
        raise click.UsageError("say what to run: --all, --methods, --images or --images-root")
    from fusionbench.evaluation import task_checks
    from fusionbench.evaluation.plan import make_plan
    from fusionbench.evaluation.shards import task_parts
    from fusionbench.report.writing import write_tables
    from fusionbench.results.store import Store
    from fusionbench.runtime.allocator import keep_memory
    from fusionbench.runtime.arithmetic import check_compiler
    from fusionbench.runtime.device import check_device, devices_of

    keep_memory()
    environment.sign(who)
    devices, shard = devices_of(asked.device), spread.part()
    spread.check(devices, asked.fresh_versions)
    asked_of = replace(asked.request(data_root, read), device=devices[0])
    whole = make_plan(asked_of)
    for line in whole.notes:
        note(line)
    plan = shard.part(whole) if shard else whole
    if dry_run:
        say(json.dumps(plan.summary().plain(), indent=1) if json_ else describe(plan))
        if spread.cluster and not json_:
            say(spread.describe(asked_of, plan, out, data_root))
        return
    for device in devices:
        check_device(device)
    if any(entry.compiled for entry in plan.entries):
        check_compiler(devices[0])
    parts: list[tuple[Plan, TaskRequest]] = []
    if request := tasks.request(whole, out):
        request = task_checks.check(whole, request)
        parts = task_parts(whole, request) if shard or spread.cluster else [(plan, request)]
        parts = [*shard.of(parts)] if shard else parts
    work = spread.work(asked_of, devices, data_root)
    with Store(out) as store, Bar(json_) as bar:
        result = run(plan, store, bar, lambda: work(plan, parts, store, bar))
        files = write_tables(out, result.tables, store)
    if json_:
        click.echo(json.dumps(result.to_dict(files), indent=1))
    else:
        result.print(files)
    sys.exit(result.exit_code(plan))


def run(plan: Plan, store: Store, bar: Bar, work: Callable[[], tuple[Outcome, Problems]]) -> Evaluation:
    """Fuse, score, train and score the task networks (`work`), and make the tables."""
    from fusionbench.errors import FusionbenchError
    from fusionbench.report.tables import build
    from fusionbench.results.schema import FusedRow

    for source in plan.sources:
        if source.unmatched:
            note(f"warning: {source.unmatched}")
        if source.partial:
            note(f"warning: {source.label} {source.split}: {len(source.ids)} of {source.expected} pairs, partial")
        if source.shard:
            note(f"{source.label}: shard {source.shard}, complete when the stores of all shards are merged")
    bar.expect(phases(plan))
    store.shelf.begin()
    outcome, problems = work()
    outcome.odd += store.shelf.settled(lambda: store.rows(FusedRow))
    result = Evaluation(outcome=outcome)
    for (label, task), reason in problems.gaps.items():
        note(f"warning: {task} on {label}: {reason}")
    for line in dict.fromkeys(problems.kept):
        note(f"warning: {line}")
    result.problems += dict.fromkeys(problems.failures)
    for source in plan.sources:
        columns = [m.id for m in source.metrics if m.id not in outcome.broken]
        keys = [e.key for e in plan.entries_of(source)]
        try:
            if columns and keys and source.ids:
                result.tables.append(build(store, source.board(), columns, keys, ids=source.ids))
        except FusionbenchError as error:
            result.problems.append(str(error))
    result.problems += [f"{name}: left out, it failed: {reason}" for name, reason in outcome.broken.items()]
    return result


def phases(plan: Plan) -> dict[str, int]:
    """What the runner does, in its order, and how many pictures each takes."""
    from fusionbench.evaluation.outcome import verb_of

    read = {f"reading {source.label}": len(source.ids) for source in plan.sources}
    fuse = {f"{verb_of(entry)} {entry.id}": sum(len(s.ids) for s in plan.sources_of(entry)) for entry in plan.entries}
    score = {f"scoring {s.label}": len(s.ids) * max(1, len(plan.entries_of(s))) for s in plan.sources}
    return read | fuse | score


def describe(plan: Plan) -> str:
    """The plan in words."""
    lines = [f"{counted(len(plan.entries), 'entry')}: " + listed(e.id for e in plan.entries)]
    for s in plan.sources:
        part = f" of {s.expected}, partial" if s.partial else ""
        lines.append(
            f"{s.label} {s.split}: {counted(len(s.ids), 'pair')}{part}; {s.token}: "
            + ", ".join(m.id for m in s.metrics)
        )
    lines += [f"warning: {s.unmatched}" for s in plan.sources if s.unmatched]
    return "\n".join([*lines, *(spelt(f"skipped {line}") for line in skips(plan.skipped))])
