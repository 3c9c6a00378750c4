"""``fusionbench verify``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fusionbench.cli.options import data_root
from fusionbench.cli.spelling import finding, note
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError


@click.command("verify")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER...")
@click.option(
    "--pictures",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    metavar="N",
    help="Of each entry and dataset, compute the scores of N pictures again.",
)
@click.option("--available", is_flag=True, help="Only note rows whose datasets are not here.")
@data_root
def verify_command(folders: tuple[Path, ...], pictures: int, available: bool, data_root: Path | None) -> None:
    """Look at results that somebody hands in, before they are merged.

    A FOLDER holds results.db and the pictures of its rows, as `merge --pictures N` writes it. Nothing else may lie in
    it; every row is signed, every picture is what its record says, and scores are what the pictures have. Exit code 1
    where anything is not so or cannot be checked.
    """
    from fusionbench.report.submission import check

    refused = 0
    for folder in folders:
        try:
            found = check(folder, pictures, data_root, available)
        except FusionbenchError as error:
            finding(f"refused: {error}")
            refused += 1
            continue
        for line in found.notes:
            note(f"{folder}: {line}")
        for line in found.faults:
            finding(f"refused: {folder}: {line}")
        refused += bool(found.faults)
        checked = f"{counted(found.pictures, 'picture')} as recorded, {counted(found.scores, 'score')} computed again"
        note(f"{folder}: {checked}")
    note(f"{len(folders) - refused} of {len(folders)} can be taken")
    sys.exit(1 if refused else 0)
