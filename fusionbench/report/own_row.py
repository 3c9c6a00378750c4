"""What was measured of the method whose row a paper prints."""

from __future__ import annotations

from fusionbench.errors import FusionbenchError, did_you_mean
from fusionbench.naming import matches
from fusionbench.plugins.cards import cards
from fusionbench.report.explain import evidence
from fusionbench.report.paper_row import Answer


def own_rows(answer: Answer, method: str) -> dict[str, dict[str, float]]:
    """What was measured of a method under the likeliest evaluator; the nearest, where values rule out all.

    Args:
        answer: of :func:`explain_row`.
        method: as users type it, or an entry of its.

    Returns:
        Entry to heading to mean; no heading where the variant was not measured for it.

    Raises:
        FusionbenchError: no such method among the committed tables of the dataset, or no evaluator that is judged.
    """
    if not answer.profiles:
        raise FusionbenchError(
            f"--methods {method}: no evaluator could be judged, so that there is no row to set beside"
        )
    judged = answer.profiles[0]
    found: dict[str, dict[str, float]] = {}
    for heading, fit in judged.fits.items():
        for own in evidence(answer.metrics[heading], (answer.dataset,)).get(fit.name, ()):
            for entry, mean in own.means.items():
                found.setdefault(entry, {})[heading] = mean
    known = cards("method")
    titles = {e: (e.partition("[")[0], *((c.title,) if (c := known.get(e.partition("[")[0])) else ())) for e in found}
    entries = matches(method, found, titles)
    if not entries:
        raise FusionbenchError(
            f"--methods {method}: not in the committed tables of {answer.dataset} under {judged.profile}; "
            f"{did_you_mean(method, list(found))}"
        )
    return {entry: found[entry] for entry in entries}
