"""Entries: what one row of a table is."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fusionbench.errors import FusionbenchError, PluginError
from fusionbench.evaluation.keys import PIXELS, harness_hash
from fusionbench.plugins import weights as weightfiles
from fusionbench.plugins.cards import Card, card, cards, did_you_mean
from fusionbench.plugins.fingerprint import code_hash
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.weights import Weights

RELEASED = "released"


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
        options: values that differ from the card's defaults.
        weights: the checkpoint, or None.
        rule: ``released`` (the card's own output rule) or the name of a common rule.
    """

    card: Card
    options: dict[str, Any] = field(default_factory=dict)
    weights: Weights | None = None
    rule: str = RELEASED

    @cached_property
    def id(self) -> str:
        """Readable id, e.g. ``gff``, ``refusion[ivif]``, ``laplacian[levels=3]``, ``images[SeAFusion]``."""
        label = self.card.data.get("label_option")
        inside = [self.weights.name] if self.weights else []
        if label in self.options:
            inside.append(str(self.options[label]))
        hidden = {label, *self.card.data.get("path_options", [])}
        inside += [f"{k}={v}" for k, v in sorted(self.options.items()) if k not in hidden]
        return self.card.name + (f"[{','.join(inside)}]" if inside else "")

    @property
    def source_only(self) -> bool:
        """Whether the row is one of the sources: shown in every table, ranked in none."""
        return self.card.data.get("role") == "source"

    @property
    def precomputed(self) -> bool:
        """Whether another program made the images."""
        return bool(self.card.data.get("precomputed"))

    @cached_property
    def key(self) -> str:
        """Hash of everything the fused images depend on, besides the source pair."""
        facts = {
            "method": self.card.name,
            "code": code_hash(self.card),
            "version": self.card.data["version"],
            "harness": harness_hash(PIXELS),
            "options": self.options,
            "weights": self.weights.sha256 if self.weights else None,
            "rule": self.rule,
            "output": self.card.data.get("output") if self.rule == RELEASED else None,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def folder(self) -> str:
        """Directory name for this entry's fused images."""
        rule = "" if self.rule == RELEASED else f".{self.rule}"
        return re.sub(r"[^A-Za-z0-9._=+-]+", "_", self.id).strip("_") + f"{rule}-{self.key[:8]}"

    def info(self) -> dict[str, Any]:
        """Facts for provenance and tables."""
        return {
            "id": self.id,
            "method": self.card.name,
            "title": self.card.title,
            "version": self.card.data["version"],
            "code": code_hash(self.card),
            "options": {
                k: v
                for k, v in {**self.card.defaults, **self.options}.items()
                if k not in self.card.data.get("path_options", [])
            },
            "weights": None
            if self.weights is None
            else {
                "name": self.weights.name,
                "sha256": self.weights.sha256,
                "trained_on": self.weights.trained_on,
                "listed": self.weights.listed,
            },
            "output_rule": self.rule,
            "output": self.card.data.get("output"),
            "source_only": self.source_only,
        }

    def build(self, device: str) -> Any:
        """Instantiate the method, load its weights, move it to `device`.

        Raises:
            PluginError: when the plugin fails to start.
            WeightsError: when the checkpoint is damaged.
        """
        path = weightfiles.verify(self.weights) if self.weights else None
        try:
            method = resolve("method", self.card.name)(**self.options)
            method.load(path)
            method.to(device)
        except (FusionbenchError, OSError):
            raise
        except Exception as error:
            raise PluginError(f"{self.id}: {self.card.source}: {type(error).__name__}: {error}") from error
        return method


SPEC = re.compile(r"^(?P<name>[^\[\]]+)(?:\[(?P<inside>.*)\])?$")


def entries(spec: str, rule: str = RELEASED) -> tuple[list[Entry], list[Skip]]:
    """Entries meant by what a user typed: ``gff``, ``gff[r1=30]``, ``refusion`` (every checkpoint), ``refusion[ivif]``.

    Raises:
        PluginError: unknown method, option or checkpoint.
    """
    match = SPEC.match(spec.strip())
    if not match:
        raise PluginError(f"method {spec!r} is not of the form name or name[weights,option=value]")
    entry = card("method", match["name"])
    names, options = [], {}
    for part in filter(None, (p.strip() for p in (match["inside"] or "").split(","))):
        key, equals, value = part.partition("=")
        if equals:
            options[key] = _value(entry, key, value)
            if options[key] == entry.options[key].default:
                del options[key]
        else:
            names.append(part)
    have = weightfiles.installed(entry.name)
    if not entry.data.get("requires_weights"):
        if names:
            raise PluginError(
                f"{entry.name} takes no weights, so {names[0]!r} in {spec!r} means nothing; "
                "options are written name=value"
            )
        return [Entry(entry, options, None, rule)], []
    if names:
        chosen = [w for w in have if w.name in names]
        if missing := [n for n in names if n not in {w.name for w in chosen}]:
            raise PluginError(f"{entry.name} has no weights {missing[0]!r} here; {weightfiles.hint(entry)}")
    else:
        chosen = have
    if not chosen:
        return [], [Skip(entry.name, "no weights at hand", weightfiles.hint(entry))]
    if entry.data.get("several_rows") and not options:
        rows = resolve("method", entry.name).rows
        return [Entry(entry, more, w, rule) for w in chosen for more in rows(w.path)], []
    return [Entry(entry, options, w, rule) for w in chosen], []


def single(spec: str, found: list[Entry]) -> Entry:
    """The one entry that is meant; of several rows of one checkpoint the plain one.

    Raises:
        FusionbenchError: several weights.
    """
    if len({e.weights.name for e in found if e.weights}) > 1:
        raise FusionbenchError(f"{spec} has several weights here: choose one of {', '.join(e.id for e in found)}")
    return min(found, key=lambda e: len(e.options))


def runnable(rule: str = RELEASED) -> tuple[list[Entry], list[Skip]]:
    """Every entry that can run as it is, and what is left out."""
    found: list[Entry] = []
    skipped: list[Skip] = []
    for name, entry in cards("method").items():
        if entry.data.get("precomputed"):
            continue  # needs a folder, named by --images
        got, missing = entries(name, rule)
        found += got
        skipped += missing
    return found, skipped


def from_folder(spec: str, rule: str = RELEASED) -> Entry:
    """The entry for ``NAME=DIR``: images that another program made.

    Raises:
        FusionbenchError: not of that form, or no such folder.
    """
    name, equals, text = spec.partition("=")
    if not equals or not name:
        raise FusionbenchError(f"--images {spec}: write NAME=DIR")
    if not Path(text).is_dir():
        raise FusionbenchError(f"--images {spec}: no such folder {text}")
    for entry in cards("method").values():
        if entry.data.get("precomputed"):
            return Entry(entry, {"name": name, "dir": str(Path(text).resolve())}, None, rule)
    raise PluginError("no plugin reads folders of images")


def _value(entry: Card, key: str, text: str) -> Any:
    if key not in entry.options:
        raise PluginError(f"{entry.name} has no option {key!r}; {did_you_mean(key, entry.options)}")
    kind = type(entry.options[key].default)
    try:
        return text.lower() in ("1", "true", "yes") if kind is bool else kind(text)
    except ValueError:
        raise PluginError(f"{entry.name}: option {key}={text} is not {kind.__name__}") from None


def one_entry(spec: str) -> Entry:
    """The one entry that is meant.

    Raises:
        FusionbenchError: none, or several.
    """
    found, skipped = entries(spec)
    if len(found) != 1:
        why = str(skipped[0]) if skipped else f"{spec} means {len(found)} entries"
        raise FusionbenchError(f"{why}; name one entry, such as visible or refusion[ivif]")
    return found[0]
