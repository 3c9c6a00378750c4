"""What a results store and a table's provenance hold, as typed records; in the file they are JSON with these keys.

Unknown keys are passed over when a record is read, so that a newer version's store can be shown. One file: the
reference of all that is kept.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, NamedTuple

import msgspec

Value = bool | int | float | str  # of a method's option
Part = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,6}/[0-9]{1,6}$")]  # the first of four is 1/4
SOURCE = ""  # where an entry's key is expected: the source pair itself
SOURCE_NAME = "source"  # its name in texts
Signed = Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | msgspec.UnsetType  # unset, it is in no record


class Case(NamedTuple):
    """One image of one entry."""

    entry: str
    """The entry's key, or :data:`SOURCE`."""
    image: str
    """Id of the image."""


Failures = dict[Case, str]  # to the reason


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the records."""

    def plain(self) -> dict[str, object]:
        """The record as plain data, as it is stored."""
        data: dict[str, object] = msgspec.to_builtins(self)
        return data


class WeightsInfo(Record, frozen=True, kw_only=True):
    """The checkpoint of an entry, see :class:`fusionbench.plugins.weights.Weights`."""

    name: str
    sha256: str
    trained_on: str
    listed: bool


class EntryInfo(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What one row of a table is.

    Attributes:
        id: readable and unique among the rows, e.g. ``refusion[ivif]``.
        method: name of the method.
        title: of the method.
        version: of the method.
        code: hash of the method's code.
        options: all of them, but for folders of this machine.
        weights: the checkpoint, or None.
        output_rule: ``released`` or the name of a common rule.
        output: the method's own output rule.
        source_only: whether the row is a source image itself, which is never ranked.
        device: kind of the device that made the pictures.
        precision: of its arithmetic.
        compiled: whether networks went through ``torch.compile``.
        batch: pairs of 480x640 that were fused at once.
        unverified: what the method could not be compared with, or ""; such a row is not ranked either.
    """

    id: str
    method: str
    title: str
    version: str
    code: str
    options: dict[str, Value]
    weights: WeightsInfo | None
    output_rule: str
    output: dict[str, str] | None
    source_only: bool
    device: str = "cpu"
    precision: str = "float32"
    compiled: bool = False
    batch: int = 1
    unverified: str = ""

    @property
    def ranked(self) -> bool:
        """Whether the row takes part in rankings."""
        return not self.source_only and not self.unverified

    @property
    def made_in(self) -> str:
        """Device and arithmetic of the pictures in words; a processor in float32 is "cpu in float32"."""
        more = ", compiled" * self.compiled + f", {self.batch} at once" * (self.batch != 1)
        return f"{self.device} in {self.precision}{more}"


GENERATORS = ("scenes", "scenes-2")  # what draws trees: the second takes pictures in as many ways as real cameras


class Origin(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Where a generated tree comes from; all empty for real images.

    Attributes:
        generator: its name.
        seed: of the generator.
        like: the dataset whose layout it has.
        size: height and width in pixels.
        counts: pairs by split.
        conditions: split to image id to weather and light.
        unfinished: whether images are still to be written.
    """

    generator: str = ""
    seed: int | None = None
    like: str = ""
    size: tuple[int, int] | None = None
    counts: dict[str, int] = {}
    conditions: dict[str, dict[str, str]] = {}
    unfinished: bool = False

    @property
    def source(self) -> str:
        """Generator and seed, as they stand in notes."""
        return f"{self.generator}, seed {self.seed}"


class Board(Record, frozen=True, kw_only=True):
    """A dataset split that is scored under a protocol.

    Attributes:
        dataset: label in tables; a generated tree says so here.
        title: of the dataset.
        split: name of the split.
        split_sha256: hash of its list of ids.
        split_source: who says what belongs to it.
        expected: number of images in the whole split, or None where nobody states it.
        protocol: citable token, with what the user changed.
        own_metrics: metric ids of the protocol.
        colour: colour rule of the protocol.
        output: ``released`` or an output rule that all entries share.
        metrics: metric ids of the columns.
        origin: of a generated tree.
        corruption: what was done to the pairs before methods got them, e.g. ``shift4``; scored are the good ones.
        shards: the parts that are here, e.g. ``1/4``, where the pairs are scored in parts; unset once all are.
    """

    dataset: str
    title: str
    split: str
    split_sha256: str
    split_source: str
    expected: int | None
    protocol: str
    own_metrics: tuple[str, ...]
    colour: str
    output: str
    metrics: tuple[str, ...]
    origin: Origin = Origin()
    corruption: str | msgspec.UnsetType = msgspec.UNSET  # unset, it is in no record, as in those from before
    shards: tuple[Part, ...] | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.colour == "gray":  # so in older stores
            msgspec.structs.force_setattr(self, "colour", "grey")


class PlannedBoard(Board, frozen=True, kw_only=True):
    """A board with the number of images that a run covers."""

    images: int


class PlanInfo(Record, frozen=True, kw_only=True):
    """What was to be run."""

    entries: tuple[EntryInfo, ...]
    sources: tuple[PlannedBoard, ...]
    skipped: tuple[str, ...]
    device: str
    jobs: int


class Hardware(Record, frozen=True, kw_only=True):
    """The machine.

    Attributes:
        cpu: name of the processor.
        cores: logical ones.
        memory_gib: in GiB; 0 where the system does not tell.
        gpus: names of those that torch can use.
        machine: architecture, e.g. ``x86_64``.
        system: e.g. ``Linux``.
    """

    cpu: str
    cores: int | None
    memory_gib: float
    gpus: tuple[str, ...]
    machine: str
    system: str


class Run(Record, frozen=True, kw_only=True):
    """Provenance of one run.

    Attributes:
        command: as typed.
        started: UTC.
        wall_seconds: how long it took.
        fusionbench: version of the package.
        commit: of the checkout, or None outside one.
        python: version.
        libraries: versions of those that decide numbers.
        hardware: the machine.
        seed: of the run; fusing and scoring have none.
        plan: what was to be run.
        fused: number of images fused.
        scored: number of values computed.
        who: who signed it, where somebody did.
    """

    command: str
    started: str
    wall_seconds: float
    fusionbench: str
    commit: str | None
    python: str
    libraries: dict[str, str]
    hardware: Hardware
    seed: int | None
    plan: PlanInfo
    fused: int
    scored: int
    who: Signed = msgspec.UNSET


class Made(Record, frozen=True, kw_only=True):
    """What computed a result, beside its key: kept results of another one stand in tables with a mark.

    Attributes:
        libraries: version by name, of those that the result depends on; none where older results do not tell.
        processor: name of the processor or graphics card.
        who: who signed it, where somebody did.
        when: in UTC, of what is signed: start of the run, or when a task's result was there.
    """

    libraries: dict[str, str] = {}
    processor: str = ""
    who: Signed = msgspec.UNSET
    when: Signed = msgspec.UNSET

    @property
    def id(self) -> int:
        """A number for it, the same on every machine; 0 where nothing is known."""
        if self == Made():
            return 0
        text = json.dumps(self.plain(), sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")

    @property
    def unsigned(self) -> Made:
        """The same whoever it was and whenever: numbers depend on this alone."""
        return Made(libraries=self.libraries, processor=self.processor)

    @property
    def signature(self) -> str:
        """Who, when and on which machine in a clause; "" where nobody signed."""
        if self.who is msgspec.UNSET:
            return ""
        day = f", {self.when[:10]}" if self.when is not msgspec.UNSET else ""
        return f"{self.who}{day}, on {self.processor or 'a machine that is not recorded'}"

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in sorted(self.libraries.items()))
        return f"{versions} on {self.processor}" if versions else "versions that are not recorded"


MATCHES = "matches"  # among a task's facts: what each image's predictions matched


class TaskTest(Record, frozen=True, kw_only=True):
    """A task network and the pictures it is tested on.

    Attributes:
        task: name of the task.
        network: name of the network.
        protocol: ``retrained`` or ``frozen``.
        recipe: size and changed settings, or the hash of given networks, in one token.
        seed: of its training; the number of a given network.
        code: hash of the code that the scores depend on.
        pictures: hash of what it was trained on and of what it is tested on.
        trained_on: in a clause.
        test_split: the split it is tested on.
        command: as typed.
    """

    task: str
    network: str
    protocol: str
    recipe: str
    seed: int
    code: str
    pictures: str
    trained_on: str
    test_split: str
    command: str


class TaskResult(TaskTest, frozen=True, kw_only=True):
    """A test with its scores.

    Attributes:
        images: number of pictures.
        classes: names of the scored ones.
        settings: hash of the settings that it was trained with; empty in results of 0.1.0.
        scores: condition (``all``, ``day``, ``night``) to score to value; None or NaN where it is undefined.
        per_class: condition to class to value.
        facts: condition to what the task counts besides, such as a confusion matrix.
        weights: SHA-256 of the network's file; empty in results of 0.1.0.
        training_code: hash of the code that trained it, where it was trained here.
        trained_with: what trained it.
        made: what computed the scores.
    """

    images: int
    classes: tuple[str, ...]
    settings: str = ""
    scores: dict[str, dict[str, float | None]]
    per_class: dict[str, dict[str, float | None]] = {}
    facts: dict[str, dict[str, object]] = {}
    weights: str = ""
    training_code: str = ""
    trained_with: Made = Made()
    made: Made = Made()

    def __post_init__(self) -> None:
        if "all" not in self.scores:
            raise ValueError("scores lack the condition all")


def as_stored(record: Record) -> str:
    """A record as JSON, with null for NaN and infinity, which JSON does not have."""
    return json.dumps(_without_nan(msgspec.to_builtins(record)), sort_keys=True)


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
