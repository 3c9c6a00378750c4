"""``fusionbench data``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from fusionbench.cli.options import Size, as_json, data_root, located, names, placed, records
from fusionbench.cli.progress import Bar
from fusionbench.cli.reading_options import ReadingOptions
from fusionbench.cli.spelling import retypable, say, spelt
from fusionbench.cli.words import Group
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import card, cards
from fusionbench.results.records import GENERATORS


@click.group("data", cls=Group)
def data_command() -> None:
    """Datasets: what is there, whether it is sound, how to get it, and scenes to start with."""


@dataclass(frozen=True, kw_only=True)
class SplitState:
    """How many pairs of a split are here and how many it should have, and the hash of its list."""

    here: int
    expected: int | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class DatasetState:
    """A dataset's folder, None where it is not here, and its splits."""

    name: str
    title: str
    root: str | None = None
    problem: str = ""  # why the generated tree that lies here cannot be used
    splits: dict[str, SplitState] = field(default_factory=dict)

    def line(self) -> str:
        """For the list."""
        counts = ", ".join(f"{n} {s.here}/{s.expected or '?'}" for n, s in self.splits.items() if s.here)
        here = counts or ("not usable" if self.problem else "not here")
        line = f"{self.name:<10} {here:<40} {self.root or ''}".rstrip()
        return line + (f"\n           {self.problem}" if self.problem else "")


@data_command.command("list")
@data_root
@as_json
def list_data(data_root: Path | None, json_: bool) -> None:
    """What is there, split by split, and what is expected."""
    from fusionbench.data.opening import data_root as resolved

    states = [state_of(name, data_root) for name in cards("dataset")]
    if json_:
        click.echo(json.dumps([asdict(state) for state in states], indent=1))
        return
    for state in states:
        say(state.line())
    say(f"looked in {resolved(data_root)}; `fusionbench show NAME` says how to get a dataset", err=True)


def state_of(name: str, root: Path | None) -> DatasetState:
    """What is here of a dataset."""
    from fusionbench.data import open_spec
    from fusionbench.data.opening import data_root as resolved
    from fusionbench.data.opening import find_root
    from fusionbench.data.origin import ORIGIN

    title = card("dataset", name).title
    try:
        dataset = open_spec(name, root)
    except FusionbenchError as error:
        base = resolved(root)
        tree = find_root(base, card("dataset", name))
        if tree is not None and tree != base and (tree / ORIGIN).is_file():
            return DatasetState(name=name, title=title, root=str(tree), problem=spelt(str(error)))
        return DatasetState(name=name, title=title)
    splits = {
        s: SplitState(here=len(dataset.ids(s)), expected=dataset.split(s).count, sha256=dataset.split(s).sha256)
        for s in dataset.splits()
    }
    return DatasetState(name=name, title=title, root=str(dataset.root), splits=splits)


@data_command.command("check")
@click.argument("name", required=False, shell_complete=names("dataset"))
@located
@click.option("--split", "splits", multiple=True, help="Only this split (repeatable).")
@click.option("--complete", is_flag=True, help="Exit non-zero also when images are missing.")
@records(read=ReadingOptions)
@data_root
@as_json
def check(
    name: str | None,
    located: tuple[str, ...],
    splits: tuple[str, ...],
    complete: bool,
    read: ReadingOptions,
    data_root: Path | None,
    json_: bool,
) -> None:
    """Check counts, pairing, sizes, labels, readability and near-duplicates between train and test.

    NAME may be NAME=DIR, as with --data. Exit code 1 on damage, or on missing images with --complete.
    """
    asked = placed((name,) if name else (), located)
    if len(asked) != 1:
        raise click.UsageError("say which dataset: NAME, or --data NAME=DIR")
    from fusionbench.data import open_spec
    from fusionbench.data.checks import check as run_check

    with Bar(json_) as bar:
        dataset = open_spec(asked[0], data_root, read.reading())
        chosen = [dataset.add_list(split) for split in splits]
        report = run_check(dataset, chosen or None, complete, progress=bar)
    if json_:
        click.echo(json.dumps(report.to_dict(), indent=1))
    else:
        say(report.text())
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

    entry = card("dataset", name)
    name = entry.name
    with Bar() as bar:
        folder = fetch(entry, resolved(data_root), url, sha256, bar)
    say(retypable(f"{name} is in {folder}; check it: fusionbench data check {name}={folder}"))


class Like(click.Option):
    """An option whose help names the datasets that scenes are drawn like, plugins among them."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The help with the names of now."""
        able = ", ".join(name for name, entry in cards("dataset").items() if entry.facts.scenes)
        words, text = super().get_help_record(ctx) or ("", "")
        return words, text.replace("[scenes]", f"[scenes]: {able}.")


@data_command.command("synth")
@click.option(
    "--like",
    required=True,
    shell_complete=names("dataset"),
    cls=Like,
    help="Whose layout and classes, of a dataset whose card has [scenes]",
)
@click.option("--out", "target", required=True, type=click.Path(path_type=Path), help="The dataset's new folder.")
@click.option("--train", type=click.IntRange(0), default=0, show_default=True, help="Training pairs.")
@click.option("--test", type=click.IntRange(0), default=12, show_default=True, help="Test pairs.")
@click.option("--size", type=Size(), default="256x320", show_default=True, help="Height x width.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same bytes.")
@click.option(
    "--generator",
    type=click.Choice(GENERATORS),
    default=GENERATORS[0],
    show_default=True,
    help="scenes-2: the same scenes, taken in as many ways as real cameras.",
)
def synth(like: str, target: Path, train: int, test: int, size: tuple[int, int], seed: int, generator: str) -> None:
    """Draw labelled infrared-visible scenes in the layout of a real dataset."""
    from fusionbench.data.synth import synth as write

    like = card("dataset", like).name
    with Bar() as bar:
        write(like, target, train, test, size, seed, bar, generator)
    say(
        retypable(
            f"{train} train and {test} test pairs in {target}; next: fusionbench eval --all --datasets {like}={target}"
        )
    )
