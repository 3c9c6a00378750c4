"""A page for each metric, from its card, its docstring, and what was measured of it."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator

import fusionbench.metrics
from fusionbench.cli.variants import measured
from fusionbench.evaluation.protocol import in_profile
from fusionbench.naming import matches
from fusionbench.plugins.cards import MetricCard, cards, profiles

from . import REPO, formula
from .text import arguments, block, docstring, plain, source, spans, table

PRINTED = REPO / "leaderboards/published.csv"
BETTER = {"up": "larger is better ↑", "down": "smaller is better ↓"}


def pages() -> Iterator[tuple[str, str, str]]:
    """Path in the site, title and text of each page."""
    printed = published()
    for name, card in cards("metric").items():
        uri = f"metric/{name}.md"
        yield uri, card.title, page(card, uri, printed.get(name, []))


def index() -> str:
    """All metrics in one table."""
    rows = [
        (
            f"[{plain(card.title)}](metric/{name}.md)",
            plain(card.summary),
            "↑" if card.facts.direction == "up" else "↓",
            ends(card.facts.range),
            str(len(card.facts.variants)),
        )
        for name, card in cards("metric").items()
    ]
    return table(("metric", "what it is", "better", "range", "variants"), rows)


def ends(pair: tuple[float, float]) -> str:
    """A range in words."""
    low, high = ("∞" if math.isinf(end) else f"{end:g}" for end in pair)
    return f"{'−∞' if pair[0] == -math.inf else low} to {high}"


def published() -> dict[str, list[dict[str, str]]]:
    """Metric to the lines of printed values that name it."""
    known = {name: (card.title,) for name, card in cards("metric").items()}
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    with PRINTED.open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            for name in matches(line["metric"], known, known):
                found[name].append(line)
    return found


def page(card: MetricCard, uri: str, printed: list[dict[str, str]]) -> str:
    """The page of one metric."""
    facts = card.facts
    function = getattr(fusionbench.metrics, facts.object)
    text, sections = docstring(function)
    about = ", ".join(filter(None, (facts.paper, facts.venue, str(facts.year or ""))))
    parts = [
        f"# {plain(card.title)}",
        f"{plain(card.summary)}. Metric `{card.name}`, {BETTER[facts.direction]}.",
        table(("", ""), [
            ("range", ends(facts.range)),
            ("default variant", f"`{card.name}@{facts.default}`"),
            ("smallest picture", f"{facts.min_size} x {facts.min_size} pixels" if facts.min_size > 1 else "any"),
            ("no value where", plain(facts.undefined)),
            ("paper", plain(about)),
            ("programs", "<br>".join(f"<{url}>" for url in facts.urls)),
            ("code", source(card.source, uri)),
        ]),
        "## What it computes",
        spans(text),
        "## Variants",
        *(variant(card, name) for name in facts.variants),
        printed_part(card, printed),
        faults(card),
        "## In Python",
        f"`fusionbench.metrics.{facts.object}` for a batch, "
        f"`fusionbench.metrics.{facts.object.replace('_', '').upper()}` to gather the values of many.",
        arguments(sections.get("Args", "")),
        block("python", f">>> import torch\n>>> from fusionbench.metrics import {facts.object}\n"
              + sections.get("Example", "")),
        "## On the command line",
        block("console", f"fusionbench show {card.name}@{facts.default}\n"
              f"fusionbench eval --methods average --datasets msrs --metrics {card.name}@{facts.default}"),
    ]  # fmt: skip
    return "\n\n".join(filter(None, parts)) + "\n"


def variant(card: MetricCard, name: str) -> str:
    """What is known of one variant."""
    facts, known = card.facts, card.facts.variants[name]
    using = [p for p in profiles() if name in (v.partition("/")[0] for v in in_profile(card, p))]
    lines = [
        f"### {card.name}@{name} {'(default)' if name == facts.default else ''}",
        f'<p class="formula">{formula.drawn(known.formula)}</p>',
        f"- printed by: {plain('; '.join(known.used_by)) or 'no program that we know'}",
        f"- profiles: {', '.join(f'`{p}` ({plain(profiles()[p].title)})' for p in using)}" if using else "",
        f"- range {ends(facts.range_of(name))}; input: {plain(known.input)}",
        f"- options: {', '.join(f'`{k}={v!r}`' for k, v in known.options.items())}" if known.options else "",
        f"- {plain(known.note)}" if known.note else "",
    ]
    agreements = measured(card.path.parent / "parity.json").get(f"{card.name}@{name}", [])
    rows = [
        (
            plain(a.program),
            plain(a.theirs),
            str(a.images),
            f"{a.deviation:g}",
            "differs, as is known" if a.claimed is None else f"{a.claimed:g}",
        )
        for a in agreements
    ]
    head = ("compared with", "its name there", "images", "largest deviation", "claimed")
    return "\n".join([*lines[:2], "", *filter(None, lines[2:]), "", table(head, rows)])


def printed_part(card: MetricCard, lines: list[dict[str, str]]) -> str:
    """Who prints the metric, and under which variant as far as they say."""
    counted: dict[tuple[str, str], int] = defaultdict(int)
    for line in lines:
        counted[line["source"], line["variant"]] += 1
    rows = [
        (plain(where), ", ".join(f"`{v}`" for v in said.split("|")) if said else "not said", str(count))
        for (where, said), count in sorted(counted.items())
    ]
    if not rows:
        return ""
    head = ("source", "variant", "values")
    note = "Values in `leaderboards/published.csv`; what their authors do not say, `fusionbench explain` narrows down."
    return f"## Printed in papers\n\n{note}\n\n{table(head, rows)}"


def faults(card: MetricCard) -> str:
    """Faults of other programs."""
    rows = [(plain(fault.implementation), plain(fault.what)) for fault in card.facts.faults]
    return f"## Faults of other programs\n\n{table(('program', 'what'), rows)}" if rows else ""
