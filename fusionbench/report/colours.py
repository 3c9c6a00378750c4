"""One colour for each method, the same in every figure and page, whatever else is drawn beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fusionbench.naming import fold
from fusionbench.plugins.cards import cards

# The first ten are Tableau's, the others those farthest from all before them (OKLab, lightness 0.36 to 0.80): no two
# are nearer to each other than the nearest two of Tableau's.
PALETTE = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"),
    *("#590085", "#004e00", "#0b2cde", "#a6007a", "#7a0000", "#00436f", "#7a16de", "#b1b1ff", "#00de21", "#d321c8"),
    *("#596f0b", "#deb19b", "#ff0b85", "#5990ff", "#b18500", "#643759", "#4e59ff", "#16dea6", "#2c6464", "#c86f6f"),
    *("#bc64ff", "#644300", "#4e43a6", "#7aa67a", "#a690bc", "#ff64ff"),
)
SOURCE = "#8a8f98"  # what is no method of fusion, but a source picture itself
SALT = 125757  # of 200,000 tried, the one under which methods that came with the package share the fewest colours
SHADES = (0.0, 0.45, -0.4, 0.7, -0.65)  # towards white, or black where negative: entries of one method in one picture
Dash = tuple[float, ...]  # points on and off; () for a whole line
DASHES: tuple[Dash, ...] = ((), (4, 1.5), (1, 1), (4, 1, 1, 1), (8, 2), (4, 1, 1, 1, 1, 1), (2, 3))
HATCHES = ("", "////", "....", "xxxx", "----", "\\\\\\\\", "||||")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def colour_of(entry: str) -> str:
    """The colour of a method, ``#rrggbb``: of its name alone, so that it is the same whatever stands beside it.

    Args:
        entry: id of an entry (``refusion[ivif]``), a method's name, or what pictures or a run are called. All entries
            of a method have its colour; pictures of another program have that of the name which they were given. Source
            images are grey.
    """
    name = fold(_method(entry))
    if (card := cards("method").get(name)) and card.facts.role == "source":
        return SOURCE
    digest = hashlib.sha256(f"{SALT}{name}".encode("utf-8", "surrogatepass")).digest()
    return PALETTE[int.from_bytes(digest[:8], "big") % len(PALETTE)]


def _method(entry: str) -> str:
    """Its method; of pictures that a user named, that name."""
    name, bracket, inside = entry.partition("[")
    card = cards("method").get(name) if bracket else None
    return inside.removesuffix("]") if card and card.facts.label_option else name


@dataclass(frozen=True)
class Look:
    """How an entry is drawn in one picture.

    Attributes:
        colour: ``#rrggbb``; of several entries of a method all but the first have a shade of it.
        dash: of its line.
        hatch: of its box.
        marker: of its points.
    """

    colour: str
    dash: Dash
    hatch: str
    marker: str


def looks_of(entries: Iterable[str]) -> dict[str, Look]:
    """Entry to how it is drawn, so that those of one colour differ in dash, hatch and marker.

    Args:
        entries: ids, of one picture.
    """
    same_colour: dict[str, list[str]] = {}
    same_method: dict[str, list[str]] = {}
    looks = {}
    every = list(dict.fromkeys(entries))
    for entry in sorted(every):  # whatever their order in the picture
        colour = colour_of(entry)
        like, own = same_colour.setdefault(colour, []), same_method.setdefault(fold(_method(entry)), [])
        number, shade = len(like), SHADES[len(own) % len(SHADES)]
        looks[entry] = Look(
            _shaded(colour, shade),
            DASHES[number % len(DASHES)],
            HATCHES[number % len(HATCHES)],
            MARKERS[number % len(MARKERS)],
        )
        like.append(entry)
        own.append(entry)
    return {entry: looks[entry] for entry in every}


def _shaded(colour: str, shade: float) -> str:
    levels = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    end: Sequence[int] = (255,) * 3 if shade > 0 else (0,) * 3
    return "#" + "".join(f"{round(v + abs(shade) * (to - v)):02x}" for v, to in zip(levels, end, strict=True))
