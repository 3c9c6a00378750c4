"""Messages of the library, which name parameters as Python does, in the spelling of the command line."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from fusionbench.runtime import locations
from fusionbench.runtime.files import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

NARROW = 20  # characters beside a name, below which folding would make a column of words
# Parameters whose option on the command line has another name.
RENAMED = {
    "compiled": "--compile",
    "dataset": "--datasets",
    "entry": "--on",
    "folder": "--out",
    "logger": "--logger",
    "options": "--cfg-options",
    "settings": "--set",
    "weights_name": "--as",
}
# The others: NAME is --NAME, with dashes. Only these are spelt anew, as settings of recipes and options of methods are
# written ``key=value`` on the command line too.
PARAMETERS = (
    *("cfg_options", "check", "data_root", "datasets", "device", "format", "fresh_versions", "from"),
    *("frozen", "frozen_on", "images", "images_root", "ir", "ir_range", "jobs", "like", "match"),
    *("max_seconds", "max_steps", "methods", "metrics", "most", "name", "network", "networks", "on", "out"),
    *(
        "output_rule",
        "pattern",
        "pictures_at",
        "plugins",
        "precision",
        "profile",
        "resume",
        "retrain",
        "rgbt4",
        "seeds",
    ),
    *("sha256", "size", "split", "stage", "sweep", "task_networks", "task_options", "task_protocols", "task_size"),
    *("cluster", "shard", "slurm", "tasks", "test", "train", "url", "vis"),
)
_NAMES = "|".join([*PARAMETERS, *RENAMED])
_WORD = re.compile(rf"(?<![^\s(`])(?P<name>{_NAMES})=(?:True\b)?(?P<value>[^\s.,;:)`]|:(?=\S))?")


_OPTION = re.compile(r"(?<!\S)--[a-z][a-z0-9-]* \Z")

# A command that a message proposes, not one that it tells of (a file that `fusionbench train` wrote).
_COMMAND = re.compile(r"(?P<before>[`:;(] *|^)fusionbench (?=[a-z]+\b(?!` wr))", re.MULTILINE)


def retypable(text: str) -> str:
    """A text whose commands (``fusionbench eval ...``) can be typed: with the --plugins that this one was given."""
    folders = [f"--plugins {shlex.quote(folder)} " for folder in locations.current().typed_plugins]
    return _COMMAND.sub(lambda match: f"{match['before']}fusionbench {''.join(folders)}", text) if folders else text


def spelt(text: str) -> str:
    """A message with ``name=``, ``name=True`` and ``name=VALUE`` as ``--name``, ``--name`` and ``--name VALUE``.

    Commands in it can be typed as they stand, see :func:`retypable`.

    Args:
        text: of the library.
    """

    def option(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        if _OPTION.search(text, 0, match.start()):
            return match[0]  # of "--data folder=DIR" that is what the user has typed
        if name == "name" and value:
            return match[0]  # "options are written name=value" is about words that the user chooses
        return RENAMED.get(name, "--" + name.replace("_", "-")) + (f" {value}" if value else "")

    return _WORD.sub(option, retypable(text))


def say(text: str, err: bool = False, nl: bool = True) -> None:
    """Print text on stdout, or stderr; what a terminal would obey is written out.

    Every text goes this way: cards, names of files and stores are other people's.
    """
    click.echo(printable(text, "\n\t"), err=err, nl=nl)


def folded(head: str, text: str) -> str:
    """A line of a list; on a terminal that is too narrow for it, what does not fit goes below the text's beginning."""
    room = shutil.get_terminal_size().columns - len(head)
    if not sys.stdout.isatty() or room < NARROW or len(text) <= room:
        return head + text
    return textwrap.fill(
        text, room + len(head), initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    )


def note(text: str) -> None:
    """Print a remark of the library on stderr: one line, also where a name in it has several."""
    say(printable(spelt(text)), err=True)


def finding(text: str) -> None:
    """Print what was found in somebody's files on stdout: one line, as nothing in them may look like our verdict."""
    say(printable(spelt(text)))


def show(markdown: str, drawn: Callable[[int], RenderableType]) -> None:
    """Print a table: drawn for reading where stdout is a terminal, else as Markdown.

    Args:
        markdown: the table.
        drawn: it for a terminal of so many characters, whose texts obey nothing.
    """
    width = shutil.get_terminal_size().columns
    if sys.stdout.isatty():
        draw(drawn(width), width)
    else:
        say(markdown)


def draw(what: RenderableType, width: int) -> None:
    """Print what rich draws, with colours where stdout is a terminal; its texts must obey nothing."""
    from fusionbench.report.terminal import as_seen

    click.echo(as_seen(what, width, sys.stdout.isatty()), nl=False)
