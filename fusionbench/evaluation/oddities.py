"""What is odd about the pictures of a run, each kind once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from fusionbench.data.looks import warnings
from fusionbench.errors import DataError
from fusionbench.evaluation.source import Source

SAMPLE = 16  # pairs that are looked at where everything was fused and scored before


def of_source(source: Source, readable: Collection[str]) -> list[str]:
    """Oddities of the pairs that were read, or of a sample of those that can be."""
    dataset = source.dataset
    if not any(split == source.split for split, _ in dataset.looks):
        for ident in list(readable)[:: max(1, -(-len(readable) // SAMPLE))]:
            with suppress(DataError):  # said where it is needed
                dataset.pair(source.split, ident)
    looks = {ident: odd for (split, ident), odd in dataset.looks.items() if split == source.split}
    facts = dataset.card.facts
    return [f"{source.label}: {text}" for text, _ in warnings(looks, facts.expected, facts.sources).values()]


def of_pictures(entry: str, made: Mapping[tuple[str, str], str], labels: Iterable[str]) -> list[str]:
    """Oddities of an entry's pictures.

    Args:
        entry: its id.
        made: (source label, image id) to the oddity of the picture, or ``""``.
        labels: of the sources.
    """
    lines = []
    for label in labels:
        looks = {ident: [odd] for (where, ident), odd in made.items() if where == label}
        lines += [f"{entry} on {label}: {text}" for text, _ in warnings(looks).values()]
    return lines
