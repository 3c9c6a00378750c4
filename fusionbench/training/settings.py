"""Settings of a recipe: one flat, typed record; presets, a file and ``key=value`` options replace its values.

A dotted key, as nested config files have it, means a flat one: the outer section ``train`` or ``networks`` is left
out, any other section is joined by an underscore (``train.epochs``: ``epochs``, ``lr.fusion``: ``lr_fusion``). No torch
in here.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fusionbench.errors import FusionbenchError, find
from fusionbench.naming import matches
from fusionbench.plugins.cards import did_you_mean
from fusionbench.training.ranges import Count as Count  # recipes take the types of their fields from here
from fusionbench.training.ranges import Interval as Interval
from fusionbench.training.ranges import Natural as Natural
from fusionbench.training.ranges import NotNegative as NotNegative
from fusionbench.training.ranges import Positive as Positive
from fusionbench.training.ranges import Probability as Probability
from fusionbench.training.ranges import Range
from fusionbench.training.ranges import Size as Size

Changes = Mapping[str, Any]  # field to new value; checked against the field's type when the record is made

OUTER = ("train", "networks")  # sections of a dotted key that are left out
FIXED = ("datasets", "on")  # what a run is of, which no option changes
FREE = ("workers", "cache", "save_every", "picture_every", "half", "tensorboard")  # may change on resume: of no effect


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the loop itself reads; the record of a recipe inherits it and adds its own.

    Values are checked against the fields' types when a record is made, and converted: lists to tuples, whole numbers to
    floats where the field is one.

    Raises:
        FusionbenchError: a value of another type, or outside its range.
    """

    epochs: Count = 1  # how often the recipe is asked for an epoch of steps
    seed: Natural = 0  # decides initial weights, data order and augmentation
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"  # tf32: where a card has it; others: of forward passes
    accumulate: Count = 1  # parts in which a batch goes through the networks, to save memory; gradients are added
    workers: Natural = 0  # threads that load batches ahead; the numbers do not depend on it
    cache: bool = True  # decode the images once, into one file in the cache folder; no number depends on it
    resident: bool = False  # training images lie on the device, in whole, and are cut, mirrored and resized there
    log_every: Count = 1  # steps between two lines of the loss log
    save_every: Count = 200  # steps between two checkpoints; each epoch ends with one in any case
    validate_every: Count = 1  # epochs between two validations
    picture_every: Natural = 1  # epochs between two sets of sample pictures, 0 for none
    half: bool = False  # save the weights in float16 at the end; training and checkpoints stay as they are
    tensorboard: bool = True  # also write TensorBoard files, where that package is installed
    datasets: tuple[str, ...] = ()  # what is trained on, by name; of the run, not to be changed
    on: str | None = None  # the entry whose fused pictures are trained on; of the run, not to be changed

    def __post_init__(self) -> None:
        for name, kind in kinds(type(self)).items():
            object.__setattr__(self, name, fitted(name, getattr(self, name), kind))


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, kw_only=True)
class Presets(Generic[S]):
    """The record of a recipe, and what replaces its values: plain dicts of changed fields.

    Attributes:
        record: whose defaults are the published settings.
        datasets: changes by dataset.
        networks: changes by network, for recipes that train one of several.
        sizes: changes by size.
        dataset_sizes: further changes by size and dataset.
        lengths: settings that make a run longer, changed in proportion to the first; see :mod:`.length`.
    """

    record: type[S]
    datasets: Mapping[str, Changes] = field(default_factory=dict)
    networks: Mapping[str, Changes] = field(default_factory=dict)
    sizes: Mapping[str, Changes] = field(default_factory=dict)
    dataset_sizes: Mapping[str, Mapping[str, Changes]] = field(default_factory=dict)
    lengths: tuple[str, ...] = ("epochs",)

    def size(self, name: str) -> str:
        """The size that is meant.

        Raises:
            FusionbenchError: there is none.
        """
        return find(name, self.sizes, "no size")

    def choose(
        self,
        datasets: Sequence[str] = (),
        *,
        network: str | None = None,
        size: str | None = None,
        on: str | None = None,
        file: Changes | None = None,
        options: Sequence[str] = (),
        like: Mapping[str, str] | None = None,
        own: Changes | None = None,
    ) -> S:
        """The settings for some datasets: presets, then a file, then options.

        Args:
            datasets: by name.
            network: becomes the setting ``network``.
            size: one of ``sizes``; None for the published settings.
            on: the entry whose pictures are trained on.
            file: the values of a config file, flat or in sections.
            options: ``key=value``, the key flat or dotted.
            like: dataset to the one whose presets it has, where that is another.
            own: what the datasets' cards change.

        Raises:
            FusionbenchError: no such size or setting, or a value that does not fit.
        """
        if size is not None:
            size = self.size(size)
        changes: dict[str, Any] = {"datasets": tuple(datasets), "on": on}
        presets = [(like or {}).get(name, name) for name in datasets]
        for name in presets:
            changes |= self.datasets.get(name, {})
        changes |= self._on_card(own or {})
        if network is not None:
            changes |= self.networks.get(network, {})
        if size is not None:
            changes |= self.sizes[size]
            for name in presets:
                changes |= self.dataset_sizes.get(size, {}).get(name, {})
        if network is not None:
            changes["network"] = network
        for name in sorted(changes.keys() - kinds(self.record).keys()):
            raise FusionbenchError(
                f"{self.record.__name__} has no field {name!r}, which its presets change; "
                "a field is an annotated name in a frozen dataclass, as in docs/plugins.md"
            )
        settings = self.record(**changes)
        for key, value in flat(file or {}):
            if key not in FIXED:
                settings = changed(settings, key, value)
        for option in options:
            key, equals, text = option.partition("=")
            if not equals:
                raise FusionbenchError(f"option {option!r} is not key=value")
            settings = changed(settings, key, parse(text), text)
        return settings

    def _on_card(self, own: Changes) -> Changes:
        known = kinds(self.record)
        for key, _ in flat(own):
            if flat_name(key) not in known:
                near = did_you_mean(flat_name(key), known)
                raise FusionbenchError(f"the dataset's card changes {key!r}, no setting of this recipe; {near}")
        return {flat_name(key): value for key, value in flat(own)}


# ---------------------------------------------------------------- keys


def flat_name(key: str) -> str:
    """The flat key that a dotted one means."""
    *sections, name = key.split(".")
    while sections and sections[0].lower() in OUTER:
        sections.pop(0)
    return "_".join([*sections, name])


def flat(section: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys and their values."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def field_name(record: type[Settings], key: str, value: object) -> str:
    """The field that a key means, flat or dotted, in whatever letters.

    Raises:
        FusionbenchError: no such setting; the error repeats key and value as they are.
    """
    known, name = [n for n in kinds(record) if n not in FIXED], flat_name(key)
    if name not in known and len(found := matches(name, known)) == 1:
        (name,) = found
    if name not in known:
        if inside := [other for other in known if other.startswith(f"{name}_")]:
            example = f"{key}.{inside[0].removeprefix(f'{name}_')}"
            raise FusionbenchError(f"{key}={value}: is a section; change one of its settings, such as {example}")
        raise FusionbenchError(f"no setting {key!r} in this recipe; {did_you_mean(name, known)}")
    return name


def changed(settings: S, key: str, value: object, text: str | None = None) -> S:
    """The settings with another value.

    Args:
        settings: not changed.
        key: of the field, flat or dotted; errors repeat it as it is.
        value: the new one.
        text: what the user typed, which a field of text takes as it stands.

    Raises:
        FusionbenchError: no such setting, or the value does not fit.
    """
    name = field_name(type(settings), key, value)
    kind = kinds(type(settings))[name]
    if text is not None and value is not None and not isinstance(value, str) and str in _parts(kind):
        value = text
    change: Changes = {name: fitted(key, value, kind, getattr(settings, name))}
    return replace(settings, **change)


# ---------------------------------------------------------------- values


def kinds(record: type[Settings]) -> dict[str, object]:
    """The types of a record's fields, with their ranges."""
    hints = get_type_hints(record, include_extras=True)
    return {setting.name: hints[setting.name] for setting in fields(record)}


def _parts(kind: object) -> tuple[object, ...]:
    """The types of a union; a type by itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def fitted(key: str, value: object, kind: object, example: object = None) -> object:
    """A value as a field of this type holds it.

    Args:
        key: named in errors.
        value: of any type.
        kind: of the field: bool, int, float, str, a ``Literal``, a tuple of one of them, with a range or None.
        example: of a right value, for errors.

    Raises:
        FusionbenchError: another type, or outside the range.
    """
    optional = NoneType in _parts(kind)
    if value is None and optional:
        return None
    (kind,) = (part for part in _parts(kind) if part is not NoneType)
    ranges: list[Range] = []
    if get_origin(kind) is Annotated:
        kind, *ranges = get_args(kind)
    if get_origin(kind) is Literal:
        if isinstance(value, str) and len(found := matches(value, map(str, get_args(kind)))) == 1:
            value = next(choice for choice in get_args(kind) if str(choice) == found[0])
        if value not in get_args(kind):
            choices = [*([None] if optional else []), *get_args(kind)]
            raise FusionbenchError(f"{key}={value}: choose one of {', '.join(map(str, choices))}")
        return value
    if get_origin(kind) is tuple:
        return _tuple(key, value, get_args(kind), ranges)
    assert isinstance(kind, type)
    if wrong := _unlike(value, kind, ranges, example):
        raise FusionbenchError(f"{key}={value}: {wrong}")
    converted: object = kind(value)
    return converted


def _unlike(value: object, kind: type, ranges: Sequence[Range], example: object = None) -> str:
    """Why a value is none of this type and within these ranges, or ""."""
    if kind is bool:
        return "" if isinstance(value, bool) else "needs true or false"
    if kind is str:
        return "" if isinstance(value, str) else "needs text"
    such_as = "" if example is None else f", such as {example}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"needs a number{such_as}"
    if not math.isfinite(value):
        return f"needs a finite number{such_as}"
    if kind is int and isinstance(value, float):
        return f"needs a whole number{such_as}"
    return next((str(interval) for interval in ranges if value not in interval), "")


def _tuple(key: str, value: object, inside: tuple[Any, ...], ranges: Sequence[Range]) -> tuple[object, ...]:
    """A value of several numbers or texts; texts may be one, with commas."""
    kind, any_length = inside[0], inside[-1] is Ellipsis
    if kind is str and isinstance(value, str):
        value = [part for part in value.split(",") if part]
    if isinstance(value, (list, tuple)) and (any_length or len(value) == len(inside)):  # noqa: SIM102
        if not any(_unlike(item, kind, ranges) for item in value):
            return tuple(kind(item) for item in value)
    if kind is str:
        raise FusionbenchError(f"{key}={value}: needs names, such as {key}=NAME,NAME")
    if any_length:
        raise FusionbenchError(f"{key}={value}: needs numbers in brackets, such as {key}=(0.5,0.75)")
    raise FusionbenchError(f"{key}={value}: needs two numbers above 0, such as {key}=(96,128)")


def parse(text: str) -> object:
    """The value of an option: a Python literal, ``true``, ``false`` or ``none`` in any case, else the text."""
    word = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in word:
        return word[text.lower()]
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value


def settings_text(settings: Settings) -> str:
    """Every setting as JSON."""
    return json.dumps(asdict(settings), indent=1) + "\n"


def differing(text: str, now: Settings) -> list[str]:
    """What differs between a run's settings and present ones, and may not differ on resume.

    Args:
        text: JSON of the run's settings; of earlier versions in sections, and without the loop's defaults.
        now: the present ones.

    Returns:
        ``lr 0.1, now 0.2``. Where the run has no such setting, only a value other than the default counts.
    """
    known = kinds(type(now))
    before = {flat_name(key): value for key, value in flat(json.loads(text))}
    lines = [f"{name} {_shown(before[name])}, now not set" for name in sorted(before.keys() - known.keys())]
    defaults = {setting.name: setting.default for setting in fields(now)}
    for name in sorted(known.keys() - set(FREE)):
        value = getattr(now, name)
        if name not in before and value in (None, defaults[name]):
            continue
        old = before.get(name)
        with suppress(FusionbenchError):  # of another type: not equal
            old = fitted(name, old, known[name])
        if old != value:
            lines.append(f"{name} {_shown(old)}, now {_shown(value)}")
    return lines


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)
