"""``fusionbench data``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from fusionbench.cli.options import Bar, as_json, data_root, names
from fusionbench.plugins.cards import card, cards


@click.group("data")
def data_command() -> None:
    """Datasets: what is there, whether it is sound, how to get it, and scenes to start with."""


@data_command.command("list")
@data_root
@as_json
def list_data(data_root: Path | None, json_: bool) -> None:
    """What is there, split by split, and what is expected."""
    from fusionbench.data import open_spec
    from fusionbench.data.opening import data_root as resolved
    from fusionbench.errors import FusionbenchError

    rows: list[dict[str, Any]] = []
    for name, entry in cards("dataset").items():
        try:
            dataset = open_spec(name, data_root)
        except FusionbenchError:
            rows.append({"name": name, "title": entry.title, "root": None, "splits": {}})
            continue
        splits = {
            s: {"here": len(dataset.ids(s)), "expected": dataset.split(s).count, "sha256": dataset.split(s).sha256}
            for s in dataset.splits()
        }
        rows.append({"name": name, "title": entry.title, "root": str(dataset.root), "splits": splits})
    if json_:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        found = ", ".join(f"{s} {n['here']}/{n['expected'] or '?'}" for s, n in row["splits"].items() if n["here"])
        click.echo(f"{row['name']:<10} {found or 'not here':<40} {row['root'] or ''}".rstrip())
    click.echo(f"looked in {resolved(data_root)}; `fusionbench show NAME` says how to get a dataset", err=True)


@data_command.command("check")
@click.argument("name", shell_complete=names("dataset"))
@click.option("--split", "splits", multiple=True, help="Only this split (repeatable).")
@click.option("--complete", is_flag=True, help="Exit non-zero also when images are missing.")
@data_root
@as_json
def check(name: str, splits: tuple[str, ...], complete: bool, data_root: Path | None, json_: bool) -> None:
    """Check counts, pairing, sizes, labels, readability and near-duplicates between train and test.

    NAME may be name=FOLDER. Exit code 1 on damage, or on missing images with --complete.
    """
    from fusionbench.data import open_spec
    from fusionbench.data.checks import check as run_check

    with Bar(json_) as bar:
        report = run_check(open_spec(name, data_root), splits or None, complete, progress=bar)
    if json_:
        click.echo(json.dumps(report.to_dict(), indent=1))
    else:
        click.echo(report.text())
    sys.exit(report.exit_code(complete))


@data_command.command("download")
@click.argument("name", shell_complete=names("dataset"))
@click.option("--url", help="Address of the archive, when the card has none.")
@click.option("--sha256", help="Its SHA-256, when the card has none.")
@data_root
def download(name: str, url: str | None, sha256: str | None, data_root: Path | None) -> None:
    """Download and unpack a dataset that has a plain address; for the others, print what to do."""
    from fusionbench.data.acquire import fetch
    from fusionbench.data.opening import data_root as resolved

    with Bar() as bar:
        where = fetch(card("dataset", name), resolved(data_root), url, sha256, bar)
    click.echo(f"{name} is in {where}; check it: fusionbench data check {name}={where}")


class Size(click.ParamType):
    """``HxW``."""

    name = "HxW"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Two numbers of at least 32."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)[x×](\d+)", str(value))
        if not match or min(map(int, match.groups())) < 32:
            self.fail(f"{value!r} is not HxW with at least 32 pixels each, e.g. 256x320", param, ctx)
        return int(match[1]), int(match[2])


@data_command.command("synth")
@click.option(
    "--like",
    required=True,
    shell_complete=names("dataset"),
    help="Whose layout and classes: msrs, fmb, m3fd, llvip, vt5000.",
)
@click.option("--out", "target", required=True, type=click.Path(path_type=Path), help="The dataset's new folder.")
@click.option("--train", type=click.IntRange(0), default=0, show_default=True, help="Training pairs.")
@click.option("--test", type=click.IntRange(0), default=12, show_default=True, help="Test pairs.")
@click.option("--size", type=Size(), default="256x320", show_default=True, help="Height x width.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same bytes.")
def synth(like: str, target: Path, train: int, test: int, size: tuple[int, int], seed: int) -> None:
    """Draw labelled infrared-visible scenes in the layout of a real dataset."""
    from fusionbench.data.synth import synth as write

    with Bar() as bar:
        write(like, target, train, test, size, seed, bar)
    click.echo(
        f"{train} train and {test} test pairs in {target}; next: fusionbench eval --all --datasets {like}={target}"
    )
