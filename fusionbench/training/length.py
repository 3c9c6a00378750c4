"""A run as long as a number of pairs: settings of length brought to it in proportion, all others as they are.

A pair counts each time that a step reads it, whichever network moves: in a meta step both batches, in rounds those of
the task network too. So methods are compared at equal numbers of pairs seen, not of updates.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from fusionbench.errors import FusionbenchError
from fusionbench.naming import matches
from fusionbench.training.request import TrainRequest
from fusionbench.training.settings import Settings, changed, flat_name

Lengths = dict[str, int | float]
MOST = 20_000_000  # pairs; each is counted, which takes seconds for a million of them


def lengthened(request: TrainRequest, pairs: int) -> tuple[TrainRequest, int]:
    """The same request with the settings of length that come nearest to a number of pairs, from below.

    Args:
        request: whose datasets are at hand; the recipe is built a few times, its data are not decoded.
        pairs: how many are to be seen.

    Returns:
        The request, its settings of length among its options; and how many pairs it sees, at most ``pairs``.

    Raises:
        FusionbenchError: the shortest run is longer, more than :data:`MOST` pairs or none can be seen, or a setting of
            length is among the options as well.
    """
    if pairs > MOST:
        raise FusionbenchError(f"pairs={pairs}: is over the limit of {MOST}")
    base, names = request.settings, request.recipe().presets.lengths
    given = [option for option in request.options if matches(flat_name(option.partition("=")[0]), names)]
    if given:
        raise FusionbenchError(f"pairs={pairs} sets {', '.join(names)}; leave out {given[0]}")
    main = int(getattr(base, names[0]))

    @cache
    def seen(number: int) -> int:
        return pairs_seen(request, _with(base, _scaled(base, names, number)))

    if not seen(main):
        raise FusionbenchError(f"pairs={pairs}: {request.name} reads no pair at these settings, however long it runs")
    number = max(1, main * pairs // seen(main))
    while number > 1 and seen(number) > pairs:
        number -= 1
    while seen(number + 1) <= pairs:
        number += 1
    if seen(number) > pairs:
        raise FusionbenchError(f"pairs={pairs}: the shortest run of {request.name} at these settings sees {seen(1)}")
    changes, total = _scaled(base, names, number), seen(number)
    for name in names[1:]:  # what is left goes to one setting after the other
        while True:
            more = {**changes, name: changes[name] + 1}
            count = pairs_seen(request, _with(base, more))
            if not total < count <= pairs:
                break
            changes, total = more, count
    options = tuple(f"{name}={value}" for name, value in changes.items())
    return replace(request, options=(*request.options, *options)), total


def _with(base: Settings, lengths: Lengths) -> Settings:
    for name, value in lengths.items():
        base = changed(base, name, value)
    return base


def _scaled(base: Settings, names: tuple[str, ...], number: int) -> Lengths:
    """The first length is ``number``, the others as much longer; whole ones stay whole, and what is 0 stays 0."""
    main, changes = int(getattr(base, names[0])), Lengths({names[0]: number})
    for name in names[1:]:
        value: int | float = getattr(base, name)
        longer = value * number / main
        changes[name] = longer if isinstance(value, float) else max(1, round(longer)) if value else 0
    return changes


def pairs_seen(request: TrainRequest, settings: Settings) -> int:
    """How many pairs all steps of a run read; the recipe is built, nothing is trained.

    Raises:
        FusionbenchError: settings that do not go together.
    """
    import torch

    from fusionbench.training.options import silent
    from fusionbench.training.precision import Precision

    recipe, device = request.recipe(), torch.device("cpu")
    recipe.datasets, recipe.note, recipe.precision = request.opened, silent, Precision("fp32", device)
    recipe.build(settings, device)
    every = (recipe.batches(epoch, settings.seed) for epoch in range(settings.epochs))
    return sum(len(group) for steps in every for step in steps for group in step.groups)
