"""Options that several verbs share, and completion with real names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from fusionbench.plugins.cards import cards, profiles


def command_line() -> str:
    """What the user typed, for the provenance."""
    return " ".join(["fusionbench", *sys.argv[1:]])


def names(kind: str) -> Callable[..., list[CompletionItem]]:
    """Completion of plugin names of one kind, also behind a comma; reads cards only."""

    def complete(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
        before, comma, last = typed.rpartition(",")
        return [
            CompletionItem(before + comma + n, help=c.summary) for n, c in cards(kind).items() if n.startswith(last)
        ]

    return complete


def any_name(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Completion of a plugin name of any kind."""
    from fusionbench.plugins.cards import KINDS

    return [CompletionItem(n, help=c.summary) for k in KINDS for n, c in cards(k).items() if n.startswith(typed)]


def profile_names(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    """Completion of metric profiles."""
    return [n for n in ("default", *profiles()) if n.startswith(typed)]


class Comma(click.ParamType):
    """``a,b,c``, also inside brackets: ``gff[r1=3,r2=4],average``."""

    name = "NAMES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split at commas outside brackets."""
        if isinstance(value, tuple):
            return value
        parts, depth, part = [], 0, ""
        for c in value:
            depth += (c == "[") - (c == "]")
            if c == "," and not depth:
                parts.append(part)
                part = ""
            else:
                part += c
        return tuple(p.strip() for p in [*parts, part] if p.strip())


def data_root(function: Any) -> Any:
    """The option --data-root."""
    return click.option(
        "--data-root",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder that holds the datasets [FUSIONBENCH_DATA, else ./data].",
    )(function)


def out(function: Any) -> Any:
    """The option --out."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("results"),
        show_default=True,
        metavar="DIR",
        envvar="FUSIONBENCH_OUT",
        help="Results: store, fused images, tables.",
    )(function)


def as_json(function: Any) -> Any:
    """The option --json."""
    return click.option("--json", "json_", is_flag=True, help="Machine-readable output.")(function)


class Bar:
    """A progress bar on stderr for anything long; silent when stderr is no terminal."""

    def __init__(self, quiet: bool = False) -> None:
        self.live: Any = None
        self.tasks: dict[str, Any] = {}
        self.shown = sys.stderr.isatty() and not quiet

    def __enter__(self) -> Bar:
        if self.shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self.live = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self.live.start()
        return self

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` is finished."""
        if self.live is not None:
            if what not in self.tasks:
                self.tasks[what] = self.live.add_task(what, total=total)
            self.live.update(self.tasks[what], completed=done)
            if done == total:
                self.live.update(self.tasks[what], visible=False)

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()
