"""What came of an evaluation, as it is told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench.cli.spelling import note, show, spelt
from fusionbench.counting import counted

if TYPE_CHECKING:
    from fusionbench.evaluation.entries import Skip
    from fusionbench.evaluation.outcome import Outcome
    from fusionbench.evaluation.plan import Plan
    from fusionbench.report.tables import Table

SAME = 3  # what happened for one reason is told one by one


@dataclass(kw_only=True)
class Evaluation:
    """What came of a plan.

    Attributes:
        outcome: what was computed, and which images failed.
        tables: one for each source that could be scored.
        problems: what else could not be done, a line each.
    """

    outcome: Outcome
    tables: list[Table] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Images that could not be fused or scored, a line each."""
        return [f"{d} {i} ({e}): {spelt(reason)}" for (e, d, i), reason in sorted(self.outcome.failures.items())]

    def grouped(self) -> list[str]:
        """The failures, in one line where the reason is the same for many images but for their names."""
        same: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        for (entry, dataset, image), reason in sorted(self.outcome.failures.items()):
            same.setdefault((entry, dataset, reason.replace(image, "NAME")), []).append((image, spelt(reason)))
        lines: list[str] = []
        for (entry, dataset, _), failed in same.items():
            first, reason = failed[0]
            if len(failed) > SAME:
                failed = [(f"{first} and {len(failed) - 1} more images", reason)]
            lines += [f"{dataset} {image} ({entry}): {text}" for image, text in failed]
        return lines

    @property
    def undefined(self) -> list[str]:
        """Metrics without a value on some images, a line for each entry."""
        by_metric: dict[tuple[str, str], list[str]] = {}
        for (e, d, m), ids in sorted(self.outcome.undefined.items()):
            by_metric.setdefault((m, e), []).append(f"{counted(len(ids), 'image')} of {d}, e.g. {ids[0]}")
        return [f"{m} of {e} is undefined on {'; '.join(where)}" for (m, e), where in by_metric.items()]

    def exit_code(self, plan: Plan) -> int:
        """0 everything scored, 1 something failed, 2 nothing could be scored."""
        if self.problems and not self.tables:
            return 2
        failed = self.outcome.failures or self.problems or len(self.outcome.skipped) > len(plan.skipped)
        return 1 if failed else 0

    def to_dict(self, files: list[Path]) -> dict[str, object]:
        """Everything as plain data for --json."""
        from fusionbench.report.formats import plain

        return {
            "tables": plain([t.to_dict() for t in self.tables]),
            "fused": self.outcome.fused,
            "read": self.outcome.read,
            "scored": self.outcome.scored,
            "seconds": round(self.outcome.seconds, 2),
            "failures": self.failures,
            "undefined": self.undefined,
            "replaced": self.outcome.replaced,
            "odd": self.outcome.odd,
            "skipped": [spelt(str(s)) for s in self.outcome.skipped],
            "problems": [spelt(line) for line in self.problems],
            "files": [str(f) for f in files],
        }

    def print(self, files: list[Path]) -> None:
        """Tables on stdout, everything else on stderr."""
        from fusionbench.report.formats import markdown
        from fusionbench.report.terminal import drawn

        for table in self.tables:
            show(markdown(table), partial(drawn, table))
        for line in skips(self.outcome.skipped):
            note(f"skipped {line}")
        for line in [*self.outcome.replaced, *self.outcome.odd, *self.undefined]:
            note(f"warning: {line}")
        failures = self.grouped()
        for line in failures[:20]:
            note(f"failed: {line}")
        if len(failures) > 20:
            note(f"failed: ... and {len(failures) - 20} more; they are in the tables' notes")
        for line in self.problems:
            note(f"error: {line}")
        where = os.path.commonpath([str(f.parent) for f in files]) if files else "-"
        done = self.outcome
        pictures = f"{counted(done.fused, 'image')} fused, " if done.fused or not done.read else ""
        pictures += f"{counted(done.read, 'picture')} read, " if done.read else ""
        values = counted(done.scored, "value")
        note(f"{pictures}{done.cached} kept, {values} computed in {done.seconds:.1f} s; tables in {where}")


def skips(skipped: Iterable[Skip]) -> list[str]:
    """What was left out, a line each; in one line where many have the same reason."""
    reasons: dict[str, list[Skip]] = {}
    for skip in skipped:
        reasons.setdefault(skip.why, []).append(skip)
    lines: list[str] = []
    for why, same in reasons.items():
        names = ", ".join(skip.what for skip in same)
        many = f"{len(same)}, {why}: {names}; `fusionbench show NAME` says what to do"
        lines += [many] if len(same) > SAME else [str(skip) for skip in same]
    return lines
