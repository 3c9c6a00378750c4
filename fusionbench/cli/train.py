"""``fusionbench train``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from fusionbench.cli.options import Comma, data_root, names


def _trainable(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    from fusionbench.trainable import trainings

    return [CompletionItem(t.name, help=t.card.title) for t in trainings() if t.name.startswith(typed)]


@click.command("train")
@click.argument("name", shell_complete=_trainable)
@click.argument("more", nargs=-1, metavar="")
@click.option("--dataset", "datasets", type=Comma(), required=True, shell_complete=names("dataset"), help="e.g. fmb")
@click.option("--stage", help="For methods that are trained in stages.")
@click.option("--size", help="A size of the recipe, e.g. tiny (two cores, minutes); without it, as published.")
@click.option("--on", "entry", metavar="ENTRY", help="For task networks: train on this entry's fused images [visible].")
@click.option("--cfg-options", "options", multiple=True, metavar="KEY=VALUE...", help="Change settings of the recipe.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The run's folder [runs/NAME-DATASET...].")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in the folder.")
@click.option("--as", "weights_name", metavar="WEIGHTS", help="For methods: name of the new entry [dataset-size-seed].")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1...; under torchrun each GPU.")
@click.option("--max-steps", type=click.IntRange(1), help="Stop when so many steps are done; --resume goes on.")
@click.option("--max-seconds", type=click.FloatRange(0), help="Stop after so much time; --resume goes on.")
@click.option("--show-config", is_flag=True, help="Print the settings and stop.")
@data_root
def train_command(
    name: str,
    more: tuple[str, ...],
    datasets: tuple[str, ...],
    stage: str | None,
    size: str | None,
    entry: str | None,
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
    from fusionbench.train_run import Order, command_line, run

    if more and not options:
        raise click.UsageError(f"what is {more[0]!r}? Settings are given as --cfg-options {more[0]}")
    # --cfg-options a=1 b=2 as OpenMMLab's tools have it: what follows the first is left over for us
    order = Order(name, datasets, stage, size, entry, (*options, *more), out, resume, weights_name, device, data_root)
    if show_config:
        click.echo(order.settings_text(), nl=False)
        return
    first = os.environ.get("RANK", "0") == "0"

    def note(text: str) -> None:
        if first:
            click.echo(text, err=True)

    try:
        result: Any = run(order, command_line(), note, max_steps, max_seconds)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None
    except Exception as error:
        from fusionbench.errors import FusionbenchError

        if isinstance(error, FusionbenchError) and not first:
            click.echo(f"error (process {os.environ['RANK']}): {error}", err=True)
            raise click.exceptions.Exit(2) from None
        raise
    for line in result:
        note(line)
