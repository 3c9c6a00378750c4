"""Verbs, options and choices that are typed in other letters: taken where one is meant, else the nearest are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from fusionbench.errors import FusionbenchError, did_you_mean, find
from fusionbench.naming import matches

if TYPE_CHECKING:
    ChoiceType = click.Choice[str]
else:
    ChoiceType = click.Choice  # generic in newer versions of click only

# What other verbs call an option, tried in this order where a command has no option of the name.
OTHERWISE = {
    "-o": ("--output", "--out"),
    "--output": ("--out",),
    "--out": ("--output",),
}


class Group(click.Group):
    """A group whose verbs, and their options, may be typed in other letters."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb, its command and the words behind it, with options spelt as the command has them."""
        name, rest = args[0], args[1:]
        if not name.startswith("-"):
            try:
                name = find(name, self.list_commands(ctx), "no command")
            except FusionbenchError as error:
                raise click.UsageError(str(error), ctx) from None
        found, command, rest = super().resolve_command(ctx, [name, *rest])
        return found, command, spelled(command, rest) if command and not isinstance(command, click.Group) else rest


def spelled(command: click.Command, words: Sequence[str]) -> list[str]:
    """Words of a command line with its options as the command has them: ``--dataset`` for ``--datasets``.

    What the command has stays; so does what is no option of it, and everything behind ``--``.

    Raises:
        click.UsageError: an option that names a file or folder is empty, which would be the folder that one is in.
    """
    options = {word: p for p in command.params if isinstance(p, click.Option) for word in (*p.opts, *p.secondary_opts)}
    spelt: list[str] = []
    for number, word in enumerate(words):
        if word == "--":
            return [*spelt, *words[number:]]
        name, equals, value = word.partition("=")
        if name.startswith("-") and name not in options:
            name = _option(name, options) or name
        empty = not value if equals else [*words[number + 1 : number + 2]] == [""]
        if empty and name in options and isinstance(options[name].type, click.Path):
            raise click.UsageError(f"{name} is empty; name a file or folder (is a variable of the shell not set?)")
        spelt.append(name + equals + value)
    return spelt


def _option(name: str, options: Mapping[str, click.Option]) -> str:
    """The option that is meant by another spelling, "" where none is, or it is not clear."""
    for other in OTHERWISE.get(name, ()):
        if other in options and not (name == "-o" and other == "--out" and "--output" in options):
            return other
    if not name.startswith("--"):
        return ""
    known = {word: word.strip("-") for word in options if word.startswith("--")}
    typed = name.strip("-")
    for form in (typed, typed + "s", typed.removesuffix("s")):
        found = matches(form, known.values())
        if len(found) == 1:
            return f"--{found[0]}"
    return ""


def one_kind_each(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Corruptions (``shift=1,2``) as they were given.

    Raises:
        FusionbenchError: one of them names two kinds.
    """
    for text in given:
        if text.count("=") > 1 or "," in text.partition("=")[0]:
            raise FusionbenchError(f"{text!r} is more than one corruption; say --corrupt once for each kind")
    return given


class OneOf(ChoiceType):
    """One of some words, in any case; ``also`` has other words for them."""

    def __init__(self, choices: Sequence[str], also: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(list(choices))
        self.also = dict(also or {})

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The choice that is meant."""
        typed, choices = str(value), [str(choice) for choice in self.choices]
        found = matches(typed, choices, self.also)
        if len(found) != 1:
            self.fail(f"{typed!r}; {did_you_mean(typed, choices)}", param, ctx)
        return found[0]
