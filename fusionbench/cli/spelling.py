"""Messages of the library, which name parameters as Python does, in the spelling of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

from fusionbench.runtime.files import printable

# Parameters whose option on the command line has another name.
RENAMED = {"entry": "--on", "folder": "--out", "options": "--cfg-options", "settings": "--set", "weights_name": "--as"}
# The others: NAME is --NAME, with dashes. Only these are spelt anew, as settings of recipes and options of methods are
# written ``key=value`` on the command line too.
PARAMETERS = (
    *("cfg_options", "data_root", "dataset", "datasets", "device", "format", "frozen", "frozen_on", "images"),
    *("images_root", "ir", "ir_range", "match", "pattern", "rgbt4"),
    *("jobs", "like", "max_seconds", "max_steps", "methods", "metrics", "name", "on", "out", "output_rule", "plugins"),
    *("profile", "resume", "seeds", "sha256", "size", "split", "stage", "task_networks", "task_options"),
    *("task_protocols", "task_size", "tasks", "test", "train", "url", "vis"),
)
_WORD = re.compile(rf"(?<![^\s(`])(?P<name>{'|'.join([*PARAMETERS, *RENAMED])})=(?:True\b)?(?P<value>[^\s.,;:)`])?")


def spelt(text: str, renamed: Mapping[str, str] = RENAMED) -> str:
    """A message with ``name=``, ``name=True`` and ``name=VALUE`` as ``--name``, ``--name`` and ``--name VALUE``.

    Args:
        text: of the library.
        renamed: parameter to option, where they have different names.
    """

    def option(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        if name == "name" and value:
            return match[0]  # "options are written name=value" is about words that the user chooses
        return renamed.get(name, "--" + name.replace("_", "-")) + (f" {value}" if value else "")

    return _WORD.sub(option, text)


def note(text: str) -> None:
    """Print a remark of the library on stderr; what a terminal would obey is written out."""
    click.echo(printable(spelt(text), "\n\t"), err=True)
