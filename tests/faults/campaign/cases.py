"""What a case is, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.faults.campaign.forks import Ended


@dataclass(frozen=True)
class Verdict:
    """What came of one case.

    Attributes:
        group: what it belongs to in the table of figures, e.g. ``eval``.
        name: of the case, enough to find it again with the same seed.
        outcome: in words that are counted.
        faults: what must not have been, a line each.
        facts: numbers of it, for the record.
    """

    group: str
    name: str
    outcome: str
    faults: tuple[str, ...] = ()
    facts: dict[str, object] = field(default_factory=dict)


def told(done: Ended, codes: Iterable[int] = (0, 1, 2)) -> list[str]:
    """What was wrong with how a command ended.

    Args:
        done: how it ended.
        codes: exit codes that it may have.
    """
    shown = " | ".join(done.err.strip().splitlines()[-3:])[:500]
    faults = []
    if done.code not in codes:
        faults.append(f"exit code {done.code}: {shown}")
    if "internal error" in done.err:
        faults.append(f"internal error: {shown}")
    if "Traceback" in done.out + done.err:
        faults.append(f"traceback: {shown}")
    if done.code == 2 and not done.err.strip():
        faults.append("refused without a word")
    return faults


def counted(verdicts: Iterable[Verdict]) -> dict[str, dict[str, int]]:
    """How often each outcome was, by group."""
    counts: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        counts.setdefault(verdict.group, Counter())[verdict.outcome] += 1
    return {group: dict(counter.most_common()) for group, counter in counts.items()}
