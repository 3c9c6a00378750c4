"""What every command must be that is given something bad: in one line, in bounded memory, and nothing is executed."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.campaign.cases import told
from tests.faults.campaign.forks import Ended, run

LARGEST = 1024  # MiB beyond what was imported
LONGEST = 60.0  # seconds
ERRORS = ("error: ", "Error: ", "Usage: ")


class Canary:
    """A file that executed code would make.

    Args:
        folder: where it would lie.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "executed"

    @property
    def program(self) -> str:
        """Python that makes it."""
        return f"open({str(self.path)!r}, 'w').close()"

    def faults(self) -> list[str]:
        """Whether it is there; then it is removed."""
        if not self.path.exists():
            return []
        self.path.unlink()
        return ["CODE WAS EXECUTED"]


class Bomb:
    """Calls something when it is unpickled.

    Args:
        call: a function that pickles by its name.
        arguments: of it.
    """

    def __init__(self, call: object, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """As the pickle has it."""
        return self.call, self.arguments


def bombs(canary: Canary) -> list[object]:
    """Objects whose unpickling would make the canary."""
    import os
    import subprocess

    return [
        Bomb(exec, canary.program),
        Bomb(eval, canary.program),
        Bomb(os.system, f"touch {canary.path}"),
        Bomb(subprocess.call, ["touch", str(canary.path)]),
        {"state_dict": Bomb(exec, canary.program)},
        [Bomb(pickle.loads, pickle.dumps(Bomb(exec, canary.program)))],
    ]


def given(
    words: Sequence[object],
    folder: Path,
    canary: Canary,
    settings: Mapping[str, str] | None = None,
    codes: Sequence[int] = (0, 1, 2),
) -> tuple[Ended, list[str]]:
    """Run a command on something bad; how it ended, and what was wrong with that."""
    done = run(words, folder, settings, patience=LONGEST)
    faults = told(done, codes) + canary.faults()
    if done.memory > LARGEST:
        faults.append(f"{done.memory} MiB of memory")
    if done.code == 2 and sum(line.startswith(ERRORS) for line in done.err.splitlines()) != 1:
        faults.append(f"not one line that says what is wrong: {done.err.strip()[-300:]!r}")
    if any(c < " " and c not in "\n\t" for c in done.out + done.err):
        faults.append("control characters on the terminal")
    return done, [f"{words[0]}: {fault}" for fault in faults]


def outcome(*ended: Ended) -> str:
    """In words that are counted."""
    if any(done.code not in (0, 1, 2) for done in ended):
        return "ended badly"
    if any(done.code == 2 for done in ended):
        return "refused in one line"
    return "named beside the results" if any(done.code == 1 for done in ended) else "read, without harm"
