"""Options that several verbs share, records of options, and completion with real names."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import click
from click.shell_completion import CompletionItem

from fusionbench.commas import items
from fusionbench.errors import FusionbenchError, PluginError
from fusionbench.evaluation.protocol import without_tex
from fusionbench.naming import matches, nearest
from fusionbench.plugins.cards import KINDS, Card, cards, profiles
from fusionbench.plugins.records import Facts
from fusionbench.runtime.files import printable

if TYPE_CHECKING:
    from fusionbench.results.records import Board
    from fusionbench.results.store import Store

    NamesType = click.ParamType[tuple[str, ...]]
    SizeType = click.ParamType[tuple[int, int]]
else:
    NamesType = SizeType = click.ParamType  # generic in newer versions of click only

Command = TypeVar("Command", bound=Callable[..., None])
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def command_line() -> str:
    """What the user typed, for the provenance."""
    words: list[str] = click.get_current_context().find_root().obj
    return " ".join(["fusionbench", *words])


def names(kind: str) -> Completion:
    """Completion of plugin names of one kind, also behind a comma; reads cards only."""

    def complete(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
        before, comma, last = typed.rpartition(",")
        return [
            CompletionItem(before + comma + n, help=printable(c.summary))
            for n, c in cards(kind).items()
            if n.startswith(last)
        ]

    return complete


def any_name(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Completion of a plugin name of any kind."""
    return [
        CompletionItem(n, help=printable(c.summary)) for k in KINDS for n, c in cards(k).items() if n.startswith(typed)
    ]


def profile_names(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    """Completion of metric profiles."""
    return [n for n in ("default", *profiles()) if n.startswith(typed)]


PLURALS = {kind: (f"{kind}s",) for kind in KINDS}


def unknown(name: str, known: Sequence[str]) -> PluginError:
    """For a name that is none of very many."""
    near = nearest(name, known)
    meant = f"did you mean {', '.join(near)}?" if near else "`fusionbench list` shows what there is"
    return PluginError(f"no plugin {name!r}; {meant}")


def plugins(name: str, kind: str | None = None, needed: bool = True) -> list[Card[Facts]]:
    """The plugins of this name, of one kind or of all; first those whose name is exactly this.

    Raises:
        PluginError: several of a kind may be meant; none is, and one is needed.
    """
    chosen: list[Card[Facts]] = []
    every = {k: cards(k) for k in KINDS if kind in (None, k)}
    for known in every.values():
        titles = {n: (c.title,) for n, c in known.items()}
        found = matches(name, known, titles) or matches(without_tex(name), known, titles)
        if len(found) > 1:
            raise PluginError(f"{name!r} may be {' or '.join(found)}; write it as it is")
        chosen += [known[n] for n in found]
    if needed and not chosen:
        raise unknown(name, [n for known in every.values() for n in known])
    return [c for c in chosen if c.name == name] or chosen


class Comma(NamesType):
    """``a,b,c``, where an item may have commas in brackets: ``gff[r1=3,r2=4],average``, ``crop=(96,128),batch=2``.

    One that has them elsewhere stands in double quotes: ``"a,b",c``.
    """

    name = "NAMES"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split at commas outside brackets and quotes."""
        if isinstance(value, tuple):
            return value
        try:
            return items(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def records(**kinds: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options as records, so that it takes few parameters.

    Args:
        kinds: parameter of the command to a dataclass whose fields are ``Annotated[type, click.option(...)]``; the
            options stand in the help before those of decorators below this one.
    """
    fields = {name: get_type_hints(kind, include_extras=True) for name, kind in kinds.items()}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**values: object) -> None:
            filled = {name: kind(**{f: values.pop(f) for f in fields[name]}) for name, kind in kinds.items()}
            function(**filled, **values)

        for hint in reversed([hint for hints in fields.values() for hint in hints.values()]):
            (option,) = hint.__metadata__
            option(command)  # click notes the option on the function
        return command

    return decorate


def datasets(function: Command) -> Command:
    """The option --datasets of what shows results."""
    return click.option(
        "--datasets",
        type=Comma(),
        default=(),
        shell_complete=names("dataset"),
        help="Only these (labels as `eval` printed them).",
    )(function)


def boards_of(store: Store, named: Sequence[str], split: str | None = None, output: str | None = None) -> list[Board]:
    """What a store has of the named datasets; of all, where none is named."""
    boards = [board for name in named or (None,) for board in store.boards(name, split, output)]
    return list({(b.dataset, b.split, b.output): b for b in boards}.values())


def data_root(function: Command) -> Command:
    """The option --data-root."""
    return click.option(
        "--data-root",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder that holds the datasets [FUSIONBENCH_DATA, else ./data].",
    )(function)


def located(function: Command) -> Command:
    """The option --data."""
    return click.option(
        "--data",
        "located",
        multiple=True,
        metavar="NAME=DIR",
        help="A dataset, or your own data in its layout, in a folder of its own; repeatable.",
    )(function)


def placed(datasets: tuple[str, ...], located: tuple[str, ...]) -> tuple[str, ...]:
    """Datasets as the library takes them, with the folders that --data names; without any, those of --data.

    Raises:
        FusionbenchError: --data without a folder, for a dataset that is not asked for, or twice for one.
    """
    folders: dict[str, str] = {}
    for spec in located:
        name, _, folder = spec.partition("=")
        if not name or not folder:
            raise FusionbenchError(f"--data {spec}: is not NAME=DIR, e.g. --data msrs=my/pairs")
        if folders.setdefault(name, folder) != folder:
            raise FusionbenchError(f"--data {spec}: {name} has another folder already, {folders[name]}")
    if not datasets:
        return tuple(f"{name}={folder}" for name, folder in folders.items())
    if strange := sorted(folders.keys() - set(datasets)):
        raise FusionbenchError(f"--data {strange[0]}=...: {strange[0]} is not among the datasets {', '.join(datasets)}")
    return tuple(f"{name}={folders[name]}" if name in folders else name for name in datasets)


def out(function: Command) -> Command:
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


def as_json(function: Command) -> Command:
    """The option --json."""
    return click.option("--json", "json_", is_flag=True, help="Machine-readable output.")(function)


class Size(SizeType):
    """``HxW``."""

    name = "HxW"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Two numbers of at least 32."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([0-9]{1,9})[x×]([0-9]{1,9})", str(value))
        if not match or min(map(int, match.groups())) < 32:
            self.fail(f"{value!r} is not HxW with at least 32 pixels each, e.g. 256x320", param, ctx)
        return int(match[1]), int(match[2])


class Number(click.FloatRange):
    """A number with bounds; not ``nan``, which lies within all of them, nor ``inf``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


precision = click.option("--precision", metavar="NAME", help="Of networks: float32, tf32 (CUDA) or bf16 [float32].")
compiled = click.option("--compile", "compiled", is_flag=True, help="Networks go through torch.compile.")
