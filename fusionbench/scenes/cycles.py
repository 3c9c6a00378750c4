"""Bicycles and motorcycles, parked or ridden."""

from __future__ import annotations

import numpy as np

from .bodywork import beams
from .canvas import Canvas, Frame
from .people import pick, rider

FRAMES = (
    (0.12, 0.12, 0.13),
    (0.72, 0.16, 0.14),
    (0.85, 0.62, 0.12),
    (0.2, 0.42, 0.64),
    (0.78, 0.78, 0.76),
    (0.2, 0.5, 0.4),
)


def bicycle(canvas: Canvas, rng, x: float, z: float, yaw: float, ridden: bool = True) -> None:
    """A bicycle at (x, z) metres, with someone on it or standing by itself."""
    frame = Frame(x, z, yaw)
    _ground(canvas, frame, 0.85, 0.12, 1.7 if ridden else 1.0)
    canvas.begin("bicycle", z)
    tyre = canvas.part("bicycle", (0.07, 0.07, 0.07), z, heat=1.0 + 2.0 * ridden, absorb=0.5)
    tube = canvas.part("bicycle", pick(rng, FRAMES), z, heat=0.5, absorb=0.4)
    steel = canvas.part("bicycle", (0.6, 0.6, 0.62), z, heat=0.0, absorb=0.3)
    seat = canvas.part("bicycle", (0.08, 0.07, 0.07), z, heat=8.0 * ridden, absorb=0.5)
    for fore in (-0.53, 0.53):
        # from behind a wheel is a stick, from the side a ring
        canvas.sticks(
            frame.world([(fore, 0, 0.03)]),
            frame.world([(fore, 0, 0.66)]),
            *(np.array([0.022 + 0.01 * abs(frame.cos)]),) * 2,
            (tyre if abs(frame.cos) > 0.8 else steel,),
        )
        canvas.disc(frame, fore, 0.0, 0.34, 0.345, tyre, hole=0.285)
        canvas.disc(frame, fore, 0.0, 0.34, 0.05, steel)
    crank, saddle, stem, hub = (-0.07, 0, 0.29), (-0.2, 0, 0.9), (0.38, 0, 0.92), (0.53, 0, 0.34)
    tubes: list = [(crank, saddle), (crank, stem), ((-0.17, 0, 0.76), (0.36, 0, 0.8)), ((-0.53, 0, 0.34), crank)]
    tubes += [((-0.53, 0, 0.34), (-0.17, 0, 0.74)), (hub, stem), ((0.38, -0.25, 0.99), (0.38, 0.25, 0.99))]
    ends = np.array(tubes, float)
    radius = np.full(len(tubes), 0.021)
    canvas.sticks(frame.world(ends[:, 0]), frame.world(ends[:, 1]), radius, radius, [tube] * 6 + [steel])
    canvas.solid(frame.world([(-0.34, s * 0.08, 0.92) for s in (-1, 1)] + [(-0.08, 0, 0.92), (-0.2, 0, 0.97)]), seat)
    basket = rng.random() < 0.35
    if basket:
        box = [(fore, w, h) for fore in (0.45, 0.72) for w in (-0.15, 0.15) for h in (0.72, 0.95)]
        canvas.solid(frame.world(box), steel)
    canvas.end()
    if ridden:
        canvas.begin("person", z)
        pedals = ((0.05, 0.38), (-0.15, 0.12)) if rng.random() < 0.5 else ((-0.15, 0.12), (0.05, 0.38))
        rider(canvas, rng, frame, (-0.2, 0.97), (0.4, 1.0), pedals, (0.8, 0.8, 0.8) if rng.random() < 0.3 else None)
        canvas.end()


def motorcycle(canvas: Canvas, rng, x: float, z: float, yaw: float, ridden: bool = True) -> None:
    """A motorcycle or scooter at (x, z) metres."""
    frame, w = Frame(x, z, yaw), canvas.weather
    _ground(canvas, frame, 1.0, 0.3, 1.7 if ridden else 1.0)
    paint, dark = pick(rng, FRAMES), (0.07, 0.07, 0.075)
    warm = float(ridden) if ridden else float(rng.random() < 0.4) * 0.7
    lit = w.dark and ridden
    canvas.begin("motorcycle", z)

    def part(rgb, heat=0.0, **more):
        return canvas.part("motorcycle", rgb, z, heat=heat, **({"absorb": 0.45, "grain": 0.02} | more))

    tyre, metal, shell = part(dark, 1.0 + 7.0 * warm), part((0.4, 0.4, 0.42), 22.0 * warm), part(paint, 3.0 * warm)
    seat = part((0.06, 0.06, 0.06), 5.0 * warm)

    def block(l0, l1, half, h0, h1, p, slant=0.0):
        ring = [(fore + slant * (h - h0), s * half, h) for fore in (l0, l1) for s in (-1, 1) for h in (h0, h1)]
        canvas.solid(frame.world(ring), p)

    def wheel(fore):
        rim = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        ring = np.stack([fore + 0.3 * np.cos(rim), 0 * rim, 0.3 + 0.3 * np.sin(rim)], -1)
        both = np.concatenate([ring + np.array((0, s * 0.06, 0)) for s in (-1, 1)])
        canvas.solid(frame.world(both), tyre)
        canvas.disc(frame, fore, -0.065 * np.sign(frame.sin), 0.3, 0.16, part((0.5, 0.5, 0.5), 4.0 + 8.0 * warm))

    scooter = rng.random() < 0.5
    for fore in sorted((-0.62, 0.64), key=lambda fore: -fore * frame.cos):
        wheel(fore)
    if scooter:
        block(-0.3, 0.35, 0.14, 0.18, 0.32, part(dark, 3.0 * warm))
        block(-0.95, -0.25, 0.17, 0.35, 0.74, shell)
        block(0.3, 0.48, 0.2, 0.3, 0.95, shell, slant=-0.15)
        block(-0.55, -0.2, 0.12, 0.2, 0.4, metal)
    else:
        block(-0.3, 0.35, 0.16, 0.22, 0.58, metal)
        block(-0.1, 0.42, 0.15, 0.56, 0.86, shell)
        block(-0.9, -0.3, 0.1, 0.62, 0.76, shell, slant=-0.4)
        ends = np.array([[(-0.3, 0.16, 0.32), (-0.85, 0.18, 0.4)], [(0.64, 0.0, 0.3), (0.42, 0.0, 0.95)]])
        pipe = part((0.5, 0.5, 0.52), 45.0 * warm)
        sizes = np.array([0.05, 0.04])
        canvas.sticks(frame.world(ends[:, 0]), frame.world(ends[:, 1]), sizes, sizes, (pipe, part(dark)))
    block(-0.8, -0.1, 0.13, 0.74, 0.82, seat)
    bar = np.array([[(0.38, -0.33, 1.02), (0.38, 0.33, 1.02)]])
    canvas.sticks(frame.world(bar[:, 0]), frame.world(bar[:, 1]), np.array([0.025]), np.array([0.025]), (part(dark),))
    if frame.cos < 0.2:
        lamp = part((0.85, 0.86, 0.88), 5.0 * lit, glow=(5.0, 4.8, 4.2) if lit else (0.0, 0.0, 0.0))
        block(0.5, 0.54, 0.1, 0.78, 0.94, lamp)
    if frame.cos > -0.2:
        block(
            -1.0,
            -0.96,
            0.08,
            0.62,
            0.72,
            part((0.6, 0.06, 0.06), 2.0, glow=(1.2, 0.04, 0.03) if lit else (0.0, 0.0, 0.0)),
        )
    canvas.end()
    if ridden:
        canvas.begin("person", z)
        helmet = None if rng.random() < 0.15 else pick(rng, FRAMES)
        rider(canvas, rng, frame, (-0.3, 0.8), (0.36, 1.05), ((0.12, 0.22), (0.12, 0.22)), helmet)
        canvas.end()
    if lit:
        beams(canvas, frame, 0.55, 0.05, 0.85, 5.0)


def _ground(canvas: Canvas, frame: Frame, reach: float, half: float, high: float) -> None:
    base = [(fore, s * half, 0.0) for fore in (-reach, reach) for s in (-1, 1)]
    canvas.rest(frame.world(base), 0.45)
    canvas.cast(frame.world([*base, (-0.3, 0.1, high), (0.3, -0.1, high), (0.1, 0.2, high * 0.8)]), 0.75)
