"""Which entries a user means: by id, method, or as tables and figures print them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fusionbench.commas import listed, typed
from fusionbench.errors import FusionbenchError
from fusionbench.naming import matches, nearest
from fusionbench.plugins.cards import cards
from fusionbench.report.seeds import is_joint, seed_groups, without_count
from fusionbench.results.records import EntryInfo


def entry_ids(asked: Sequence[str], entries: Iterable[EntryInfo], where: str, option: str = "") -> tuple[str, ...]:
    """Ids of the entries that are meant.

    Args:
        asked: ids (``refusion[ivif]``), methods (``refusion``: all its entries) or titles (``ReFusion``), names of
            pictures that another program made (``Ours`` for ``images[Ours]``), and of joint rows
            (``tdfusion[fmb, 3 seeds]``: the entries of all seeds), in any case.
        entries: those that there are.
        where: they are, for messages.
        option: that gave the names, likewise.

    Raises:
        FusionbenchError: no such entry, or a name that may mean several.
    """
    every = list({e.id: e for e in entries}.values())
    meant: dict[str, tuple[str, ...]] = {e.id: (e.id,) for e in every}
    titles: dict[str, tuple[str, ...]] = {e.id: tuple(filter(None, [label_of(e)])) for e in every}
    for e in every:
        if e.method not in {other.id for other in every}:
            meant[e.method] = tuple(other.id for other in every if other.method == e.method)
        titles[e.method] = (*titles.get(e.method, ()), e.title)
    for name, seeds in seed_groups(every).items():
        meant.setdefault(name, seeds)
        titles.setdefault(name, (without_count(name),))
    ids: list[str] = []
    for name in asked:
        ids += _meant(name, meant, titles, f"{option} {name}: {where}" if option else where)
    return tuple(dict.fromkeys(ids))


def one_entry_id(asked: str, entries: Iterable[EntryInfo], where: str) -> str:
    """The id of the one entry, or the name of the one joint row, that is meant.

    Raises:
        FusionbenchError: none, or several.
    """
    every = list(entries)
    ids = entry_ids([asked], every, where)
    if len(ids) > 1 and (joint := [name for name, seeds in seed_groups(every).items() if seeds == ids]):
        if is_joint(asked):
            return joint[0]
        ids = (*ids, *joint)
    if len(ids) > 1:
        raise FusionbenchError(f"{where}: {asked!r} may be {' or '.join(ids)}; name one")
    return ids[0]


def _meant(
    name: str, meant: dict[str, tuple[str, ...]], titles: dict[str, tuple[str, ...]], where: str
) -> tuple[str, ...]:
    found = matches(name, meant, titles) or matches(_sorted_options(name), meant, titles)
    if not found and is_joint(name):  # of other seeds than there are here
        found = matches(without_count(name), meant, titles)
    ids = list(dict.fromkeys(i for key in found for i in meant[key]))
    if len(found) > 1 and len(ids) > 1:
        raise FusionbenchError(f"{where}: {name!r} may be {' or '.join(map(typed, ids))}; write it as it is")
    if not ids:
        near = nearest(name, [*meant, *(text for texts in titles.values() for text in texts)])
        there = listed(sorted({i for own in meant.values() for i in own})) or "none"
        meaning = f"did you mean {listed(near)}? " if near else ""
        raise FusionbenchError(f"{where}: no entry {name!r}; {meaning}there are: {there}")
    return tuple(ids)


def label_of(entry: EntryInfo) -> str:
    """The name that a user gave to pictures, such as ``Ours``; "" of other entries."""
    card = cards("method").get(entry.method)
    option = card.facts.label_option if card else ""
    return str(entry.options.get(option) or "") if option else ""


def _sorted_options(name: str) -> str:
    """``gff[r1=3,r2=4]`` however its options are ordered, as ids have them: weights first, then options by name."""
    match = re.fullmatch(r"([^\[]+)\[(.*)\]", name)
    if not match:
        return name
    parts = [part.strip() for part in match[2].split(",")]
    return f"{match[1]}[{','.join(sorted(parts, key=lambda part: ('=' in part, part)))}]"
