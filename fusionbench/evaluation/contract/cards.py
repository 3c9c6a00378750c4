"""What a card must say beyond the types of its record."""

from __future__ import annotations

from fusionbench.evaluation.contract.report import need
from fusionbench.plugins.records import DatasetFacts, Facts, MethodFacts, MetricFacts, TaskFacts


def check_card(facts: Facts) -> None:
    """Run the checks of its kind.

    Raises:
        AssertionError: naming the first thing that is wrong.
    """
    need(
        facts.name == facts.name.lower() and "@" not in facts.name and "[" not in facts.name,
        f"name {facts.name!r}: lower case, without @ and [",
    )
    need("\n" not in facts.summary, "summary is one line")
    for url in facts.urls:
        need(url.startswith(("https://", "http://")), f"url {url!r} is no web address")
    if isinstance(facts, MethodFacts):
        _method(facts)
    elif isinstance(facts, MetricFacts):
        _metric(facts)
    elif isinstance(facts, DatasetFacts):
        need(facts.protocols, "needs at least one [protocols.NAME]")
    elif isinstance(facts, TaskFacts):
        need(facts.networks, "networks names at least one")
        need(facts.columns, "columns names at least one score")


def _method(facts: MethodFacts) -> None:
    for weights in facts.weights:
        need(
            weights.packaged or (weights.file and weights.url),
            f"weights {weights.name} need file and url, or packaged",
        )
        need(len(weights.sha256) == 64, f"weights {weights.name}: sha256 has 64 hex digits")


def _metric(facts: MetricFacts) -> None:
    need(facts.range[0] < facts.range[1], "range is [low, high]")
    need(facts.variants, "needs at least one [variants.NAME]")
    need(facts.default in facts.variants, f"default {facts.default!r} is none of its variants")
    for name, variant in facts.variants.items():
        need(variant.formula, f"variant {name} needs a formula")
    for profile, named in facts.profiles.items():
        for name in [named] if isinstance(named, str) else named:
            need(name.partition("/")[0] in facts.variants, f"profile {profile} names no variant of it: {name!r}")
