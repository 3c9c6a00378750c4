"""Every published table of a folder, run again."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec

from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.runner import Progress
from fusionbench.report.claims import read_claims
from fusionbench.report.reproduce import Reproduction, Rerun, reproduce

PROVENANCE = ".provenance.json"


@dataclass(frozen=True)
class Checked:
    """A table and what came of it.

    Attributes:
        name: below the folder, without suffix.
        found: what was verified.
        seconds: that it took.
    """

    name: str
    found: Reproduction
    seconds: float

    @property
    def largest(self) -> float:
        """The largest difference of a value; NaN where nothing was compared."""
        return max(self.found.worst.values(), default=math.nan)

    def cells(self) -> list[str]:
        """Table, means compared, largest difference, seconds, what came of it."""
        found, largest = self.found, self.largest
        state = found.state
        if found.task_results:
            state += f"; {counted(found.task_results, 'result')} of task networks scored again"
        if found.recorded:
            state += f"; task columns recorded only: {len(found.recorded)}"
        return [
            self.name,
            str(found.cells),
            "" if math.isnan(largest) else f"{largest:.3g}",
            f"{self.seconds:.0f}",
            state,
        ]


def published(folder: Path | None = None) -> list[tuple[str, Path]]:
    """(name, file) of every table of a folder and of those in it; by default of the tables that came with the package.

    Raises:
        FusionbenchError: there is none.
    """
    base = folder or Path(str(resources.files("fusionbench.leaderboards")))
    facts = sorted((*base.glob(f"*{PROVENANCE}"), *base.glob(f"*/*{PROVENANCE}")))
    found = [(str(p.relative_to(base)).removesuffix(PROVENANCE), p) for p in facts]
    if not found:
        raise FusionbenchError(f"check={base}: no table with its {PROVENANCE} beside it")
    return sorted(found, key=lambda table: ("/" in table[0], table[0]))


def check(tables: list[tuple[str, Path]], out: Path, asked: Rerun, progress: Progress) -> Iterator[Checked]:
    """Run tables again, one after the other; those over the same data share what is computed.

    Args:
        tables: from :func:`published`.
        out: keeps the reruns, so that a second call goes on where the first was stopped.
        asked: folders and how to run.
        progress: called as work proceeds.
    """
    for name, path in tables:
        began = time.perf_counter()
        try:
            board = read_claims(path).facts.board
            text = f"{board.dataset} {msgspec.json.encode(board.origin, order='sorted').decode()}"
            store = out / hashlib.sha256(text.encode()).hexdigest()[:12]  # of no name that the file chooses
            found = reproduce(path, store, asked, progress)
        except FusionbenchError as error:
            found = Reproduction(differences=[str(error)])
        yield Checked(name, found, time.perf_counter() - began)
