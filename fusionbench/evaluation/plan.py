"""From what a user asked to what will be run: entries x datasets x metrics, decided before any work."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import msgspec

from fusionbench.data import Dataset, open_spec
from fusionbench.data.opening import data_root, known_spec
from fusionbench.errors import FusionbenchError, find
from fusionbench.evaluation.entries import RELEASED, Entry, Skip, entries, from_folder, runnable
from fusionbench.evaluation.protocol import (
    Metric,
    Protocol,
    metric_change,
    metrics_of,
    profile_name,
    protocol,
    variants_of,
)
from fusionbench.plugins.cards import cards
from fusionbench.results.records import Board, Origin, PlanInfo, PlannedBoard


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked; empty tuples and None mean "as the protocol says" or "all there is"."""

    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
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


@dataclass(frozen=True)
class Source:
    """One dataset split that is scored under one protocol.

    Attributes:
        dataset: the adapter, on its folder.
        label: name in tables; a generated tree says so here.
        ids: the image ids to score, in order.
        expected: number of images in the whole split, or None where nobody states it.
        origin: where a generated tree comes from; empty for real images.
    """

    dataset: Dataset
    label: str
    protocol: Protocol
    ids: tuple[str, ...]
    expected: int | None
    metrics: tuple[Metric, ...]
    origin: Origin

    @property
    def token(self) -> str:
        """The protocol's token with everything that this run changes behind it."""
        return self.protocol.token + metric_change({m.id for m in self.metrics}, {m.id for m in self.protocol.own()})

    @property
    def split(self) -> str:
        """Name of the split."""
        return self.protocol.split

    @property
    def partial(self) -> bool:
        """Whether images of the split are not scored."""
        return self.expected is not None and len(self.ids) < self.expected

    @property
    def unmatched(self) -> str:
        """What of a user's list is not there, in one line; "" where all of it is."""
        return self.dataset.unmatched(self.split)

    def board(self) -> Board:
        """What provenance and tables tell of it."""
        split, title = self.dataset.split(self.split), self.dataset.card.title
        return Board(
            dataset=self.label,
            title=f"Scenes in the layout of {title}" if self.origin.generator else title,
            split=self.split,
            split_sha256=split.sha256,
            split_source=split.source,
            expected=self.expected,
            protocol=self.protocol.token,
            own_metrics=tuple(m.id for m in self.protocol.own()),
            colour=self.protocol.colour,
            output=self.protocol.output,
            metrics=tuple(m.id for m in self.metrics),
            origin=self.origin,
        )


@dataclass(frozen=True)
class Plan:
    """Everything that will be run, and what is left out with the reason.

    Attributes:
        fresh_versions: whether results of other versions or another processor are computed again.
    """

    entries: tuple[Entry, ...]
    sources: tuple[Source, ...]
    skipped: tuple[Skip, ...]
    device: str
    jobs: int
    fresh_versions: bool = False

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
    for spec in request.datasets or tuple(cards("dataset")):
        source = _source(spec, request, explicit=bool(request.datasets))
        if isinstance(source, Skip):
            skipped.append(source)
            continue
        if source.label in {other.label for other in sources}:
            raise FusionbenchError(
                f"{source.dataset.root}: a second dataset called {source.label}; score it into another out="
            )
        sources.append(source)
    if not sources:
        if request.datasets:  # they are there, but not what was asked of them
            asked = [skip for skip in skipped if skip.what in request.datasets]
            raise FusionbenchError("; ".join(skip.why + (f"; {skip.fix}" if skip.fix else "") for skip in asked))
        raise FusionbenchError(
            f"no images under {data_root(request.data_root)}: name a data folder with data_root= or FUSIONBENCH_DATA "
            "(`fusionbench data list` shows what is expected), or make some: fusionbench data synth"
            " --like msrs --out data/MSRS"
        )
    if (own := _rule(sources)) != rule:
        chosen, _ = _entries(request, own)
    if not chosen:
        reasons = "; ".join(str(s) for s in skipped if s.fix)
        raise FusionbenchError(f"nothing to run: {reasons}" if skipped else "nothing to run")
    jobs = request.jobs or os.cpu_count() or 1
    jobs = 1 if request.device != "cpu" else jobs
    return Plan(tuple(chosen), tuple(sources), tuple(skipped), request.device, jobs, request.fresh_versions)


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
    if request.all_ or not (request.methods or request.images):
        every, skipped = runnable(rule)
    for spec in request.methods:
        rows, missing = entries(spec, rule)
        every += rows
        skipped += missing
    every += [from_folder(spec, rule) for spec in request.images]
    different: dict[tuple[str, str], Entry] = {}
    for entry in (entry.on(request.device) for entry in every):
        first = different.setdefault((entry.key, str(sorted(entry.options.items()))), entry)  # no folder is in the key
        if entry.id != first.id:
            skipped.append(Skip(entry.id, f"the same file as {first.id}, which stands for both"))
    chosen = sorted(different.values(), key=lambda e: (not e.source_only, e.id))
    for entry, following in pairwise(chosen):
        if entry.id == following.id:
            raise FusionbenchError(f"{entry.id}: two entries would have this id; give them different names")
    return chosen, skipped


def check_rule(rule: str) -> str:
    """The output rule that is meant.

    Raises:
        FusionbenchError: there is none.
    """
    from fusionbench.pixels.output_rule import RULES

    return find(rule, (RELEASED, *RULES), "no output rule")


def _source(spec: str, request: Request, explicit: bool) -> Source | Skip:
    try:
        dataset = open_spec(spec, request.data_root)
    except FusionbenchError as error:
        if explicit:
            raise
        return Skip(spec, str(error).partition(": ")[2] or str(error))
    name = dataset.card.name
    split_name = dataset.add_list(request.split) if request.split else None
    rules = protocol(dataset.card).with_changes(split=split_name, output=request.output_rule)
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
    return Source(dataset, label, rules, tuple(ids), expected, tuple(chosen), origin)
