"""What ``fusionbench show`` explains besides plugins: variants, profiles, protocols, networks, entries and rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from fusionbench.cli.options import plugins
from fusionbench.cli.spelling import spelt
from fusionbench.cli.variants import measured, variant_lines
from fusionbench.counting import counted
from fusionbench.errors import PluginError, find
from fusionbench.evaluation.protocol import Protocol, metric, metrics_of, parsed, profile_name, protocol
from fusionbench.naming import matches
from fusionbench.plugins.cards import DatasetCard, MethodCard, card, cards, profiles
from fusionbench.plugins.records import COLOURS, WeightFacts

FURTHER = ("variant", "profile", "protocol", "network", "entry", "rule", "score")
RULES = {
    "released": "each method's own output rule, as its released code saves; `fusionbench show METHOD` tells it",
    "clip-round": "one rule for all: clip to 0..1, round to 8 bits, visible chroma by OpenCV's YCbCr, no stretch",
}
TASK_PROTOCOLS = {
    "retrained": "a network is trained on each entry's fused training set by one fixed recipe",
    "frozen": "one network, trained on a stated entry's pictures or given as a file, scores all entries",
}
_TOKEN = re.compile(r"(?P<name>[^@+]+)(@[vV]?(?P<version>\d+))?(?P<changes>(\+[A-Za-z_]+=[^+]*)*)")
_CHANGE = re.compile(r"\+([A-Za-z_]+)=([^+]*)")


@dataclass(frozen=True)
class Meaning:
    """What a name stands for: a kind of :data:`FURTHER`, the name as it is, and lines that explain it."""

    kind: str
    name: str
    lines: list[str] = field(default_factory=list)

    def text(self) -> str:
        """To print."""
        return "\n".join([f"{self.name} ({self.kind})", *self.lines]) + "\n"

    def plain(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


def meanings(name: str, kind: str | None = None) -> list[Meaning]:
    """What a name means besides a plugin's; [] where it means nothing else.

    Raises:
        PluginError: it is of the form of a variant, a protocol or an entry, and there is no such one.
    """
    readers: dict[str, Callable[[str], Meaning | None]] = {
        "profile": _profile,
        "protocol": _protocol,
        "network": _network,
        "rule": _rule,
        "score": _score,
        "variant": _variant,
        "entry": _entry,
    }
    found: list[Meaning] = []
    for own, read in readers.items():
        # the last two are known by their form, and say what is wrong
        if kind in (None, own) and not (found and own in ("variant", "entry")) and (meaning := read(name)):
            found.append(meaning)
    return found


def known_names() -> list[str]:
    """Every name that :func:`meanings` knows, for those who mistype one."""
    variants = [f"{n}@{v}" for n, c in cards("metric").items() for v in c.facts.variants]
    scores = [score for c in cards("task").values() for score, _ in c.facts.columns]
    return [*profiles(), *_protocols(), *_networks(), *COLOURS, *RULES, *TASK_PROTOCOLS, *scores, *variants]


def _variant(name: str) -> Meaning | None:
    head = name.partition("@" if "@" in name else "/")[0]
    if head == name or not plugins(head, "metric", needed=False):
        return None
    parts = parsed(name)
    if parts.variant.lower() == "all":
        return None
    meant = metric(name)
    agreements = measured(meant.card.path.parent / "parity.json")
    lines = [f"{meant.card.title}: {meant.card.summary}", *variant_lines(meant.card, meant.variant, agreements)]
    lines.append(f"  undefined where {meant.card.facts.undefined_of(meant.variant)}")
    lines.append(f"  scored is {COLOURS[meant.colour]} ({meant.colour})")
    others = ", ".join(v for v in meant.card.facts.variants if v != meant.variant)
    return Meaning("variant", meant.id, [*lines, f"  other variants: {others or 'none'}"])


def _profile(name: str) -> Meaning | None:
    if name.strip().lower() == "default":
        ids = ", ".join(m.id for m in metrics_of("default", None, "grey"))
        return Meaning("profile", "default", [f"every metric in its default variant: {ids}"])
    known = profiles()
    found = matches(name, known, {n: (p.title,) for n, p in known.items()})
    if len(found) != 1:
        return None
    facts = known[found[0]]
    lines = [
        facts.title,
        f"source:   {facts.source}",
        f"note:     {facts.note}",
        f"colour:   {facts.colour}: {COLOURS[facts.colour]}",
        f"metrics:  {', '.join(m.id for m in metrics_of(found[0], None, facts.colour))}",
        f"use it:   fusionbench eval --datasets NAME --profile {found[0]}",
    ]
    return Meaning("profile", found[0], lines)


def _protocols() -> dict[str, DatasetCard]:
    return {p: c for c in cards("dataset").values() for p in c.facts.protocols}


def _protocol(text: str) -> Meaning | None:
    match = _TOKEN.fullmatch(text.strip())
    if not match:
        return None
    known = _protocols()
    name, generated = match["name"], ""
    found = matches(name, known)
    if not found and "-" in name:  # of a generated tree: scenes-msrs-fusion
        generated, _, name = name.partition("-")
        found = matches(name, known)
    if len(found) != 1:
        return None
    dataset = known[found[0]]
    rules = protocol(dataset, found[0])
    if match["version"] and int(match["version"]) != rules.version:
        raise PluginError(f"{text}: {rules.name} is at version {rules.version} here; other versions are not known")
    kind = f"generated images ({generated}) in the layout of " if generated else ""
    lines = [f"on {kind}{dataset.title}", *_rules(dataset, rules)]
    for key, value in _CHANGE.findall(match["changes"]):
        lines += _change(key, value)
    lines.append(f"use it:   fusionbench eval --datasets {dataset.name} ...")
    token = rules.token if not generated else f"{generated}-{rules.token}"
    return Meaning("protocol", token + match["changes"], lines)


def _rules(dataset: DatasetCard, rules: Protocol) -> list[str]:
    split = next((s for s in dataset.facts.splits if s.name == rules.split), None)
    pairs = f": {counted('?' if split.count is None else split.count, 'pair')} ({split.source})" if split else ""
    return [
        f"split:    {rules.split}{pairs}",
        f"colour:   {rules.colour}: {COLOURS[rules.colour]}",
        f"output:   {rules.output}: {RULES.get(rules.output, 'one rule for all methods')}",
        f"profile:  {rules.profile}",
        f"metrics:  {', '.join(m.id for m in rules.own())}",
    ]


def _change(key: str, value: str) -> list[str]:
    """One change behind a protocol's token."""
    if key == "profile":
        chosen = profile_name(value)
        ids = ", ".join(m.id for m in metrics_of(chosen, None, "grey"))
        return [f"changed:  profile {chosen}, its metrics in its variants: {ids}"]
    if key == "metrics":
        return [f"changed:  other metrics than the protocol's: {value}"]
    if key in ("split", "output"):
        return [f"changed:  {key} {value} in place of the protocol's"]
    raise PluginError(f"+{key}={value}: no such change of a protocol; {key} is none of profile, metrics, split, output")


def _networks() -> dict[str, str]:
    return {network: name for name, c in cards("task").items() for network in c.facts.networks}


def _network(name: str) -> Meaning | None:
    tasks = _networks()
    found = matches(name, tasks)
    if len(found) != 1:
        return None
    task = card("task", tasks[found[0]])
    lines = [f"a network of the task {task.name}: {task.summary}", f"needs:    {task.facts.needs}"]
    for rule in task.facts.training:
        have = ", ".join(rule.datasets)
        lines.append(f"training: fusionbench train {found[0]} --datasets NAME, one of {have}")
    lines.append(f"use it:   fusionbench eval ... --tasks {task.name} --task-networks {found[0]}")
    return Meaning("network", found[0], lines)


def _rule(name: str) -> Meaning | None:
    if len(found := matches(name, RULES)) == 1:
        return Meaning("rule", found[0], [f"an output rule: {RULES[found[0]]}"])
    if len(found := matches(name, TASK_PROTOCOLS)) == 1:
        return Meaning("rule", found[0], [f"a protocol of tasks: {TASK_PROTOCOLS[found[0]]}"])
    if len(found := matches(name, COLOURS, {"grey": ("gray",)})) == 1:
        return Meaning("rule", found[0], [f"a colour rule: scored is {COLOURS[found[0]]}"])
    return None


def _score(name: str) -> Meaning | None:
    """A column of a task, with or without what stands behind the @."""
    for task in cards("task").values():
        titles = {score: (title,) for score, title in task.facts.columns}
        short: dict[str, list[str]] = {}
        for score in titles:
            short.setdefault(score.partition("@")[0], []).append(score)
        plain = name.strip(" ↑↓")
        found = matches(plain, titles, titles) or [s for head in matches(plain, short) for s in short[head]]
        if found:
            better = "smaller" if set(found) <= set(task.facts.lower) else "larger"
            lines = [f"a score of the task {task.name} ({task.summary}); {better} is better"]
            lines.append(f"columns:  {', '.join(titles)}")
            return Meaning("score", ", ".join(found), [*lines, f"use it:   fusionbench eval ... --tasks {task.name}"])
    return None


def _entry(name: str) -> Meaning | None:
    match = re.fullmatch(r"\s*(?P<name>[^\[\]]+)\[(?P<inside>[^\[\]]*)\]\s*", name)
    if not match:
        return None
    method = card("method", match["name"].strip())
    parts = [part.strip() for part in match["inside"].split(",") if part.strip()]
    lines = [f"{method.title}: {method.summary}"]
    if method.facts.precomputed:
        lines.append(f"pictures of another program, given as: fusionbench eval --images {','.join(parts)}=DIR ...")
        return Meaning("entry", f"{method.name}[{','.join(parts)}]", lines)
    names: list[str] = []
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals:
            names.append(_weights(method, part, lines))
            continue
        key = find(key.strip(), method.options, f"{method.name} has no option", error=PluginError)
        option = method.options[key]
        lines.append(f"option {key} = {value.strip()} (default {option.default}): {option.help}")
        names.append(f"{key}={value.strip()}")
    lines.append(f"more:     fusionbench show {method.name}")
    return Meaning("entry", f"{method.name}[{','.join(names)}]", lines)


def _weights(method: MethodCard, typed: str, lines: list[str]) -> str:
    """The name of a checkpoint; adds what is known of it to the lines."""
    from fusionbench.plugins.weights import hint, installed

    if not method.facts.requires_weights:
        raise PluginError(f"{method.name} takes no weights, so {typed!r} means nothing; options are written name=value")
    here = {w.name: w for w in installed(method.name)}
    listed = {w.name: w for w in method.facts.weights}
    name = find(typed, [*here, *listed], f"{method.name} has no weights", error=PluginError)
    if own := here.get(name):
        lines.append(f"weights {name}: sha256 {own.sha256[:12]}..., trained on {own.trained_on} (here)")
    else:
        facts: WeightFacts = listed[name]
        lines.append(f"weights {name}: sha256 {facts.sha256[:12]}..., trained on {facts.trained_on} (not here)")
        lines.append(f"to get it: {spelt(hint(method))}")
    return name
