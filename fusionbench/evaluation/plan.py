"""From what a user asked to what will be run: entries x datasets x metrics, decided before any work."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import msgspec

from fusionbench.data import open_spec
from fusionbench.data.beforehand import look_at
from fusionbench.data.layout import DEFAULT
from fusionbench.data.opening import corrupted_too, data_root, known_spec
from fusionbench.data.pairing import Reading
from fusionbench.errors import FusionbenchError, find
from fusionbench.evaluation.entries import RELEASED, Entry, Skip, entries, runnable
from fusionbench.evaluation.picture_folders import Placing, from_folder, picture_tree, pictures_in, tree_notes
from fusionbench.evaluation.protocol import metrics_of, profile_name, protocol, variants_of
from fusionbench.evaluation.source import Source
from fusionbench.plugins.cards import cards
from fusionbench.results.records import Origin, PlanInfo, PlannedBoard


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked; empty tuples and None mean "as the protocol says" or "all there is"."""

    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    images_root: Path | None = None
    reading: Reading = DEFAULT
    data_root: Path | None = None
    split: str | None = None
    profile: str | None = None
    output_rule: str | None = None
    limit: int | None = None
    device: str = "cpu"
    jobs: int = 0
    ids: tuple[str, ...] = ()
    all_: bool = False
    fresh_versions: bool = False
    corrupt: tuple[str, ...] = ()
    precision: str | None = None
    compiled: bool = False
    batch: int = 0


@dataclass(frozen=True)
class Plan:
    """Everything that will be run, what is left out with the reason, and what the user should know before.

    Attributes:
        fresh_versions: whether results of other versions or another processor are computed again.
        notes: how files were paired and what is odd about them, a line each.
        absent: (entry id, source label) where an entry has no pictures of a source.
    """

    entries: tuple[Entry, ...]
    sources: tuple[Source, ...]
    skipped: tuple[Skip, ...]
    device: str
    jobs: int
    fresh_versions: bool = False
    notes: tuple[str, ...] = ()
    absent: frozenset[tuple[str, str]] = frozenset()

    def entries_of(self, source: Source) -> list[Entry]:
        """The entries that have or can make pictures of a source."""
        return [entry for entry in self.entries if (entry.id, source.label) not in self.absent]

    def sources_of(self, entry: Entry) -> list[Source]:
        """The sources of which an entry has or can make pictures."""
        return [source for source in self.sources if (entry.id, source.label) not in self.absent]

    def summary(self) -> PlanInfo:
        """What provenance tells of it."""
        return PlanInfo(
            entries=tuple(e.info() for e in self.entries),
            sources=tuple(PlannedBoard(**msgspec.structs.asdict(s.board()), images=len(s.ids)) for s in self.sources),
            skipped=tuple(str(s) for s in self.skipped),
            device=self.device,
            jobs=self.jobs,
        )


def make_plan(request: Request) -> Plan:
    """Decide what is run.

    Raises:
        FusionbenchError: for anything asked that does not exist, or when nothing is left to run.
    """
    rule = check_rule(request.output_rule or RELEASED)
    request = replace(
        request,
        output_rule=rule if request.output_rule else None,
        profile=profile_name(request.profile) if request.profile else None,
        datasets=tuple(dict.fromkeys(known_spec(spec) for spec in request.datasets)),
    )
    chosen, skipped = _entries(request, rule)
    sources: list[Source] = []
    notes: list[str] = []
    for spec in corrupted_too(request.datasets or tuple(cards("dataset")), request.corrupt):
        source = _source(spec, request, explicit=bool(request.datasets))
        if isinstance(source, Skip):
            skipped.append(source)
            continue
        try:
            looked = look_at(source.dataset, source.split, source.ids)
        except FusionbenchError as error:
            if request.datasets:
                raise
            skipped.append(Skip(source.label, str(error)))
            continue
        notes += [_of(source.label, line) for line in looked]
        if source.label in {other.label for other in sources}:
            raise FusionbenchError(
                f"{source.dataset.root}: a second dataset called {source.label}; score it into another out="
            )
        sources.append(source)
    if not sources:
        raise _no_source(request, skipped)
    if (own := _rule(sources)) != rule:
        chosen, _ = _entries(request, own)
    placing = Placing(sources, request.reading)
    chosen = _placed(chosen, request, own, placing)
    if not chosen:
        reasons = "; ".join(str(s) for s in skipped if s.fix)
        raise FusionbenchError(f"nothing to run: {reasons}" if skipped else "nothing to run")
    jobs = request.jobs or os.cpu_count() or 1
    return Plan(
        tuple(chosen),
        tuple(sources),
        tuple(skipped),
        request.device,
        jobs,
        request.fresh_versions,
        (*notes, *placing.notes, *placing.lacking()),
        frozenset(placing.absent),
    )


def _no_source(request: Request, skipped: list[Skip]) -> FusionbenchError:
    """Why there is nothing to fuse."""
    if request.datasets:  # they are there, but not what was asked of them
        asked = [skip for skip in skipped if skip.what in request.datasets]
        return FusionbenchError("; ".join(skip.why + (f"; {skip.fix}" if skip.fix else "") for skip in asked))
    return FusionbenchError(
        f"no images under {data_root(request.data_root)}: name a data folder with data_root= or FUSIONBENCH_DATA "
        "(see `fusionbench data list`), or make some: fusionbench data synth --like msrs --out data/MSRS"
    )


def _of(label: str, line: str) -> str:
    """A remark with the source that it is about; ``warning:`` stays in front."""
    warning, colon, text = line.partition("warning: ")
    return f"{warning}{colon}{label}: {text}" if colon else f"{label}: {line}"


def _placed(chosen: list[Entry], request: Request, rule: str, placing: Placing) -> list[Entry]:
    """The entries, where pictures of other programs have a place for each source."""
    placed = [placing.place(entry) if entry.precomputed else entry for entry in chosen]
    if request.images_root:
        root = request.images_root.resolve()
        tree = picture_tree(root, placing.datasets)
        for name, folders in tree.items():
            placed.append(placing.place(pictures_in(name, next(iter(folders.values())), rule), folders))
        placing.notes += tree_notes(root, tree)
    return _in_order(placed)


def _rule(sources: list[Source]) -> str:
    """The output rule of all pictures of a plan: what the protocols of its datasets say, with the user's change.

    Raises:
        FusionbenchError: they say different ones.
    """
    rules = {source.protocol.output: source.label for source in sources}
    if len(rules) > 1:
        text = " and ".join(f"{label} {rule}" for rule, label in rules.items())
        raise FusionbenchError(f"the protocols have different output rules: {text}; choose one with output_rule=")
    (rule,) = rules
    check_rule(rule)
    return rule


def _entries(request: Request, rule: str) -> tuple[list[Entry], list[Skip]]:
    """The entries in the order of tables, and what is left out."""
    every: list[Entry] = []
    skipped: list[Skip] = []
    if request.all_ or not (request.methods or request.images or request.images_root):
        every, skipped = runnable(rule)
    for spec in request.methods:
        rows, missing = entries(spec, rule)
        every += rows
        skipped += missing
    every += [from_folder(spec, rule) for spec in request.images]
    different: dict[tuple[str, str], Entry] = {}
    here = (request.device, request.precision, request.compiled, request.batch)
    for entry in (entry.on(*here) for entry in every):
        first = different.setdefault((entry.key, str(sorted(entry.options.items()))), entry)  # no folder is in the key
        if entry.id != first.id:
            skipped.append(Skip(entry.id, f"the same file as {first.id}, which stands for both"))
    return _in_order(different.values()), skipped


def _in_order(every: Iterable[Entry]) -> list[Entry]:
    """Entries in the order of tables.

    Raises:
        FusionbenchError: two of one name.
    """
    chosen = sorted(every, key=lambda e: (not e.source_only, e.id))
    for entry, following in pairwise(chosen):
        if entry.id == following.id:
            raise FusionbenchError(f"{entry.id}: two entries would have this id; give them different names")
    return chosen


def check_rule(rule: str) -> str:
    """The output rule that is meant.

    Raises:
        FusionbenchError: there is none.
    """
    from fusionbench.pixels.output_rule import RULES

    return find(rule, (RELEASED, *RULES), "no output rule")


def _source(spec: str, request: Request, explicit: bool) -> Source | Skip:
    try:
        dataset = open_spec(spec, request.data_root, request.reading)
    except FusionbenchError as error:
        if explicit:
            raise
        return Skip(spec, str(error).partition(": ")[2] or str(error))
    name = dataset.card.name
    split_name = dataset.add_list(request.split) if request.split else None
    rules = protocol(dataset.card).with_changes(
        split=split_name, output=request.output_rule, reading=request.reading.change
    )
    profile = profile_name(request.profile or rules.profile)
    names = rules.metrics if profile == rules.profile else None
    chosen = [m for spec in request.metrics for m in variants_of(spec, profile)]
    chosen = list({m.id: m for m in chosen}.values()) or metrics_of(profile, names, rules.colour)
    ids = dataset.ids(rules.split)
    if request.ids:
        ids = [i for i in ids if i in set(request.ids)]
    if not ids and (absent := dataset.unmatched(rules.split)):
        return Skip(spec, absent)
    if not ids:
        return Skip(
            spec,
            f"no images of split {rules.split!r} in {dataset.root}",
            f"splits here: {', '.join(s for s in dataset.splits() if dataset.ids(s)) or 'none'}",
        )
    split = dataset.split(rules.split)
    origin = dataset.origin or Origin()
    expected = len(split.ids) if split.ids is not None else split.count
    if origin.generator and rules.split not in dataset.lists:
        expected = origin.counts.get(rules.split, len(ids))
    if request.limit and request.limit < len(ids):
        expected, ids = expected or len(ids), ids[: request.limit]
    label = name
    if origin.generator:
        label = f"{origin.generator}-{name}"
        rules = replace(rules, name=f"{origin.generator}-{rules.name}")
    if dataset.card.facts.generic:
        label += "-" + re.sub(r"[^A-Za-z0-9._-]+", "_", dataset.root.resolve().name)
    if dataset.corruption:
        label += f"+{dataset.corruption}"
        rules = replace(rules, changed=(*rules.changed, f"corrupt={dataset.corruption}"))
    return Source(dataset, label, rules, tuple(ids), expected, tuple(chosen), origin)
