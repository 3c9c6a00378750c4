"""What is passed between the parts of the generator: materials, objects, lights, roads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

Colour = Iterable[float]  # red, green, blue
Metres3 = tuple[float, float, float]


class Texture(TypedDict, total=False):
    """Options of a material besides its heat, see :class:`Material`."""

    glow: Colour
    shade: float
    grain: float
    clump: float
    blotch: float
    ir_texture: float
    ground: bool
    sky: bool


class Look(Texture, total=False):
    """Options of a material, see :class:`Material`."""

    heat: float
    absorb: float


@dataclass(frozen=True, kw_only=True)
class Material:
    """How something looks to both cameras, besides its colour.

    Attributes:
        glow: linear light it gives off.
        heat: kelvin above the air without sun.
        absorb: 0..1 of the sun's heat.
        shade: 0..1, how squarely the sun meets it.
        grain, clump, blotch: relative amplitudes of fine, leaf-sized and coarse texture.
        ir_texture: kelvin.
        ground: whether it lies flat on the ground.
        sky: whether it is the sky.
    """

    glow: Colour = (0.0, 0.0, 0.0)
    heat: float = 0.0
    absorb: float = 0.4
    shade: float = 0.5
    grain: float = 0.03
    clump: float = 0.0
    blotch: float = 0.06
    ir_texture: float = 0.3
    ground: bool = False
    sky: bool = False


@dataclass
class Thing:
    """One counted object while it is drawn.

    Attributes:
        index: its number, from 1.
        cls: class name.
        depth: metres along the optical axis.
        first: its first part.
        last: one past its last part.
        full: pixel centres it covered before anything hid it.
        bounds: x1, y1, x2, y2 of its polygons in samples.
    """

    index: int
    cls: str
    depth: float
    first: int
    last: int = 0
    full: int = 0
    bounds: tuple[int, int, int, int] = (10**6, 10**6, -(10**6), -(10**6))


class Light(NamedTuple):
    """A lamp at (x, y, z) metres; with a direction a beam, narrower the larger ``sharp`` is."""

    x: float
    y: float
    z: float
    rgb: tuple[float, ...]
    direction: Metres3 | None
    sharp: float


@dataclass(frozen=True, kw_only=True)
class Road:
    """A street that runs away from the camera; all lengths in metres.

    Attributes:
        middle: x of its centre line.
        half: half the width of the carriageway.
        kerb: width of each pavement.
        lane: width of a lane.
        lanes: how many.
        double: whether the centre line is double.
        cross: distance of a cross street, or None.
        zebra: distance of a zebra crossing, or None.
    """

    middle: float
    half: float
    kerb: float
    lane: float
    lanes: int
    double: bool = False
    cross: float | None = None
    zebra: float | None = None
