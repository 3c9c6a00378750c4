"""``fusionbench train``."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
from click.shell_completion import CompletionItem

from fusionbench.cli import signal_of
from fusionbench.cli.logger_option import chosen_loggers, logger_option
from fusionbench.cli.options import Comma, Number, command_line, data_root, located, names, placed, records
from fusionbench.cli.reading_options import ReadingOptions
from fusionbench.cli.spelling import note, say, spelt
from fusionbench.cli.spread_options import cluster, slurm
from fusionbench.cli.sweep import SweepOptions, run_all, run_elsewhere
from fusionbench.cluster.choosing import check_cluster
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.trainable import trainings

if TYPE_CHECKING:
    from fusionbench.training.options import Launch
    from fusionbench.training.request import TrainRequest

TORCHRUN = {  # its environment variables
    "rank": "RANK",
    "world": "WORLD_SIZE",
    "local_rank": "LOCAL_RANK",
    "local_world": "LOCAL_WORLD_SIZE",
}


def _trainable(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    return [CompletionItem(t.name, help=t.card.title) for t in trainings() if t.name.startswith(typed)]


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """Which recipe is followed, on which data, and what is changed of it."""

    datasets: Annotated[
        tuple[str, ...],
        click.option(
            "--datasets",
            type=Comma(),
            default=(),
            shell_complete=names("dataset"),
            help="e.g. fmb, or several where the recipe takes them.",
        ),
    ]
    located: Annotated[tuple[str, ...], located]
    stage: Annotated[str | None, click.option("--stage", help="For methods that are trained in stages.")]
    size: Annotated[
        str | None,
        click.option("--size", help="A size of the recipe, e.g. tiny (two cores, minutes); without it, as published."),
    ]
    entry: Annotated[
        str | None,
        click.option(
            "--on",
            "entry",
            metavar="ENTRY",
            help="For task networks: train on this entry's fused images [visible].",
        ),
    ]
    start: Annotated[
        str,
        click.option(
            "--from",
            "start",
            default="",
            metavar="WEIGHTS",
            help="Start from weights: a checkpoint, a run's folder, or the name of weights of the method.",
        ),
    ]
    file: Annotated[
        Path | None,
        click.option(
            "--config",
            "file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Settings from an OpenMMLab config; a .py file is Python that is run.",
        ),
    ]
    options: Annotated[
        tuple[str, ...],
        click.option(
            "--cfg-options",
            "options",
            multiple=True,
            metavar="KEY=VALUE...",
            help="Change settings of the recipe.",
        ),
    ]
    pairs: Annotated[
        int | None,
        click.option(
            "--pairs",
            type=click.IntRange(1),
            help="As long as it takes to see so many pairs; settings of length are changed in proportion.",
        ),
    ]
    precision: Annotated[
        str | None,
        click.option(
            "--precision", metavar="NAME", help="The setting of that name: fp32 (or float32), tf32, bf16, fp16."
        ),
    ]

    def check(self, request: TrainRequest) -> None:
        """Refuse an entry for what is not trained on one's pictures."""
        if self.entry and not request.chosen.network:
            raise FusionbenchError(f"--on is for task networks; {request.name} is trained on the source pairs")

    def changes(self) -> tuple[str, ...]:
        """Settings to change, ``KEY=VALUE``; float32 is what `eval` calls the recipes' fp32."""
        asked = {"float32": "fp32"}.get(self.precision or "", self.precision)
        return (*self.options, f"precision={asked}") if asked else self.options


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Where the run is stored and how it is done."""

    out: Annotated[
        Path | None,
        click.option(
            "--out", type=click.Path(path_type=Path), metavar="DIR", help="The run's folder [runs/NAME-DATASET...]."
        ),
    ]
    resume: Annotated[
        bool, click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in the folder.")
    ]
    weights_name: Annotated[
        str | None,
        click.option(
            "--as",
            "weights_name",
            metavar="WEIGHTS",
            help="For methods: name of the new entry [dataset-size-seed].",
        ),
    ]
    device: Annotated[
        str,
        click.option(
            "--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1...; under torchrun each GPU."
        ),
    ]
    max_steps: Annotated[
        int | None,
        click.option("--max-steps", type=click.IntRange(1), help="Stop when so many steps are done; --resume goes on."),
    ]
    max_seconds: Annotated[
        float | None,
        click.option("--max-seconds", type=Number(0), help="Stop after so much time; --resume goes on."),
    ]
    loggers: Annotated[tuple[str, ...], logger_option]
    profile: Annotated[
        int | None,
        click.option(
            "--profile",
            type=click.IntRange(1),
            metavar="STEPS",
            help="Watch so many steps with torch.profiler; a table and a trace go into the run's folder.",
        ),
    ]
    cluster: Annotated[str | None, cluster]
    slurm: Annotated[tuple[str, ...], slurm]

    def check(self, several: SweepOptions) -> None:
        """Refuse what does not go together with a cluster."""
        if self.cluster and not several:
            raise FusionbenchError("--cluster: for the runs of a --sweep, or of --seeds")
        if self.cluster and (self.max_steps or self.max_seconds is not None or self.profile or self.loggers):
            raise FusionbenchError("--cluster: whole runs only, without --max-steps, --max-seconds, --profile, loggers")
        check_cluster(self.cluster, self.slurm)


@click.command("train")
@click.argument("name", shell_complete=_trainable)
@click.argument("more", nargs=-1, metavar="")
@records(recipe=RecipeOptions, several=SweepOptions, how=RunFlags, read=ReadingOptions)
@click.option("--show-config", is_flag=True, help="Print every setting and stop.")
@data_root
def train_command(
    name: str,
    more: tuple[str, ...],
    recipe: RecipeOptions,
    several: SweepOptions,
    how: RunFlags,
    read: ReadingOptions,
    show_config: bool,
    data_root: Path | None,
) -> None:
    """Train a method or a task network by its recipe.

    What a run leaves in its folder: checkpoints, the loss log, sample pictures, its settings, weights.safetensors.
    A trained method is at once an entry of `eval`. A killed run goes on with --resume, with the same numbers.
    With --sweep or --seeds: several runs and a table of them. Exit code then: 0, 1 some runs failed, 2 all did.
    """
    from fusionbench.training.request import TrainRequest

    if more and not recipe.options:
        raise click.UsageError(f"what is {more[0]!r}? Settings are given as --cfg-options {more[0]}")
    datasets = placed(recipe.datasets, recipe.located)
    if not datasets:
        raise click.UsageError(f"say what to train on: --datasets NAME, or --data NAME=DIR; {name} has {_known(name)}")
    request = TrainRequest(
        name=name,
        datasets=datasets,
        stage=recipe.stage,
        size=recipe.size,
        entry=recipe.entry,
        file=_settings_in(recipe.file),
        options=(*recipe.changes(), *more),  # `--cfg-options a=1 b=2`, as OpenMMLab's tools have it: b=2 is in `more`
        folder=how.out,
        resume=how.resume,
        weights_name=how.weights_name,
        device=how.device,
        data_root=data_root,
        start=recipe.start,
        reading=read.reading(),
    )
    launch = _launch()
    try:
        how.check(several)
        recipe.check(request)
        request = _lengthened(request.canonical(), recipe.pairs, several)
        if several:
            sys.exit(sweep(request, several, how, launch, show_config))
        if show_config:
            say(request.settings_text(), nl=False)
            return
        train(request, how, launch)
    except KeyboardInterrupt as stop:
        if not stop.args and launch.rank == 0:  # not between two steps, where the loop says it
            note(f"stopped; {_kept(request, several)}the same command with --resume goes on")
        raise click.exceptions.Exit(128 + signal_of(stop)) from None
    except FusionbenchError as error:
        text = spelt(str(error))
        if launch.rank == 0:
            raise FusionbenchError(text) from None
        say(f"error (process {launch.rank}): {text}", err=True)
        raise click.exceptions.Exit(2) from None


def _kept(request: TrainRequest, several: SweepOptions) -> str:
    """What there is of a run that was stopped."""
    from fusionbench.training.checkpoint import Checkpoints

    if several:
        return ""
    return "the newest checkpoint is kept, " if Checkpoints(request.out).files() else "there is no checkpoint yet, "


def _lengthened(request: TrainRequest, pairs: int | None, several: SweepOptions) -> TrainRequest:
    """The request, as long as it takes to see so many pairs where they are asked for."""
    from fusionbench.training.length import lengthened

    if pairs is None:
        return request
    if several.sweep:
        raise FusionbenchError("--pairs and --sweep: each of the values may need another length; take --seeds, or one")
    request, seen = lengthened(request, pairs)
    note(f"--pairs {pairs}: sees {seen}, with {' '.join(request.options)}")
    return request


def _known(name: str) -> str:
    """The datasets that the recipes of a name are for."""
    known = dict.fromkeys(dataset for t in trainings() if t.name == name for dataset in t.datasets)
    return ", ".join(known) or "no recipe"


def _launch() -> Launch:
    """Which of the processes this is that torchrun started; the only one without it."""
    from fusionbench.training.options import Launch

    return Launch(**{field: int(os.environ[name]) for field, name in TORCHRUN.items() if name in os.environ})


def _settings_in(path: Path | None) -> dict[str, Any]:
    """The settings that a config file holds."""
    if path is None:
        return {}
    from fusionbench.tasks.openmmlab import read_settings

    return read_settings(path)


def sweep(request: TrainRequest, several: SweepOptions, how: RunFlags, launch: Launch, show_config: bool) -> int:
    """Train with several values and seeds, or print the settings of every run; the exit code."""
    from fusionbench.training.sweep import plan

    if launch.world > 1:
        raise FusionbenchError("--sweep and --seeds: runs come one after the other in one process; not under torchrun")
    runs = plan(request, several.sweep, several.seeds or 1, how.resume or show_config)
    if show_config:
        click.echo(json.dumps({run.name: json.loads(run.request.settings_text()) for run in runs}, indent=1))
        return 0
    _ = request.opened  # what is wrong with the data is wrong for all
    if how.cluster:
        return run_elsewhere(runs, how.cluster, how.slurm, request)
    return run_all(runs, lambda own, left: train(own, replace(how, max_seconds=left), launch), how.max_seconds)


def train(request: TrainRequest, how: RunFlags, launch: Launch) -> None:
    """Fuse the training pictures where an entry's are asked for, then train; prints what came out."""
    from fusionbench.runtime.allocator import keep_memory
    from fusionbench.training.options import RunOptions
    from fusionbench.training.run import run

    keep_memory()

    def note(text: str) -> None:
        if launch.rank == 0:
            say(spelt(text), err=True)

    pictures = None
    if request.training.network and request.entry:
        from fusionbench.evaluation.entries import one_entry
        from fusionbench.evaluation.pictures import training_pictures
        from fusionbench.runtime import locations

        request = replace(request, entry=one_entry(request.entry).id)
        pictures = training_pictures(request, locations.current().results, note)
    options = RunOptions(
        command=command_line(),
        note=note,
        max_steps=how.max_steps,
        max_seconds=how.max_seconds,
        profile=how.profile or 0,
        launch=launch,
        loggers=chosen_loggers(how.loggers),
    )
    for line in run(request, options, pictures):
        note(line)
