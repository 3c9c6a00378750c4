"""Protocols and metric variants: what a number means, in one token."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from fusionbench.errors import PluginError, did_you_mean
from fusionbench.evaluation.entries import RELEASED
from fusionbench.evaluation.keys import SCORES, harness_hash
from fusionbench.plugins.cards import DatasetCard, MetricCard, card, cards, profiles
from fusionbench.plugins.fingerprint import code_hash
from fusionbench.plugins.records import Value, colour_rule


@dataclass(frozen=True)
class Metric:
    """One metric in one variant, under one colour rule.

    Attributes:
        card: the metric's card.
        variant: name of the variant, whose options the card holds.
        colour: name of the colour rule, see :data:`fusionbench.plugins.records.COLOURS`.
    """

    card: MetricCard
    variant: str
    colour: str = "grey"

    @property
    def id(self) -> str:
        """``name@variant``, with the colour rule where it is not ``grey``."""
        return f"{self.card.name}@{self.variant}" + ("" if self.colour == "grey" else f"/{self.colour}")

    @property
    def options(self) -> dict[str, Value]:
        """Keyword arguments of the metric function."""
        return self.card.facts.variants[self.variant].options

    @property
    def code(self) -> str:
        """Hash of everything the score of given pixels depends on: code, options, version, how pixels become grey."""
        facts = [code_hash(self.card), self.options, self.card.version, harness_hash(SCORES)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def up(self) -> bool:
        """Whether a larger value is better."""
        return self.card.facts.direction == "up"

    @property
    def title(self) -> str:
        """Column title, e.g. ``VIF@tdfusion``."""
        return f"{self.card.title}@{self.id.partition('@')[2]}"

    @property
    def digits(self) -> int:
        """Decimals in tables."""
        return self.card.facts.digits_of(self.variant)


@dataclass(frozen=True)
class Protocol:
    """What a table of fusion metrics was measured under.

    Attributes:
        name: e.g. ``msrs-fusion``; from the dataset's card.
        version: raised when any other field changes.
        split: which images.
        colour: colour rule, see :data:`fusionbench.plugins.records.COLOURS`.
        output: ``released`` (each entry's own output rule) or a rule that all entries share.
        profile: metric profile; decides the variant of each metric.
        metrics: metric names in column order.
        changed: what the user changed; a changed protocol may not be cited by its token.
    """

    name: str
    version: int
    split: str
    colour: str = "grey"
    output: str = RELEASED
    profile: str = "default"
    metrics: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        """Citable id, e.g. ``msrs-fusion@v1``; with the changes behind it when there are any."""
        return f"{self.name}@v{self.version}" + "".join(f"+{c}" for c in self.changed)

    @property
    def other_split(self) -> bool:
        """Whether the user named another split than the protocol's."""
        return any(change.startswith("split=") for change in self.changed)

    def own(self) -> list[Metric]:
        """The protocol's own metrics in its variants."""
        return metrics_of(self.profile, self.metrics or None, self.colour)

    def with_changes(self, *, split: str | None = None, output: str | None = None, reading: str = "") -> Protocol:
        """A copy with the given fields that are not None, noting those that differ, and how files are read."""
        given = {"split": split or self.split, "output": output or self.output}
        notes = tuple(f"{name}={value}" for name, value in given.items() if value != getattr(self, name))
        notes += (reading,) if reading else ()
        return replace(self, split=given["split"], output=given["output"], changed=self.changed + notes)


def protocol(dataset: DatasetCard, name: str | None = None) -> Protocol:
    """The dataset's first protocol, or the named one.

    Raises:
        PluginError: when the card has no such protocol.
    """
    known = dataset.facts.protocols
    if not known:
        raise PluginError(f"{dataset.path}: the card has no [protocols.NAME]")
    name = name or next(iter(known))
    if name not in known:
        raise PluginError(f"{dataset.name} has no protocol {name!r}; {did_you_mean(name, known)}")
    p = known[name]
    return Protocol(name, p.version, p.split, p.colour, p.output, p.profile, p.metrics)


def metric(spec: str, profile: str = "default", colour: str = "grey") -> Metric:
    """The metric a user typed: ``vif`` (the profile's variant, else the default) or ``vif@cddfuse``.

    Raises:
        PluginError: unknown metric or variant.
    """
    spec, _, rule = spec.partition("/")
    name, _, variant = spec.partition("@")
    entry = card("metric", name)
    if not variant:
        # A profile may name a colour rule of its own for one metric: "hw/joined".
        variant, _, own = in_profile(entry, profile)[0].partition("/")
        rule = rule or own
    try:
        colour = colour_rule(rule or colour)
    except ValueError as error:
        raise PluginError(f"{name}@{variant}/{rule or colour}: {error}") from None
    if variant not in entry.facts.variants:
        raise PluginError(f"{name} has no variant {variant!r}; {did_you_mean(variant, entry.facts.variants)}")
    return Metric(entry, variant, colour)


def in_profile(entry: MetricCard, profile: str) -> tuple[str, ...]:
    """A metric's variants under a profile, which may report several; the default variant outside it."""
    variants = entry.facts.profiles.get(profile, entry.facts.default)
    return (variants,) if isinstance(variants, str) else variants


def metric_change(shown: set[str], own: set[str]) -> str:
    """What stands behind a protocol's token when the columns are not its own: a profile's, or any other metrics."""
    if shown <= own:
        return ""
    for profile in profiles():
        if shown == {m.id for m in metrics_of(profile, None, "grey")}:
            return f"+profile={profile}"
    names = ",".join(sorted(shown - own))
    return f"+metrics={names}" if len(names) <= 40 else f"+metrics={hashlib.sha256(names.encode()).hexdigest()[:8]}"


def check_profile(name: str) -> None:
    """Raise for a profile that does not exist."""
    known = ["default", *profiles()]
    if name not in known:
        raise PluginError(f"no profile {name!r}; {did_you_mean(name, known)}")


def variants_of(spec: str, profile: str = "default") -> list[Metric]:
    """What a user typed: ``vif`` (as the profile has it), ``vif@sum``, or ``vif@all`` for every variant."""
    name, _, variant = spec.partition("@")
    colour = profiles()[profile].colour if profile != "default" else "grey"
    if not variant:
        return [metric(f"{name}@{v}", profile, colour) for v in in_profile(card("metric", name), profile)]
    if variant != "all":
        return [metric(spec)]
    return [metric(f"{name}@{v}") for v in card("metric", name).facts.variants]


def metrics_of(profile: str, names: tuple[str, ...] | None, colour: str) -> list[Metric]:
    """The metrics of a profile in the order of `names`, or all that the profile maps.

    Raises:
        PluginError: unknown profile or metric.
    """
    check_profile(profile)
    if profile != "default":
        colour = profiles()[profile].colour
        names = names or tuple(n for n, c in cards("metric").items() if profile in c.facts.profiles)
        if not names:
            raise PluginError(f"profile {profile!r}: no metric's card names it under [profiles]")
    elif not names:
        names = tuple(cards("metric"))
    specs = [f"{name}@{v}" for name in names for v in in_profile(card("metric", name), profile)]
    return [metric(spec, profile, colour) for spec in specs]
