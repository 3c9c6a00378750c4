"""Several runs of one recipe: each combination of some settings' values, each with several seeds."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fusionbench.errors import FusionbenchError
from fusionbench.plugins.weights import installed, sha256
from fusionbench.training.request import TrainRequest
from fusionbench.training.settings import field_name
from fusionbench.training.trained import facts_of, recorded, settings_hash


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a sweep.

    Attributes:
        request: what is trained, in a folder of its own.
        values: setting to value, of the settings that the sweep changes; the same for all seeds of a combination.
        seed: of this run.
    """

    request: TrainRequest
    values: dict[str, object]
    seed: int

    @property
    def name(self) -> str:
        """``lr0.001-batch8-seed1``, also the folder's."""
        return _short("-".join(f"{key}{_short(value)}" for key, value in self.values.items()), 90) + self._seed

    @property
    def _seed(self) -> str:
        return f"{'-' if self.values else ''}seed{self.seed}"

    def finished(self) -> bool:
        """Whether its folder holds the weights of these very settings and, of a method, they are an entry."""
        request = self.request
        try:
            facts = facts_of(request.weights)
        except FusionbenchError:
            return False
        own = [request.name, list(request.names), request.trained_on(), settings_hash(recorded(request.settings))]
        config = facts.get("config")
        held = [facts.get("name"), facts.get("datasets"), facts.get("trained_on")]
        if [*held, settings_hash(config) if isinstance(config, dict) else ""] != own:
            return False
        if request.training.network:
            return True
        digest = sha256(request.weights)
        return any(w.name == request.weights_name and w.sha256 == digest for w in installed(request.name, warn=False))


def plan(request: TrainRequest, axes: Sequence[str], seeds: int, resume: bool) -> list[Run]:
    """The runs of a sweep, seed after seed of each combination; every setting is checked, nothing is read or run.

    Args:
        request: what all runs have in common; its seed is the first one.
        axes: ``key=a,b,c`` for each setting that changes.
        seeds: how many of each combination.
        resume: whether runs that the folder holds are gone on with.

    Raises:
        FusionbenchError: no such setting, a value that does not fit or stands there twice, or a folder in use.
    """
    base = request.settings
    given = {field_name(type(base), *_pair(option)) for option in request.options}
    keys: dict[str, tuple[str, ...]] = {}
    for axis in axes:
        key, text = _pair(axis)
        name = field_name(type(base), key, text)
        if name == "seed":
            raise FusionbenchError(f"sweep={axis}: seeds are counted with seeds=N, from the setting seed on")
        if name in keys or name in given:
            raise FusionbenchError(f"sweep={axis}: {name} is given twice; name its values in one place")
        keys[name] = tuple(_parts(text))
        if not all(keys[name]):
            raise FusionbenchError(f"sweep={axis}: write key=value,value,...")
    stem = re.sub(r"-seed\d+$", "", request.label)
    folder = request.folder or Path("runs") / f"{stem}-sweep"
    entry = request.weights_name or stem.removeprefix(f"{request.name}-").replace("+", "-")
    runs = []
    for texts in itertools.product(*keys.values()):
        options = tuple(f"{key}={text}" for key, text in zip(keys, texts, strict=True))
        for seed in range(base.seed, base.seed + seeds):
            changed = replace(request, options=(*request.options, *options, f"seed={seed}"))
            run = Run(request=changed, values={key: getattr(changed.settings, key) for key in keys}, seed=seed)
            own = replace(changed, folder=folder / run.name, weights_name=f"{entry}-{run.name}")
            runs.append(replace(run, request=replace(own, resume=resume and own.out.exists())))
    _check(runs, resume, folder)
    return runs


def _check(runs: Sequence[Run], resume: bool, folder: Path) -> None:
    names: set[str] = set()
    for run in runs:
        if run.name.casefold() in names:
            raise FusionbenchError(f"the sweep has the run {run.name} twice: two of its values are the same")
        names.add(run.name.casefold())
    if not resume and (used := [run.name for run in runs if run.request.out.exists()]):
        raise FusionbenchError(f"{folder}: holds the run {used[0]}; go on with resume=True, or choose another out=")


def _pair(option: str) -> tuple[str, str]:
    key, equals, text = option.partition("=")
    if not equals or not key:
        raise FusionbenchError(f"option {option!r} is not key=value")
    return key, text


def _parts(text: str) -> Iterator[str]:
    """What stands between commas that are outside brackets: ``(96,128),(64,80)`` has two parts."""
    part, depth = "", 0
    for c in text:
        depth += (c in "([") - (c in ")]")
        if c == "," and depth <= 0:
            yield part.strip()
            part = ""
        else:
            part += c
    yield part.strip()


def _short(value: object, longest: int = 60) -> str:
    """A value as part of a name; where letters of a text are lost, the start of its hash stands behind it."""
    text = str(value)
    short = re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.")[:longest]
    if short == text or not isinstance(value, str):
        return short
    return f"{short}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"
