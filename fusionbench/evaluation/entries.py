"""Entries: what one row of a table is."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from fusionbench.commas import parted
from fusionbench.errors import FusionbenchError, PluginError, find
from fusionbench.evaluation.building import built
from fusionbench.evaluation.keys import BATCHES, PIXELS, harness_hash
from fusionbench.naming import matches, nearest
from fusionbench.plugins.cards import MethodCard, card, cards
from fusionbench.plugins.fingerprint import code_hash, named_code
from fusionbench.plugins.records import OutputFacts, Value, WeightFacts
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.weights import Weights, hint, installed
from fusionbench.results.records import EntryInfo, WeightsInfo
from fusionbench.runtime.arithmetic import Arithmetic, settled
from fusionbench.runtime.device import device_kind
from fusionbench.runtime.files import short_name

if TYPE_CHECKING:
    from fusionbench.pixels.output_rule import OutputRule
    from fusionbench.plugins.method import Method

RELEASED = "released"
ON_A_DEVICE = 8  # pairs at once
BOOLS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


@dataclass(frozen=True)
class Skip:
    """Something that is left out, why, and the command that would mend it."""

    what: str
    why: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f"; {self.fix}" if self.fix else "")


@dataclass(frozen=True)
class Entry:
    """A method with its options, weights and output rule.

    Attributes:
        card: the method's card.
        options: values that differ from the card's defaults, those of the checkpoint among them.
        weights: the checkpoint, or None.
        rule: ``released`` (the card's own output rule) or the name of a common rule.
        device: kind of the device that makes the pictures: ``cpu``, ``cuda``, ``mps``.
        precision: of its arithmetic: ``float32``, ``tf32``, ``bf16``.
        compiled: whether its networks go through ``torch.compile``.
        untrained: whether its networks keep the random weights that they begin with; only costs are measured so.
        batch: pairs of 480x640 that go through the method at once, see :mod:`fusionbench.evaluation.batches`.
    """

    card: MethodCard
    options: dict[str, Value] = field(default_factory=dict)
    weights: Weights | None = None
    rule: str = RELEASED
    device: str = "cpu"
    precision: str = "float32"
    compiled: bool = False
    untrained: bool = False
    batch: int = 1

    @cached_property
    def id(self) -> str:
        """Readable id, e.g. ``gff``, ``refusion[ivif]``, ``laplacian[levels=3]``, ``images[SeAFusion]``."""
        facts = self.card.facts
        inside = [self.weights.name] if self.weights else ["random weights"] if self.untrained else []
        if facts.label_option in self.options:
            inside.append(str(self.options[facts.label_option]))
        hidden = {facts.label_option, *facts.path_options}
        usual = {**self.card.defaults, **tied(self.card, self.weights)}
        chosen = {**self.card.defaults, **self.options}
        inside += [f"{k}={v}" for k, v in sorted(chosen.items()) if k not in hidden and v != usual[k]]
        return self.card.name + (f"[{','.join(inside)}]" if inside else "")

    @property
    def source_only(self) -> bool:
        """Whether the row is one of the sources: shown in every table, ranked in none."""
        return self.card.facts.role == "source"

    @property
    def precomputed(self) -> bool:
        """Whether another program made the images."""
        return self.card.facts.precomputed

    @cached_property
    def key(self) -> str:
        """Hash of everything the fused images depend on, besides the source pair.

        Folders do not count: pictures that lie in one are known by their own pixels, and a name may have one folder
        for each dataset.
        """
        folders = self.card.facts.path_options
        facts = {
            "method": self.card.name,
            "code": code_hash(self.card),
            "version": self.card.version,
            "harness": harness_hash(PIXELS),
            "options": {k: v for k, v in self.options.items() if k not in folders},
            "weights": self.weights.sha256 if self.weights else None,
            "rule": self.rule,
            "output": self._own_output if self.rule == RELEASED else None,
        }
        if named := named_code(self.card, self.options):
            facts["named"] = named
        if (self.device, self.precision) != ("cpu", "float32"):  # older results, whose keys say nothing of it, are that
            facts |= {"device": self.device, "precision": self.precision}
        if self.untrained:
            facts["weights"] = "random"
        if self.compiled:
            facts["compiled"] = "torch.compile"
        if self.batch != 1:
            facts |= {"batch": str(self.batch), "batching": harness_hash(BATCHES)}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def on(self, device: str, asked: str | None = None, compiled: bool = False, batch: int = 1) -> Entry:
        """The entry on a device (``cuda:1``); finished pictures are the same everywhere.

        Args:
            device: that makes the pictures.
            asked: precision of networks; None for float32. Methods without weights have no networks, and no
                other key.
            compiled: whether networks are compiled; likewise.
            batch: pairs at once; 0 for what suits the device.

        Raises:
            FusionbenchError: no such precision, or not on that device.
        """
        kind, network = device_kind(device), self.card.facts.requires_weights
        own = settled(kind, asked) if asked else "float32"  # a wrong one is told whatever the method
        if self.precomputed:
            return self
        precision, compiled, batch = own if network else "float32", compiled and network, batch or usual(kind)
        return replace(self, device=kind, precision=precision, compiled=compiled, batch=batch)

    @property
    def _own_output(self) -> dict[str, str]:
        return msgspec.structs.asdict(self.card.facts.output or OutputFacts())

    def output_rule(self) -> OutputRule:
        """How what the method returns becomes a picture. Finished pictures stay as they are under every rule."""
        from fusionbench.pixels.output_rule import RULES, OutputRule

        released = self.rule == RELEASED or self.precomputed
        return OutputRule(**self._own_output) if released else RULES[self.rule]

    @property
    def folder(self) -> str:
        """Directory name for this entry's fused images."""
        rule = "" if self.rule == RELEASED else f".{self.rule}"
        return short_name(re.sub(r"[^A-Za-z0-9._=+-]+", "_", self.id).strip("_")) + f"{rule}-{self.key[:8]}"

    def info(self) -> EntryInfo:
        """What provenance and tables tell of it."""
        options = {**self.card.defaults, **self.options}
        weights = None
        if self.weights:
            w = self.weights
            weights = WeightsInfo(name=w.name, sha256=w.sha256, trained_on=w.trained_on, listed=w.listed)
        return EntryInfo(
            id=self.id,
            method=self.card.name,
            title=self.card.title,
            version=self.card.version,
            code=code_hash(self.card),
            options={k: v for k, v in options.items() if k not in self.card.facts.path_options},
            weights=weights,
            output_rule=self.rule,
            output=self._own_output if self.card.facts.output else None,
            source_only=self.source_only,
            device=self.device,
            precision=self.precision,
            compiled=self.compiled,
            batch=self.batch,
            unverified=self.card.facts.unverified,
        )

    def build(self, device: str) -> Method:
        """Instantiate the method, load its weights, move it to `device`, have its networks compute as the entry says.

        Raises:
            PluginError: when the plugin fails to start.
            WeightsError: when the checkpoint is damaged.
        """
        arithmetic = Arithmetic(self.precision, self.compiled)
        return built(self.card, self.options, self.weights, device, arithmetic, self.id, self.untrained)


def usual(kind: str) -> int:
    """Pairs at once where nobody says how many: one on a processor, which a pair keeps busy."""
    return 1 if kind == "cpu" else ON_A_DEVICE


def tied(entry: MethodCard, weights: Weights | None) -> dict[str, Value]:
    """Options that a checkpoint which the card lists runs with, where the user says nothing."""
    listed = _listed(entry, weights)
    return listed.options if listed else {}


def _listed(entry: MethodCard, weights: Weights | None) -> WeightFacts | None:
    """What the card says of a checkpoint."""
    return next((w for w in entry.facts.weights if weights and w.sha256 == weights.sha256), None)


SPEC = re.compile(r"^(?P<name>[^\[\]]+)(?:\[(?P<inside>.*)\])?$")


def entries(spec: str, rule: str = RELEASED, untrained: bool = False) -> tuple[list[Entry], list[Skip]]:
    """Entries meant by what a user typed: ``gff``, ``gff[r1=30]``, ``refusion`` (every checkpoint), ``refusion[ivif]``.

    Args:
        spec: what was typed.
        rule: of output.
        untrained: whether a method whose weights are not here is an entry with random ones, and not skipped.

    Raises:
        PluginError: unknown method, option or checkpoint.
    """
    match = SPEC.match(spec.strip())
    if not match:
        raise PluginError(f"method {spec!r} is not of the form name or name[weights,option=value]")
    entry = card("method", match["name"].strip())
    if entry.facts.precomputed:
        name = parted(match["inside"] or "")[2] or match["inside"] or "NAME"
        raise PluginError(f"{spec}: pictures of another program are given with images={name}=DIR")
    usable = installed(entry.name) if entry.facts.requires_weights else []
    names, options = _inside(entry, match["inside"] or "", usable)
    if not entry.facts.requires_weights:
        if names:
            raise PluginError(
                f"{entry.name} takes no weights, so {names[0]!r} in {spec!r} means nothing; "
                "options are written name=value"
            )
        return [Entry(entry, _different(entry, options), None, rule)], []
    chosen = [w for w in usable if not names or w.name in names]
    if not chosen and untrained:
        return [Entry(entry, _different(entry, options), None, rule, untrained=True)], []
    if not chosen:
        return [], [Skip(entry.name, "no weights at hand", hint(entry))]
    if entry.facts.several_rows and not _different(entry, options):
        rows = resolve("method", entry.name).rows
        return [Entry(entry, more, w, rule) for w in chosen for more in rows(w.path)], []
    return [Entry(entry, _different(entry, {**tied(entry, w), **options}), w, rule) for w in chosen], []


def _inside(entry: MethodCard, text: str, usable: list[Weights]) -> tuple[list[str], dict[str, Value]]:
    """Names of weights, and options, from what stands between the brackets."""
    names: list[str] = []
    options: dict[str, Value] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            names.append(_weights_name(entry, part, usable) if entry.facts.requires_weights else part)
        else:
            key = find(key.strip(), entry.options, f"{entry.name} has no option", error=PluginError)
            if key in options:
                raise PluginError(f"{entry.name}: option {key} is given twice")
            options[key] = _value(entry, key, value.strip())
    return names, options


def _weights_name(entry: MethodCard, typed: str, usable: list[Weights]) -> str:
    """The checkpoint that is meant."""
    here = [w.name for w in usable]
    found = matches(typed, here)
    if len(found) > 1:
        raise PluginError(f"{entry.name}[{typed}]: it may be {' or '.join(found)}; write it as it is")
    if not found:
        near = nearest(typed, here)
        have = f"did you mean {', '.join(near)}? Else: " if near else f"here are: {', '.join(here)}; " if here else ""
        raise PluginError(f"{entry.name} has no weights {typed!r} here; {have}{hint(entry)}")
    return found[0]


def _different(entry: MethodCard, options: dict[str, Value]) -> dict[str, Value]:
    """Options without those that have their default."""
    return {k: v for k, v in options.items() if v != entry.options[k].default}


def single(spec: str, rows: list[Entry]) -> Entry:
    """The one entry that is meant; of several rows of one checkpoint the plain one.

    Raises:
        FusionbenchError: several weights.
    """
    if len({e.weights.name for e in rows if e.weights}) > 1:
        raise FusionbenchError(f"{spec} has several weights here: choose one of {', '.join(e.id for e in rows)}")
    return min(rows, key=lambda e: len(e.options))


def runnable(rule: str = RELEASED, untrained: bool = False) -> tuple[list[Entry], list[Skip]]:
    """Every entry that can run as it is, is not slow and not set aside by its card, and what is left out.

    With ``untrained``, for which values do not matter, nothing is set aside; see :func:`entries`.
    """
    every: list[Entry] = []
    skipped: list[Skip] = []
    for name, entry in cards("method").items():
        if entry.facts.precomputed:
            continue  # needs a folder, named by images=
        if entry.facts.slow:
            skipped.append(Skip(name, "takes seconds a picture", f"name it with methods={name}"))
            continue
        rows, missing = entries(name, rule, untrained)
        for row in rows:
            listed = _listed(entry, row.weights)
            if listed and listed.aside and not untrained:
                skipped.append(Skip(row.id, listed.aside, f"name it with methods={row.id}"))
            else:
                every.append(row)
        skipped += missing
    return every, skipped


def _value(entry: MethodCard, key: str, text: str) -> Value:
    kind = type(entry.options[key].default)
    try:
        value: Value = BOOLS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise PluginError(f"{entry.name}: option {key}={text} is not {kind.__name__}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise PluginError(f"{entry.name}: option {key}={text} is not a finite number")
    return value


def one_entry(spec: str) -> Entry:
    """The one entry that is meant.

    Raises:
        FusionbenchError: none, or several.
    """
    rows, skipped = entries(spec)
    if len(rows) != 1:
        why = str(skipped[0]) if skipped else f"{spec} means {len(rows)} entries"
        raise FusionbenchError(f"{why}; name one entry, such as visible or refusion[ivif]")
    return rows[0]
