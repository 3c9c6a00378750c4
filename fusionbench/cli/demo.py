"""``fusionbench demo``."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionbench.cli.options import names, plugins
from fusionbench.cli.spelling import note, say
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import cards

if TYPE_CHECKING:
    from fusionbench.report.tables import Table
    from fusionbench.results.store import Store

SHOWN = 4  # methods in the picture


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    metavar="DIR",
    help="Pairs, results and page.",
)
@click.option("--like", shell_complete=names("dataset"), help="In whose layout [one with the most kinds of labels].")
@click.option("--pairs", type=click.IntRange(1, 1000), default=12, show_default=True, help="How many.")
@click.option("--jobs", type=click.IntRange(0), default=0, help="Images at once [all processors].")
@click.pass_context
def demo_command(ctx: click.Context, out: Path, like: str | None, pairs: int, jobs: int) -> None:
    """Draw pairs, fuse them with every method that is here, score, rank, and write a page with all of it.

    Nothing is downloaded. What is there already is kept; the last line is the page.
    """
    card = cards("dataset")[plugins(like, "dataset")[0].name if like else usual()]
    if not card.facts.folders:
        raise FusionbenchError(f"--like {like}: its card names no folder")
    folder = out / "data" / card.facts.folders[0]
    if not folder.is_dir():
        _run(ctx, "data", "synth", "--like", card.name, "--test", str(pairs), "--out", str(folder))
    root, results = str(out / "data"), str(out / "results")
    words = ("--datasets", card.name, "--data-root", root, "--out", results, "--jobs", str(jobs))
    code = _run(ctx, "eval", "--all", *words)
    if code == 2:  # nothing was scored, and it has been said why
        ctx.exit(code)
    page = write_page(out, card.name)
    note(f"the results as a page; open it in a browser: {page.resolve()}")
    say(str(page))
    ctx.exit(code)


def usual() -> str:
    """The dataset whose generated pairs have the most kinds of labels."""
    drawn = {name: card.facts.scenes for name, card in cards("dataset").items() if card.facts.scenes}
    return max(drawn, key=lambda name: bool(drawn[name].masks) + bool(drawn[name].boxes) + drawn[name].saliency)


def _run(ctx: click.Context, *words: str) -> int:
    """Another command, as if it had been typed; its exit code."""
    command = ctx.find_root().command
    try:
        found = command.main(list(words), prog_name="fusionbench", standalone_mode=False, obj=list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    return int(found or 0)


def write_page(out: Path, dataset: str) -> Path:
    """``index.html`` with the picture of a pair, the table, and what to do next.

    Raises:
        FusionbenchError: no results, or a file that cannot be written.
    """
    from fusionbench.report.compare_figure import Grid, draw_compare
    from fusionbench.report.sheets import as_html
    from fusionbench.report.tables import build
    from fusionbench.report.writing import write_text
    from fusionbench.results.store import Store

    with Store(out / "results", create=False) as store:
        table = build(store, store.boards(dataset)[0])
        draw_compare(store, _best(store, table), Grid(pick=2), out / "compare.png", out / "data")
    picture = (
        '<p><img src="compare.png" style="max-width:100%" alt="pairs, and what the best methods made of them"></p>'
    )
    steps = [
        "fusionbench list methods",
        "fusionbench eval --all --datasets msrs --data-root DIR   # DIR holds MSRS/, as its authors release it",
        "fusionbench eval --images Ours=PICTURES --datasets msrs --data-root DIR",
        "fusionbench leaderboard -o table.tex",
    ]
    after = f"<p>Next, with real pairs:</p><pre>{html.escape(chr(10).join(steps))}</pre>"
    text = as_html(table)
    return write_text(
        out / "index.html", text.replace("<table>", f"{picture}\n<table>", 1).replace("</body>", f"{after}</body>")
    )


def _best(store: Store, table: Table) -> Table:
    """The table with the methods of the best average ranks alone."""
    from fusionbench.report.tables import build

    ids = [row.id for row in table.ranked[:SHOWN]]
    return build(store, table.board, [m.id for m in table.metrics[:4]], entry_ids=ids)
