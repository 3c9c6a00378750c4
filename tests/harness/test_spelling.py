"""Messages name parameters as Python does; the command line prints them as its options."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from fusionbench.cli import VERBS, Lazy, cli
from fusionbench.cli.spelling import PARAMETERS, RENAMED, spelt


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go on with resume=True, or choose another out=", "go on with --resume, or choose another --out"),
        ("images=a: write NAME=DIR", "--images a: write NAME=DIR"),
        ("pictures; name them with images=X=DIR", "pictures; name them with --images X=DIR"),
        ("name a folder with data_root= or FUSIONBENCH_DATA", "name a folder with --data-root or FUSIONBENCH_DATA"),
        ("train=0 test=0: nothing to draw", "--train 0 --test 0: nothing to draw"),
        ("stage=rsc or stage=vfn", "--stage rsc or --stage vfn"),
        ("(folder=)", "(--out)"),
        ("give datasets= one of: fmb", "give --datasets one of: fmb"),
        ("name its folder with dataset=folder=DIR", "name its folder with --datasets folder=DIR"),
        ("then give options=networks.x.weights=F", "then give --cfg-options networks.x.weights=F"),
    ],
)
def test_parameters_become_options(text: str, expected: str) -> None:
    assert spelt(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "options are written name=value",
        "no setting 'size=3'; train.size=4, tiny+limit=8+on=infrared",
        "laplacian[levels=3,size=2]: gff[out=1]",
        "/data/out=3/x: no such file; msrs=/data",
        "batch=4 is above the number of pairs",
        "--data folder=b: folder has another folder already, a",
        "`fusionbench eval --datasets folder=DIR --images images=DIR`; see --split test=1",
    ],
)
def test_words_of_the_user_stay(text: str) -> None:
    assert spelt(text) == text


def options(command: click.Command) -> Iterator[str]:
    """All options of a command and of those below it."""
    for parameter in command.params:
        yield from parameter.opts
    if isinstance(command, click.Group) and not isinstance(command, Lazy):
        for below in command.commands.values():
            yield from options(below)


def test_every_spelling_is_an_option() -> None:
    context = click.Context(cli)
    known = set(options(cli))
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        known |= set(options(command))
    spelled = {spelt(f"{name}=") for name in PARAMETERS} | set(RENAMED.values())
    assert spelled <= known
