"""A line on stderr that says how far a command has come."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fusionbench.runtime.files import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Overall:
    """How far work in several phases has come.

    Args:
        phases: in their order, the beginning of what each is called, and how much work it is.
    """

    def __init__(self, phases: Mapping[str, int]) -> None:
        self.phases = dict(phases)
        self.total = sum(self.phases.values())
        self.done = 0.0

    def reached(self, what: str, done: int, total: int | None) -> float | None:
        """Work that is done now; phases before this one count whole, as what was kept is not done again.

        Returns:
            None where `what` is none of the phases.
        """
        own = max((name for name in self.phases if what == name or what.startswith(f"{name} ")), key=len, default=None)
        if own is None:
            return None
        before = 0
        for name, size in self.phases.items():
            if name == own:
                break
            before += size
        self.done = max(self.done, before + self.phases[own] * (done / total if total else 0))
        return self.done


class Bar:
    """A progress bar on stderr for anything long; silent when stderr is no terminal."""

    def __init__(self, quiet: bool = False) -> None:
        self.live: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        self.overall: Overall | None = None
        self.shown = sys.stderr.isatty() and not quiet

    def __enter__(self) -> Bar:
        if self.shown:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            self.live = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[count]}", markup=False),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                console=Console(stderr=True),
                transient=True,
            )
            self.live.start()
        return self

    def expect(self, phases: Mapping[str, int]) -> None:
        """Show one bar for all of these phases, see :class:`Overall`; none for a bar for each thing again."""
        self.overall = Overall(phases) if phases else None
        if self.live is not None and "" in self.tasks:
            self.live.remove_task(self.tasks.pop(""))

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` is finished."""
        if self.live is None:
            return
        count = f"{done}/{total}" if total else str(done)
        reached = self.overall.reached(what, done, total) if self.overall else None
        name = what if reached is None else ""
        if name not in self.tasks:
            whole = total if reached is None or self.overall is None else self.overall.total
            self.tasks[name] = self.live.add_task(printable(what), total=whole, count=count)
        shown = done if reached is None else reached
        self.live.update(self.tasks[name], description=printable(what), completed=shown, count=count)
        if reached is None and done == total:
            self.live.update(self.tasks[name], visible=False)

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()
