"""``fusionbench new``."""

from __future__ import annotations

from pathlib import Path

import click

from fusionbench.cli.spelling import note, say
from fusionbench.cli.words import OneOf
from fusionbench.plugins.scaffold import KINDS, begin, marked


@click.command("new")
@click.argument("kind", type=OneOf(tuple(KINDS)))
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("plugins"),
    show_default=True,
    metavar="DIR",
    help="Folder of plugins, as --plugins takes it.",
)
def new_command(kind: str, name: str, output: Path) -> None:
    """Begin a plugin: a folder that passes `validate` at once, the places to fill in marked.

    KIND is method, metric, dataset, task or recipe; a recipe is a learned method with its network and how it is
    trained.
    """
    files = begin(kind, name, output)
    for path, number, line in marked(files):
        say(f"{path}:{number}: {line}")
    note(f"{len(files)} files in {output / name}; try them: fusionbench --plugins {output} validate {name}")
