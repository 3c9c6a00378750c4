"""Results of task networks of a store beside those that a published table has."""

from __future__ import annotations

import math

from fusionbench.report.gaps import gap
from fusionbench.report.recorded import Recorded
from fusionbench.report.task_claims import Results, recorded_results
from fusionbench.report.task_tables import OTHER_CODE, Group, group_of
from fusionbench.results.records import TaskResult

SHOWN = 2  # rows of both that must be the same where code is not
CLOSE = 1e-4  # of scores: on another processor a detector's last bits are others, and with them the order of its boxes


def joined_results(here: Results, there: Recorded, kept: set[str]) -> tuple[Results, list[str]]:
    """The results of the store that can stand beside published ones, and these.

    Those of a column are of one test: split, number of pictures and, of a frozen network, its file. Where the code that
    scored is another, rows of both must have the same scores.

    Args:
        here: of the store's rows, with entry ids.
        there: the published table.
        kept: its rows that stay.

    Returns:
        All results; and what to note, a line each.
    """
    published = recorded_results(there.provenance)
    fitting: Results = ()
    notes = []
    for group in dict.fromkeys(group_of(result) for _, result in here):
        own = _of(group, here)
        left_out, same = _differs(own, _of(group, published))
        name = " ".join(group[:3])
        if left_out:
            notes.append(f"{name}: results of the store are left out: those of {there.stem} {left_out}.")
            continue
        fitting += own
        if same:
            notes.append(
                f"{name}{OTHER_CODE} in {there.stem}, with the same scores to {CLOSE:g} for {', '.join(same)}."
            )
    return (*fitting, *((entry, result) for entry, result in published if entry in kept)), notes


def _of(group: Group, results: Results) -> Results:
    return tuple((entry, result) for entry, result in results if group_of(result) == group)


def _differs(own: Results, published: Results) -> tuple[str, list[str]]:
    """Why results cannot stand beside published ones, or ""; rows whose scores show that other code is the same."""
    if not published:
        return "", []
    (_, first), (_, other) = own[0], published[0]
    if (first.test_split, first.images, first.classes) != (other.test_split, other.images, other.classes):
        return "are of another test", []
    frozen = {result.seed: result.weights for _, result in published if result.protocol == "frozen"}
    if any(frozen.get(result.seed, result.weights) != result.weights for _, result in own):
        return "are of another network", []
    if first.code in {result.code for _, result in published}:
        return "", []
    there = {(entry, result.seed): result for entry, result in published}
    both = [(entry, result, there[entry, result.seed]) for entry, result in own if (entry, result.seed) in there]
    if off := [entry for entry, result, other in both if not _close(result, other)]:
        return f"were scored by other code, and differ for {off[0]}", []
    same = list(dict.fromkeys(entry for entry, _, _ in both))
    few = f"were scored by other code; score {SHOWN} of its entries here as well, to show that it gives the same"
    return (few, []) if len(same) < SHOWN else ("", same)


def _close(one: TaskResult, other: TaskResult) -> bool:
    """Whether two results have the same scores under the same conditions."""
    first, second = (
        {(c, name): v for c, own in r.scores.items() for name, v in own.items() if v is not None and not math.isnan(v)}
        for r in (one, other)
    )
    return first.keys() == second.keys() and all(gap(v, second[key]) <= CLOSE for key, v in first.items())
