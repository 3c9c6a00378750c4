"""What a card must say beyond the types of its record."""

from __future__ import annotations

from collections.abc import Iterable

from fusionbench.data.layout import ROLES
from fusionbench.errors import did_you_mean
from fusionbench.evaluation.contract.report import need
from fusionbench.evaluation.protocol import metrics_of
from fusionbench.pixels.output_rule import RULES
from fusionbench.plugins.records import DatasetFacts, Facts, MethodFacts, MetricFacts, TaskFacts, WeightFacts


def check_card(facts: Facts) -> None:
    """Run the checks of its kind.

    Raises:
        AssertionError: naming the first thing that is wrong.
        PluginError: a protocol of a dataset with an unknown metric or profile.
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
        _dataset(facts)
    elif isinstance(facts, TaskFacts):
        need(facts.networks, "networks names at least one")
        need(facts.columns, "columns names at least one score")
        _weights(facts.weights)


def _method(facts: MethodFacts) -> None:
    _weights(facts.weights)


def _weights(listed: Iterable[WeightFacts]) -> None:
    for weights in listed:
        need(
            weights.packaged or ((weights.file or weights.parts) and weights.url),
            f"weights {weights.name} need file or parts, and url, or packaged",
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


def _dataset(facts: DatasetFacts) -> None:
    classes, splits = facts.classes, [split.name for split in facts.splits]
    need(facts.protocols, "needs at least one [protocols.NAME]")
    for label, names in (("mask", classes.segmentation), ("boxes", classes.boxes)):
        need(label not in facts.layout or names, f"[layout] has {label}, and [classes] does not name theirs")
    need(
        len(classes.palette) in (0, len(classes.segmentation)),
        f"palette has {len(classes.palette)} colours for {len(classes.segmentation)} classes",
    )
    _known("[layout]", facts.layout, ROLES)
    for role, templates in facts.layout.items():
        for template in [templates] if isinstance(templates, str) else templates:
            need(
                "{" not in template.replace("{split}", ""),
                f"[layout] {role}: {template!r} has another {{}} than {{split}}",
            )
    _known("[classes.box_aliases]", classes.box_aliases.values(), classes.boxes)
    _known("[tasks]", facts.tasks, facts.layout)
    _known("[conditions]", facts.conditions.values(), ("day", "night"))
    for label, own in facts.tasks.items():
        _known(f"[tasks.{label}]", filter(None, (own.train, own.test)), splits)
    for name, protocol in facts.protocols.items():
        _known(f"[protocols.{name}]", (protocol.split,), splits)
        _known(f"[protocols.{name}]", (protocol.output,), ("released", *RULES))
        metrics_of(protocol.profile, protocol.metrics or None, protocol.colour)  # raises what is unknown


def _known(section: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = tuple(known)
    for name in names:
        need(name in known, f"{section} names {name!r}; {did_you_mean(name, known)}")
