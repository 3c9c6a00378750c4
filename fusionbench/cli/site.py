"""``fusionbench site``."""

from __future__ import annotations

from pathlib import Path

import click

from fusionbench.cli.options import Comma, datasets, names
from fusionbench.cli.spelling import note, say
from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError


@click.command("site")
@click.argument("named", nargs=-1, type=click.Path(path_type=Path), metavar="[STORE or TABLES]...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Of the page: its own folder."
)
@click.option("--title", default="Infrared-visible fusion", show_default=True, help="Of the page.")
@datasets
@click.option(
    "--pictures",
    metavar="N|ID,...",
    help="Pictures of a store: of N images of each dataset, those on which entries differ most, or of these.",
)
@click.option(
    "--entries",
    type=Comma(),
    default=(),
    shell_complete=names("method"),
    help="Whose pictures [the eight best and the sources].",
)
@click.option(
    "--training",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A training run, or its .jsonl, whose curves are shown; repeatable.",
)
@click.option(
    "--confirmations",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What authors said of their rows [confirmations.toml of the committed tables].",
)
@click.option(
    "--published", type=click.Path(path_type=Path), metavar="FILE", help="What papers print [published.csv of ours]."
)
def site_command(
    named: tuple[Path, ...],
    out: Path,
    title: str,
    datasets: tuple[str, ...],
    pictures: str | None,
    entries: tuple[str, ...],
    training: tuple[Path, ...],
    confirmations: Path | None,
    published: Path | None,
) -> None:
    """Write a leaderboard as a static page, of results folders and tables; without any, of the committed tables.

    No server, no network: open DIR/index.html, or put DIR on any web space.
    """
    from fusionbench.report.site.page import Request, write_page
    from fusionbench.report.site.pictures import wanted

    if entries and pictures is None:
        raise FusionbenchError("--entries says whose pictures are shown; give --pictures N too")
    request = Request(
        named=named,
        title=title,
        datasets=datasets,
        pictures=None if pictures is None else wanted(pictures, entries),
        training=training,
        confirmations=confirmations,
        published=published,
    )
    count, size, notes = write_page(out, request)
    for line in notes:
        note(line)
    note(f"{counted(count, 'table')}, {size / 1e6:.1f} MB; open it in a browser:")
    say(str(out / "index.html"))
