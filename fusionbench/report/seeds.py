"""Which entries are networks trained alike but for the seed, and what their joint row is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from fusionbench.counting import counted
from fusionbench.results.records import EntryInfo

_SEED = re.compile(r"(?<=, )seed \d+(?=,|$)")  # in what `train` says of its weights
_IN_NAME = re.compile(r"[-_.]?seed\d+")
_COUNT = re.compile(r",? \d+ seeds(?=\])")


def seed_groups(infos: Iterable[EntryInfo]) -> dict[str, tuple[str, ...]]:
    """Name of a joint row to the ids of its entries, by seed: of one method, alike but for the seed of their weights.

    Two weights are so where what they were trained on is the same text but for ``, seed N``, as ``train`` writes it.
    """
    every = list({info.id: info for info in infos}.values())
    groups: dict[object, list[EntryInfo]] = {}
    for info in every:
        if info.weights and _SEED.search(info.weights.trained_on):
            alike = _SEED.sub("seed", info.weights.trained_on)
            facts = (info.method, info.made_in, info.output_rule, msgspec.json.encode(info.options), alike)
            groups.setdefault(facts, []).append(info)
    found: dict[str, tuple[str, ...]] = {}
    for own in groups.values():
        if len(own) > 1:
            own.sort(key=_seed)
            name = _name(own, {info.id for info in every} | found.keys())
            found[name] = tuple(info.id for info in own)
    return found


def without_count(name: str) -> str:
    """A joint row's name without the number of its seeds, which is another where a table lacks one; others as it is."""
    return _COUNT.sub("", name)


def is_joint(name: str) -> bool:
    """Whether it is written as the name of a joint row."""
    return bool(_COUNT.search(name))


def _seed(info: EntryInfo) -> int:
    """The seed that its weights were trained with."""
    found = _SEED.search(info.weights.trained_on) if info.weights else None
    return int(found[0].removeprefix("seed ")) if found else 0


def _name(own: Sequence[EntryInfo], taken: set[str]) -> str:
    """What the joint row of several entries is called: after what their weights' names share."""
    names = [info.weights.name for info in own if info.weights]
    shared = {_IN_NAME.sub("", name) for name in names}
    name = shared.pop() if len(shared) == 1 else "+".join(names)
    label = f"{name}, {counted(len(own), 'seed')}" if name else counted(len(own), "seed")
    first = own[0].id
    ident = first.replace(f"[{names[0]}", f"[{label}", 1)
    return first.replace(f"[{names[0]}", f"[{'+'.join(names)}", 1) if ident in taken else ident
