"""The command line. Each verb is imported when it is used: ``--help`` answers at once."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sqlite3
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from fusionbench import environment
from fusionbench.cli.spelling import note
from fusionbench.cli.words import Group
from fusionbench.errors import FusionbenchError
from fusionbench.runtime import locations
from fusionbench.runtime.files import printable
from fusionbench.runtime.reasons import reason

# verb -> (section, module below fusionbench.cli, one line). The order is the order in --help.
VERBS = {
    "eval": ("Measure", "evaluate", "Fuse and score methods on datasets; finished work is kept."),
    "leaderboard": ("Measure", "leaderboard", "Print a table of results: Markdown, LaTeX, CSV, JSON."),
    "fuse": ("Measure", "fuse", "Fuse a pair or two folders with one method."),
    "train": ("Measure", "train", "Train a method or a task network by its recipe; resumes exactly."),
    "cost": ("Measure", "cost", "Parameters, operations, milliseconds and memory of methods."),
    "compare": ("Understand", "analysis", "Paired differences of two entries, with intervals and tests."),
    "figure": ("Understand", "figure", "Figures for papers: pictures compared, boxes, curves, radar, losses."),
    "stability": ("Understand", "analysis", "How rankings change with the metric profile."),
    "robustness": ("Understand", "robustness", "What misaligned, dark, noisy or missing sources cost each method."),
    "explain": ("Understand", "explain", "Under which variants a published number is plausible."),
    "reproduce": ("Share", "rerun", "Verify a result's hashes, rerun it, compare."),
    "site": ("Share", "site", "A leaderboard as a static page that works without a server."),
    "export": ("Share", "share", "Per-image scores with their hashes, as Parquet or CSV."),
    "merge": ("Share", "share", "Several results stores into one, conflicts named."),
    "verify": ("Share", "verify", "Look at results that somebody hands in: files, hashes, scores computed again."),
    "list": ("Look", "listing", "List methods, metrics, datasets, tasks, profiles, protocols."),
    "show": ("Look", "listing", "Show everything a plugin's card says."),
    "doctor": ("Look", "doctor", "Check environment, GPU, data and weights, with fixes."),
    "demo": ("Set up", "demo", "Draw pairs, fuse, score and rank them; a page to look at, nothing downloaded."),
    "data": ("Set up", "data", "List, check, download or generate datasets."),
    "weights": ("Set up", "weights", "Add released checkpoints and list them."),
    "completion": ("Set up", "completion", "Print the completion script for bash, zsh or fish."),
    "new": ("Extend", "new", "Begin a plugin: a folder that validates, the places to fill in marked."),
    "validate": ("Extend", "validate", "Run the plugin contract on one plugin."),
}


class Lazy(Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs in help order."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module behind a verb."""
        if name not in VERBS:
            return None
        module = importlib.import_module(f"fusionbench.cli.{VERBS[name][1]}")
        command: click.Command = getattr(module, name.replace("-", "_") + "_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Verbs by section, from the table above: nothing is imported."""
        for section in dict.fromkeys(s for s, _, _ in VERBS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, text) for name, (s, _, text) in VERBS.items() if s == section])


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from fusionbench.results.provenance import version

        click.echo(f"fusionbench {version()}")
        ctx.exit()


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--plugins", multiple=True, metavar="DIR", help="A folder of further plugins (also FUSIONBENCH_PLUGINS).")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
)
def cli(plugins: tuple[str, ...]) -> None:
    """Benchmark infrared-visible image fusion: every number names its metric variant, split, weights and recipe."""
    environment.apply(plugins)


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM, as batch systems send it): as Ctrl-C, with another exit code."""


def signal_of(stop: BaseException) -> int:
    """The signal that stopped a command: training, which ends between two steps, names it in its exception."""
    named = stop.args[0] if stop.args else None
    if isinstance(named, int):
        return named
    return signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT


@contextmanager
def terminating() -> Iterator[None]:
    """Inside, SIGTERM raises :class:`Terminated`; in a thread other than the main one nothing changes."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Entry point: errors a user can mend are one line on stderr and exit code 2.

    Args:
        words: the command line behind the program's name; by default that of this process.
    """
    typed = list(sys.argv[1:] if words is None else words)
    try:
        with terminating():
            environment.apply()  # completion calls no verb
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
            code = cli.main(typed, prog_name="fusionbench", standalone_mode=False, obj=typed)
            sys.stdout.flush()
        sys.exit(code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(file=shown)
        click.echo(printable(shown.getvalue(), "\n"), err=True, nl=False)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        note("stopped; finished images are kept, the same command continues")
        sys.exit(128 + signal_of(stop.__context__ or stop))
    except FusionbenchError as error:
        note(f"error: {error}")
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `fusionbench list | head` is no error
        sys.exit(0)
    except (OSError, sqlite3.Error) as error:
        if os.environ.get("FUSIONBENCH_DEBUG"):
            raise
        where = getattr(error, "filename", None) or (
            "the results" if isinstance(error, sqlite3.Error) else "the output"
        )
        note(f"error: {where}: {reason(Path(str(where)), error) if isinstance(error, OSError) else error}")
        if not isinstance(error, sqlite3.Error) and getattr(error, "filename", None) is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left cannot be written either
        sys.exit(2)
    except Exception as error:
        if os.environ.get("FUSIONBENCH_DEBUG"):
            raise
        text = f"{type(error).__name__}: {error}"
        if place := _in_plugin(error):
            note(f"error: {place}: {text}; FUSIONBENCH_DEBUG=1 shows more")
        else:
            note(f"internal error: {text}; FUSIONBENCH_DEBUG=1 shows where; please report it")
        sys.exit(70)


def _in_plugin(error: Exception) -> str:
    """The last line in a plugin folder of the user's that was running, "" if none was."""
    folders = locations.current().plugins
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if any(Path(frame.filename).is_relative_to(folder) for folder in folders):
            return f"{frame.filename}, line {frame.lineno}"
    return ""
