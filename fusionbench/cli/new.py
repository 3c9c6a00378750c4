"""``fusionbench new``."""

from __future__ import annotations

from pathlib import Path

import click

from fusionbench.cli.spelling import note, say
from fusionbench.cli.words import OneOf
from fusionbench.counting import counted
from fusionbench.plugins.scaffold import KINDS, begin, marked

REPOSITORY = "results-repository"


@click.command("new")
@click.argument("kind", type=OneOf((*KINDS, REPOSITORY)))
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of plugins, as --plugins takes it [plugins]; of a repository, where its folder lies [.].",
)
def new_command(kind: str, name: str, output: Path | None) -> None:
    """Begin a plugin: a folder that passes `validate` at once, the places to fill in marked.

    KIND is method, metric, dataset, task or recipe; a recipe is a learned method with its network and how it is
    trained. Or it is results-repository: a folder of many people's results, with what checks them.
    """
    if kind == REPOSITORY:
        from fusionbench.report.repository import begin_repository

        folder = output or Path()
        files, tried = begin_repository(name, folder), f"try them: {folder / name / 'check.sh'}"
    else:
        folder = output or Path("plugins")
        files, tried = begin(kind, name, folder), f"try them: fusionbench --plugins {folder} validate {name}"
    for path, number, line in marked(files):
        say(f"{path}:{number}: {line}")
    note(f"{counted(len(files), 'file')} in {folder / name}; {tried}")
