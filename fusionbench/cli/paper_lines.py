"""What ``fusionbench explain --paper`` prints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from fusionbench.counting import counted
from fusionbench.plugins.cards import profiles
from fusionbench.report.paper_row import CLEAR, Answer, Fit, Judged, Printed


def row_lines(answer: Answer, values: Sequence[Printed]) -> Iterator[str]:
    """The answer, line by line: the verdict, profiles by likelihood, each value, then task scores."""
    yield verdict(answer)
    if answer.methods:
        yield f"  judged by the same {len(answer.methods)} methods under every evaluator: {', '.join(answer.methods)}"
    elif answer.profiles:
        yield "  judged by other methods under each variant, as fewer than three were measured under all"
    first = answer.profiles[0].logarithm if answer.profiles else 0.0
    for judged in answer.profiles:
        yield f"  {judged.profile:<12} {_factor(judged.logarithm - first):<16}{_remarks(judged)}"
    if answer.not_judged:
        yield f"  not judged, as too little of the row was measured under them: {', '.join(answer.not_judged)}"
    if line := _oddest(answer, values):
        yield line
    for p in values:
        if p.heading in answer.variants:
            yield from _value(p, answer)
        elif p.heading in answer.tasks:
            yield from _task(p, answer.tasks[p.heading])
    if answer.unknown:
        yield f"nothing here is called {', '.join(answer.unknown)}; left out"


def verdict(answer: Answer) -> str:
    """Which evaluator it is, or why nobody can say."""
    where = f"on {answer.dataset}"
    names = [f"{name} ({profiles()[name].title})" for name in answer.likeliest]
    if not answer.variants:
        return f"No fusion metric in this row: scores of tasks tell nothing about the evaluator ({where})."
    if not answer.profiles:
        return f"Too little of this row was measured {where} to judge any evaluator."
    if not names:
        return f"No evaluator {where}: each has a value outside the range of its variant."
    if len(names) == 1:
        return f"Likeliest {where}: {names[0]}; every other is less than 1/{CLEAR:.0f} as likely."
    return (
        f"Likeliest {where}: {names[0]}, which this row does not tell from {', '.join(names[1:])} "
        f"(less than {CLEAR:.0f} times as likely)."
    )


def _oddest(answer: Answer, values: Sequence[Printed]) -> str:
    """Which printed value fits the likeliest evaluator worst; "" where there is none."""
    judged = answer.profiles[0] if answer.profiles else None
    heading = judged.worst if judged else None
    if judged is None or heading is None:
        return ""
    fit = judged.fits[heading]
    (value,) = (p.value for p in values if p.heading == heading)
    about = f"two-sided tail {fit.tail:.2g}" if fit.tail is not None else "impossible"
    odd = "odd, " if not fit.fits else ""
    return f"Under {judged.profile} {heading} = {value:g} fits worst: {odd}{about}, measured {_span(fit)}"


def own_lines(answer: Answer, values: Sequence[Printed], rows: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """A method's own measured row under the likeliest evaluator, beside the printed one."""
    for entry, means in rows.items():
        judged = answer.profiles[0]
        yield f"{entry}, measured on {answer.dataset} under {judged.profile}:"
        for p in values:
            if p.heading in answer.variants:
                name = f"{p.heading} ({judged.fits[p.heading].name})" if p.heading in judged.fits else p.heading
                yield f"  {name:<20} printed {p.value:<9g} {_beside(p, means.get(p.heading))}"


def _beside(p: Printed, mean: float | None) -> str:
    if mean is None:
        return "not measured"
    same = abs(mean - p.value) <= p.half * (1 + 1e-9)
    gap = p.value - mean
    return f"measured {mean:.6g}, " + (
        "the same in print" if same else f"printed is {abs(gap):.3g} {'more' if gap > 0 else 'less'}"
    )


def _factor(difference: float) -> str:
    if math.isinf(difference) or math.isnan(difference):
        return "impossible"
    if difference > -0.05:
        return "likeliest"
    return f"1/{math.exp(-difference):.3g}" if difference > -200 else f"1/10^{-difference / math.log(10):.0f}"


def _remarks(judged: Judged) -> str:
    remarks = {
        "impossible": [h for h, f in judged.fits.items() if f.impossible],
        "fits nothing measured": [h for h, f in judged.fits.items() if f.tail is not None and not f.fits],
        "not measured here": [h for h in judged.unmeasured if not judged.fits[h].impossible],
        "not computed by it": list(judged.not_computed),
    }
    return "; ".join(f"{what}: {', '.join(own)}" for what, own in remarks.items() if own) or "all values fit"


def _value(p: Printed, answer: Answer) -> Iterator[str]:
    """A value: the variants that it fits, the likeliest first; where it fits none, the nearest."""
    every = answer.variants[p.heading]
    fitting = [f for f in every if f.fits]
    shown = fitting or [f for f in every if f.tail is not None][:1]
    yield f"{p.heading} = {p.value:g}" + ("" if fitting else ": fits no variant that was measured")
    yield from (f"  {f.name:<12} {_span(f)}" for f in shown)
    unmeasured = [f.name for f in every if f.tail is None and not f.impossible]
    if unmeasured:
        yield f"  too few measured: {', '.join(unmeasured)}"


def _task(p: Printed, fits: Sequence[Fit]) -> Iterator[str]:
    yield f"{p.heading} = {p.value:g}, a task's score: it tells nothing about the evaluator"
    if not fits:
        yield "  nothing in print and nothing measured to compare it with"
    for f in fits:
        if f.impossible:
            yield f"  impossible: {f.name}"
        else:
            about = "too few to say" if f.tail is None else "fits" if f.fits else "does not fit"
            yield f"  {about:<14} {f.name}: {_span(f)}"


def _span(fit: Fit) -> str:
    if fit.evidence is None:
        return "not measured"
    s = fit.evidence.span
    images = f", {counted(s.images, 'image')}" if s.images else ""
    return f"{s.low:.4g} to {s.high:.4g} ({s.entries} method{'s' * (s.entries > 1)}{images})"
