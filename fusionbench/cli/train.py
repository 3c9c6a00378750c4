"""``fusionbench train``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from fusionbench.cli.options import Comma, command_line, data_root, names
from fusionbench.errors import FusionbenchError

if TYPE_CHECKING:
    from fusionbench.training.options import RunOptions
    from fusionbench.training.request import TrainRequest

LAUNCH = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}  # torchrun's variables, and what is meant without it


def _trainable(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    from fusionbench.plugins.trainable import trainings

    return [CompletionItem(t.name, help=t.card.title) for t in trainings() if t.name.startswith(typed)]


@click.command("train")
@click.argument("name", shell_complete=_trainable)
@click.argument("more", nargs=-1, metavar="")
@click.option("--dataset", "datasets", type=Comma(), required=True, shell_complete=names("dataset"), help="e.g. fmb")
@click.option("--stage", help="For methods that are trained in stages.")
@click.option("--size", help="A size of the recipe, e.g. tiny (two cores, minutes); without it, as published.")
@click.option("--on", "entry", metavar="ENTRY", help="For task networks: train on this entry's fused images [visible].")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings from an OpenMMLab config; a .py file is Python that is run.",
)
@click.option("--cfg-options", "options", multiple=True, metavar="KEY=VALUE...", help="Change settings of the recipe.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The run's folder [runs/NAME-DATASET...].")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in the folder.")
@click.option("--as", "weights_name", metavar="WEIGHTS", help="For methods: name of the new entry [dataset-size-seed].")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1...; under torchrun each GPU.")
@click.option("--max-steps", type=click.IntRange(1), help="Stop when so many steps are done; --resume goes on.")
@click.option("--max-seconds", type=click.FloatRange(0), help="Stop after so much time; --resume goes on.")
@click.option("--show-config", is_flag=True, help="Print every setting and stop.")
@data_root
def train_command(
    name: str,
    more: tuple[str, ...],
    datasets: tuple[str, ...],
    stage: str | None,
    size: str | None,
    entry: str | None,
    config_file: Path | None,
    options: tuple[str, ...],
    out: Path | None,
    resume: bool,
    weights_name: str | None,
    device: str,
    max_steps: int | None,
    max_seconds: float | None,
    show_config: bool,
    data_root: Path | None,
) -> None:
    """Train a method or a task network by its recipe.

    What a run leaves in its folder: checkpoints, the loss log, sample pictures, its settings, weights.safetensors.
    A trained method is at once an entry of `eval`. A killed run goes on with --resume, with the same numbers.
    """
    from fusionbench.training.options import Launch, RunOptions
    from fusionbench.training.request import TrainRequest

    if more and not options:
        raise click.UsageError(f"what is {more[0]!r}? Settings are given as --cfg-options {more[0]}")
    request = TrainRequest(
        name=name,
        datasets=datasets,
        stage=stage,
        size=size,
        entry=entry,
        file=_settings_in(config_file),
        options=(*options, *more),  # --cfg-options a=1 b=2 as OpenMMLab's tools have it: what follows the first is left
        folder=out,
        resume=resume,
        weights_name=weights_name,
        device=device,
        data_root=data_root,
    )
    if entry and not request.chosen.network:
        raise FusionbenchError(f"--on is for task networks; {name} is trained on the source pairs")
    if show_config:
        click.echo(request.settings_text(), nl=False)
        return
    rank, world, local_rank = (int(os.environ.get(name, usual)) for name, usual in LAUNCH.items())

    def note(text: str) -> None:
        if rank == 0:
            click.echo(text, err=True)

    launch = Launch(rank=rank, world=world, local_rank=local_rank)
    run_options = RunOptions(
        command=command_line(), note=note, max_steps=max_steps, max_seconds=max_seconds, launch=launch
    )
    try:
        for line in train(request, run_options):
            note(line)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None
    except FusionbenchError as error:
        if rank == 0:
            raise
        click.echo(f"error (process {rank}): {error}", err=True)
        raise click.exceptions.Exit(2) from None


def _settings_in(path: Path | None) -> dict[str, Any]:
    """The settings that a config file holds."""
    if path is None:
        return {}
    try:
        from fusionbench.tasks.openmmlab import read_settings

        settings: dict[str, Any] = read_settings(path)
    except ModuleNotFoundError as error:
        raise FusionbenchError(
            f"--config: {error.name} is missing: pip install 'ivif-fusionbench[tasks]'; "
            "single settings can be given as --cfg-options"
        ) from None
    return settings


def train(request: TrainRequest, options: RunOptions) -> list[str]:
    """Fuse the training pictures where an entry's are asked for, then train; lines that tell what came out."""
    from fusionbench.training.run import run

    pictures = None
    if request.training.network and request.entry:
        from fusionbench.evaluation.pictures import training_pictures
        from fusionbench.runtime import locations

        pictures = training_pictures(request, locations.current().results, options.note)
    return run(request, options, pictures)
