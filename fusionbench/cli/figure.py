"""``fusionbench figure``."""

from __future__ import annotations

from pathlib import Path

import click

from fusionbench.cli.options import names
from fusionbench.cli.spelling import say
from fusionbench.cli.words import Group


@click.group("figure", cls=Group)
def figure_command() -> None:
    """Pictures of what a method does inside."""


@figure_command.command("view")
@click.argument("spec", metavar="METHOD:VIEW", shell_complete=names("method"))
@click.option(
    "--pair",
    "pair",
    nargs=2,
    type=click.Path(path_type=Path),
    required=True,
    metavar="IR VIS",
    help="An infrared and a visible image.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("view.png"), show_default=True)
def view(spec: str, pair: tuple[Path, Path], output: Path) -> None:
    """Draw a view that a method publishes, e.g. tdfusion:weights, one row per checkpoint.

    The method may be narrowed as in eval: 'tdfusion[fmb]:weights', 'cldyn[rsc,task=saliency]:change'. A view shows
    the maps that the method's card lists for it, all with values from 0 to 1 on one scale.
    """
    from fusionbench.report.figures import draw_view

    say(f"{draw_view(spec, *pair, output)}", err=True)
