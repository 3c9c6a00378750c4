"""Buses and box trucks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from .bodywork import DARK, HEADLIGHT, TAIL_LIGHT, Box, Maker, beams, cuboid, footing, panel
from .canvas import Canvas, Frame
from .people import pick


def _tyres(make: Maker, axles: Sequence[float], half: float, radius: float, warm: float) -> int:
    """Tyres as blocks, to be drawn before the body; returns their part."""
    tyre = make((0.05, 0.05, 0.055), heat=1.0 + 5.0 * warm, absorb=0.5)
    for fore in axles:
        for side in (-1, 1):
            widths = (side * half * 0.6, side * half * 0.98)
            block = [(fore + d, w, h) for d in (-radius * 0.7, radius * 0.7) for w in widths for h in (0, 2 * radius)]
            make.canvas.solid(make.frame.world(block), tyre)
    return tyre


def _side_wheels(
    make: Maker, axles: Sequence[float], half: float, radius: float, seen: dict[str, bool], warm: float, tyre: int
) -> None:
    """Wheels on the flank that is seen."""
    rim = make((0.42, 0.42, 0.43), heat=2.0 + 6.0 * warm)
    for name, side in (("left", -1), ("right", 1)):
        for fore in axles if seen[name] else ():
            make.canvas.disc(make.frame, fore, side * half * 1.01, radius, radius, tyre)
            make.canvas.disc(make.frame, fore, side * half * 1.015, radius, radius * 0.55, rim)


def bus(canvas: Canvas, rng: Generator, x: float, z: float, yaw: float, moving: bool = True) -> None:
    """A city bus centred on (x, z) metres."""
    frame, w = Frame(x, z, yaw), canvas.weather
    length, half, low, high = float(rng.uniform(9.5, 11.5)), 1.25, 0.35, float(rng.uniform(2.95, 3.2))
    paint = pick(rng, ((0.72, 0.16, 0.14), (0.20, 0.42, 0.62), (0.82, 0.82, 0.78), (0.26, 0.5, 0.32), (0.85, 0.6, 0.2)))
    base = tuple(0.55 * c for c in paint)
    warm, inside = float(moving), 3.0 + 2.0 * (w.air < 15)
    l0, l1 = -length / 2, length / 2
    canvas.begin("bus", z)
    make = Maker(canvas, frame, "bus")
    footing(canvas, frame, np.array([(l0, 0.3), (l1, 0.3)]), half, high)
    axles = (l0 + 2.6, l1 - 2.4)
    under = make((0.05, 0.05, 0.055), heat=1.0 + 3.0 * warm, absorb=0.1)
    floor = [(fore, s * half * 0.9, h) for fore in (l0 + 0.3, l1 - 0.3) for s in (-1, 1) for h in (0.15, 0.5)]
    canvas.solid(frame.world(floor), under)
    tyre = _tyres(make, axles, half, 0.48, warm)
    body = Box(l0, l1, half, low, high)
    heats = {"rear": 10.0 * warm, "front": 1.0, "roof": 0.5}
    seen = cuboid(make, body, paint, heats, 0.4)
    glow = (0.30, 0.29, 0.24) if w.dark else DARK
    for name, side in (("left", -1), ("right", 1)):
        if seen[name]:
            _bus_side(make, rng, body, side, base, inside, glow)
    for name in ("rear", "front"):
        if seen[name]:
            _bus_end(make, body, name == "rear", inside, glow, moving)
    _side_wheels(make, axles, half, 0.48, seen, warm, tyre)
    canvas.end()
    if w.dark and moving:
        beams(canvas, frame, l1, 0.9, 0.85)


def _bus_side(
    make: Maker,
    rng: Generator,
    body: Box,
    side: int,
    base: tuple[float, ...],
    inside: float,
    glow: tuple[float, float, float],
) -> None:
    """A stripe and the windows and doors of one flank."""
    l0, l1, half, low, _ = body
    n = (0.0, float(side), 0.0)
    strip = make(base, n)
    make.decal(
        [(fore, side * half * 1.003, h) for fore, h in ((l0, low), (l1, low), (l1, low + 0.4), (l0, low + 0.4))],
        strip,
    )
    for k, fore in enumerate(np.arange(l0 + 0.35, l1 - 1.2, 1.25)):
        door = side > 0 and k in (2, 6)
        foot = 0.5 if door else 1.25
        lit = tuple(g * rng.uniform(0.6, 1.2) for g in glow)
        pane = make((0.14, 0.17, 0.2), n, heat=inside - 2.0, absorb=0.2, glow=lit)
        corners = ((fore, foot), (fore + 1.1, foot), (fore + 1.1, 2.35), (fore, 2.35))
        make.decal([(a, side * half * 1.004, h) for a, h in corners], pane)


def _bus_end(make: Maker, body: Box, rear: bool, inside: float, glow: tuple[float, float, float], moving: bool) -> None:
    """Window, destination board and lamps of one end."""
    fore, low = (body.l0 - 0.01, 1.5) if rear else (body.l1 + 0.01, 1.15)
    half, high, dark = body.half, body.h1, make.canvas.weather.dark
    n = (-1.0 if rear else 1.0, 0.0, 0.0)
    make.decal(
        panel(fore, -half * 0.88, half * 0.88, low, 2.5),
        make((0.15, 0.18, 0.21), n, heat=inside - 2.5, glow=glow, absorb=0.2),
    )
    board = make((0.08, 0.08, 0.08), n, glow=(0.9, 0.45, 0.05))
    make.decal(panel(fore, -half * 0.5, half * 0.5, high - 0.38, high - 0.14), board)
    lamp_glow = (TAIL_LIGHT if rear else HEADLIGHT) if dark and moving else DARK
    lamp = make((0.5, 0.07, 0.07) if rear else (0.85, 0.87, 0.9), n, heat=4.0 * float(moving), glow=lamp_glow)
    for s in (-1, 1):
        make.decal(panel(fore, s * half * 0.66, s * half * 0.92, 0.75, 0.98), lamp)


def truck(canvas: Canvas, rng: Generator, x: float, z: float, yaw: float, moving: bool = True) -> None:
    """A box truck centred on (x, z) metres."""
    frame, w = Frame(x, z, yaw), canvas.weather
    length, half, high = float(rng.uniform(5.5, 7.5)), 1.15, float(rng.uniform(2.7, 3.3))
    cargo = pick(rng, ((0.86, 0.86, 0.84), (0.7, 0.72, 0.74), (0.3, 0.42, 0.58), (0.66, 0.56, 0.38), (0.5, 0.14, 0.12)))
    cab = pick(rng, ((0.85, 0.85, 0.85), (0.2, 0.32, 0.55), (0.62, 0.14, 0.12), (0.3, 0.32, 0.34)))
    l0, l1, warm = -length / 2, length / 2, float(moving)
    canvas.begin("truck", z)
    make = Maker(canvas, frame, "truck")
    footing(canvas, frame, np.array([(l0, 0.3), (l1, 0.3)]), half, high)
    chassis = make((0.06, 0.06, 0.06), heat=3.0 * warm)
    canvas.solid(
        frame.world(
            [(fore, s * half * 0.85, h) for fore in (l0 + 0.2, l1 - 0.2) for s in (-1, 1) for h in (0.35, 0.95)]
        ),
        chassis,
    )
    axles = (l0 + 1.1, l1 - 0.95)
    tyre = _tyres(make, axles, half, 0.45, warm)

    cargo_box, heats = Box(l0, l1 - 1.9, half, 0.85, high), {"rear": 0.0, "roof": 0.0}
    if frame.cos >= 0:  # the cab is the farther half
        _cab(make, l1, half, cab, moving)
        seen = cuboid(make, cargo_box, cargo, heats, 0.35)
    else:
        seen = cuboid(make, cargo_box, cargo, heats, 0.35)
        _cab(make, l1, half, cab, moving)
    if seen["rear"]:
        seam = make(tuple(0.55 * c for c in cargo), (-1.0, 0.0, 0.0))
        make.decal(panel(l0 - 0.01, -0.03, 0.03, 0.9, high - 0.05), seam)
        glow = TAIL_LIGHT if w.dark and moving else DARK
        tail = make((0.55, 0.07, 0.07), (-1.0, 0.0, 0.0), glow=glow, heat=2.0)
        for s in (-1, 1):
            make.decal(panel(l0 - 0.01, s * half * 0.68, s * half * 0.95, 0.62, 0.82), tail)
    _side_wheels(make, axles, half, 0.45, seen, warm, tyre)
    canvas.end()
    if w.dark and moving:
        beams(canvas, frame, l1, 0.85, 0.8)


def _cab(make: Maker, l1: float, half: float, paint: tuple[float, float, float], moving: bool) -> None:
    """The cab of a truck that ends at l1."""
    w, warm = make.canvas.weather, float(moving)
    heats = {"front": 7.0 * warm, "left": 2.0 * warm, "right": 2.0 * warm}
    seen = cuboid(make, Box(l1 - 1.75, l1, half * 0.96, 0.45, 2.35), paint, heats, 0.4)
    glass = make((0.14, 0.17, 0.2), (1.0, 0.0, 0.2), heat=w.sky_heat * 0.06, absorb=0.2)
    if seen["front"]:
        make.decal(panel(l1 + 0.01, -half * 0.85, half * 0.85, 1.35, 2.1), glass)
        glow = HEADLIGHT if w.dark and moving else DARK
        lamp = make((0.85, 0.87, 0.9), (1.0, 0.0, 0.0), heat=5.0 * warm, glow=glow)
        for s in (-1, 1):
            make.decal(panel(l1 + 0.01, s * half * 0.6, s * half * 0.88, 0.65, 0.85), lamp)
        make.decal(panel(l1 + 0.01, -half * 0.5, half * 0.5, 0.62, 1.0), make((0.07, 0.07, 0.07), heat=10.0 * warm))
    for name, side in (("left", -1), ("right", 1)):
        if seen[name]:
            corners = ((l1 - 1.3, 1.4), (l1 - 0.2, 1.4), (l1 - 0.3, 2.1), (l1 - 1.3, 2.1))
            make.decal([(fore, side * half * 0.965, h) for fore, h in corners], glass)
