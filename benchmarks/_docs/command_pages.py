"""A page for each verb of the command line, from what ``--help`` is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from fusionbench.cli import VERBS, cli

from .text import block, code, plain, table


def pages() -> Iterator[tuple[str, str, str]]:
    """Path in the site, title and text of each page."""
    context = click.Context(cli, info_name="fusionbench")
    for verb, (_, _, summary) in VERBS.items():
        command = cli.get_command(context, verb)
        assert command is not None
        text = f"# fusionbench {verb}\n\n{plain(summary)}\n\n{described(command, context, verb, 2)}"
        yield f"command/{verb}.md", verb, text


def index() -> str:
    """All verbs."""
    rows = [(f"[{code(verb)}](command/{verb}.md)", plain(text), section) for verb, (section, _, text) in VERBS.items()]
    return table(("command", "what it does", "for"), rows)


def described(command: click.Command, parent: click.Context, name: str, level: int) -> str:
    """Usage, text and options of a command, then of those below it."""
    context = click.Context(command, info_name=name, parent=parent)
    parts = [block("text", context.get_usage().removeprefix("Usage: ")), prose(command.help or "")]
    rows = [
        (names(parameter, context), plain(help_of(parameter, context)))
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and not parameter.hidden
    ]
    parts.append(table(("option", "what it does"), rows))
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            below = command.get_command(context, verb)
            if below and not below.hidden:
                title = f"{'#' * level} {context.command_path} {verb}"
                parts.append(f"{title}\n\n{described(below, context, verb, level + 1)}")
    return "\n\n".join(filter(None, parts)) + "\n"


def prose(text: str) -> str:
    """Help text; what stands between backticks stays code, ``\\b`` marks lines that are not joined."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.lstrip().startswith("\b"):
            paragraphs.append(block("text", "\n".join(paragraph.strip("\b\n ").splitlines())))
        else:
            pieces = re.split(r"(`[^`]+`)", " ".join(paragraph.split()))
            paragraphs.append("".join(p if p.startswith("`") and len(p) > 1 else plain(p) for p in pieces))
    return "\n\n".join(paragraphs)


def names(option: click.Option, context: click.Context) -> str:
    """How an option is written."""
    written = ", ".join([*option.opts, *option.secondary_opts])
    value = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
    return code((written + value).replace("|", "¦"))


def help_of(option: click.Option, context: click.Context) -> str:
    """What its help says, with what click adds."""
    record = option.get_help_record(context)
    return " ".join(record[1].split()) if record else ""
