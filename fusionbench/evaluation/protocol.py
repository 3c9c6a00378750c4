"""Protocols and metric variants: what a number means, in one token."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace

from fusionbench.errors import PluginError, find
from fusionbench.evaluation.entries import RELEASED
from fusionbench.evaluation.keys import SCORES, harness_hash
from fusionbench.naming import matches
from fusionbench.plugins.cards import DatasetCard, MetricCard, card, cards, profiles
from fusionbench.plugins.fingerprint import code_hash, named_code
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
        if named := named_code(self.card, self.options):
            facts.append(named)
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
    name = find(name or next(iter(known)), known, f"{dataset.name} has no protocol", error=PluginError)
    p = known[name]
    return Protocol(name, p.version, p.split, p.colour, p.output, p.profile, p.metrics)


@dataclass(frozen=True)
class Spec:
    """A metric as a user types it or a table prints it, in its parts; "" where one is not there."""

    card: MetricCard
    variant: str = ""
    rule: str = ""


_ARROW = re.compile(r"\s*([↑↓]|\$?\\(up|down)arrow\$?)\s*$")


def without_tex(name: str) -> str:
    """``QAB/F`` and ``$Q^{AB/F}$`` as ``QABF``."""
    return re.sub(r"[\^{}$/]", "", name)


def parsed(spec: str) -> Spec:
    """The parts of ``vif``, ``vif@cddfuse``, ``vif/per-channel``, ``VIF@tang-uint8 ↑``, ``Q^{AB/F}``.

    Raises:
        PluginError: unknown metric.
    """
    text = _ARROW.sub("", spec).replace("\\_", "_").strip()
    name, at, variant = text.partition("@")
    variant, _, rule = variant.partition("/")
    known = cards("metric")
    if not at and "/" in name:  # a colour rule, or a slash inside the name
        if len(matches(plain := without_tex(name), known, {n: (c.title,) for n, c in known.items()})) == 1:
            name = plain
        else:
            name, _, rule = name.partition("/")
    if len(of := _task_scores(spec)) == 1 and not matches(name, known):
        raise PluginError(f"{spec} is a score of the task {of[0]}, no metric of fused pictures; see tasks={of[0]}")
    return Spec(card("metric", name.strip()), variant.strip(), rule.strip())


def _task_scores(spec: str) -> list[str]:
    """The tasks that have a column of this name, with or without what stands behind the @."""
    columns = {name: [text for pair in c.facts.columns for text in pair] for name, c in cards("task").items()}
    return [
        name
        for name, texts in columns.items()
        if matches(spec, texts) or matches(spec, {text.partition("@")[0] for text in texts})
    ]


def metric(spec: str, profile: str = "default", colour: str = "grey") -> Metric:
    """The metric a user typed: ``vif`` (the profile's variant, else the default) or ``vif@cddfuse``.

    Raises:
        PluginError: unknown metric or variant.
    """
    parts = parsed(spec)
    entry, variant, rule = parts.card, parts.variant, parts.rule
    if not variant:
        # A profile may name a colour rule of its own for one metric: "hw/joined".
        variant, _, own = in_profile(entry, profile)[0].partition("/")
        rule = rule or own
    variant = find(variant, entry.facts.variants, f"{entry.name} has no variant", error=PluginError)
    try:
        colour = colour_rule(rule or colour)
    except ValueError as error:
        raise PluginError(f"{entry.name}@{variant}/{rule or colour}: {error}") from None
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


def without_columns(protocol: str) -> str:
    """A protocol's token without what :func:`metric_change` says of the columns."""
    return "+".join(part for part in protocol.split("+") if not part.startswith(("metrics=", "profile=")))


def profile_name(name: str) -> str:
    """The profile that is meant.

    Raises:
        PluginError: there is none.
    """
    known = profiles()
    titles = {n: (p.title,) for n, p in known.items()}
    return find(name, ("default", *known), "no profile", titles, PluginError)


def variants_of(spec: str, profile: str = "default") -> list[Metric]:
    """What a user typed: ``vif`` (as the profile has it), ``vif@sum``, or ``vif@all`` for every variant."""
    parts = parsed(spec)
    name, rule = parts.card.name, f"/{parts.rule}" if parts.rule else ""
    if not parts.variant:
        colour = profiles()[profile].colour if profile != "default" else "grey"
        own = in_profile(parts.card, profile)
        return [metric(f"{name}@{v.partition('/')[0]}{rule}" if rule else f"{name}@{v}", profile, colour) for v in own]
    if parts.variant.lower() != "all":
        return [metric(spec)]
    return [metric(f"{name}@{v}{rule}") for v in parts.card.facts.variants]


def metrics_of(profile: str, names: tuple[str, ...] | None, colour: str) -> list[Metric]:
    """The metrics of a profile in the order of `names`, or all that the profile maps.

    Raises:
        PluginError: unknown profile or metric.
    """
    profile = profile_name(profile)
    if profile != "default":
        colour = profiles()[profile].colour
        names = names or tuple(n for n, c in cards("metric").items() if profile in c.facts.profiles)
        if not names:
            raise PluginError(f"profile {profile!r}: no metric's card names it under [profiles]")
    elif not names:
        names = tuple(cards("metric"))
    specs = [f"{name}@{v}" for name in names for v in in_profile(card("metric", name), profile)]
    return [metric(spec, profile, colour) for spec in specs]
