"""Bicycles and motorcycles, parked or ridden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from .bodywork import DARK, HEADLIGHT, beams
from .canvas import Canvas, Frame
from .people import pick, rider
from .records import Colour, Look, Metres3

if TYPE_CHECKING:
    from typing_extensions import Unpack

FRAMES = (
    (0.12, 0.12, 0.13),
    (0.72, 0.16, 0.14),
    (0.85, 0.62, 0.12),
    (0.2, 0.42, 0.64),
    (0.78, 0.78, 0.76),
    (0.2, 0.5, 0.4),
)


def bicycle(canvas: Canvas, rng: Generator, x: float, z: float, yaw: float, ridden: bool = True) -> None:
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
    rear = (-0.53, 0.0, 0.34)
    tubes: list[tuple[Metres3, Metres3]]
    tubes = [(crank, saddle), (crank, stem), ((-0.17, 0, 0.76), (0.36, 0, 0.8)), (rear, crank)]
    tubes += [(rear, (-0.17, 0, 0.74)), (hub, stem), ((0.38, -0.25, 0.99), (0.38, 0.25, 0.99))]
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


def motorcycle(canvas: Canvas, rng: Generator, x: float, z: float, yaw: float, ridden: bool = True) -> None:
    """A motorcycle or scooter at (x, z) metres."""
    frame = Frame(x, z, yaw)
    _ground(canvas, frame, 1.0, 0.3, 1.7 if ridden else 1.0)
    paint = pick(rng, FRAMES)
    warm = float(ridden) if ridden else float(rng.random() < 0.4) * 0.7
    lit = canvas.weather.dark and ridden
    canvas.begin("motorcycle", z)
    machine = _Motorcycle(canvas, frame, paint, warm, lit)
    machine.draw(scooter=rng.random() < 0.5)
    canvas.end()
    if ridden:
        canvas.begin("person", z)
        helmet = None if rng.random() < 0.15 else pick(rng, FRAMES)
        rider(canvas, rng, frame, (-0.3, 0.8), (0.36, 1.05), ((0.12, 0.22), (0.12, 0.22)), helmet)
        canvas.end()
    if lit:
        beams(canvas, frame, 0.55, 0.05, 0.85, 5.0)


class _Motorcycle:
    """The parts of one motorcycle."""

    dark = (0.07, 0.07, 0.075)

    def __init__(self, canvas: Canvas, frame: Frame, paint: Colour, warm: float, lit: bool):
        self.canvas, self.frame, self.warm, self.lit = canvas, frame, warm, lit
        self.tyre = self.part(self.dark, heat=1.0 + 7.0 * warm)
        self.metal = self.part((0.4, 0.4, 0.42), heat=22.0 * warm)
        self.shell = self.part(paint, heat=3.0 * warm)
        self.seat = self.part((0.06, 0.06, 0.06), heat=5.0 * warm)

    def part(self, rgb: Colour, **more: Unpack[Look]) -> int:
        look: Look = {"absorb": 0.45, "grain": 0.02, **more}
        return self.canvas.part("motorcycle", rgb, self.frame.z, **look)

    def block(
        self, l0: float, l1: float, half: float, heights: tuple[float, float], part: int, slant: float = 0.0
    ) -> None:
        """A block from l0 to l1 along the machine that leans by ``slant``."""
        low = heights[0]
        ring = [(fore + slant * (h - low), s * half, h) for fore in (l0, l1) for s in (-1, 1) for h in heights]
        self.canvas.solid(self.frame.world(ring), part)

    def wheel(self, fore: float) -> None:
        """Tyre and rim."""
        turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        ring = np.stack([fore + 0.3 * np.cos(turn), 0 * turn, 0.3 + 0.3 * np.sin(turn)], -1)
        both = np.concatenate([ring + np.array((0, s * 0.06, 0)) for s in (-1, 1)])
        self.canvas.solid(self.frame.world(both), self.tyre)
        rim = self.part((0.5, 0.5, 0.5), heat=4.0 + 8.0 * self.warm)
        self.canvas.disc(self.frame, fore, -0.065 * np.sign(self.frame.sin), 0.3, 0.16, rim)

    def stick(self, start: list[Metres3], end: list[Metres3], radii: tuple[float, ...], parts: tuple[int, ...]) -> None:
        """Round bars between local points."""
        self.canvas.sticks(self.frame.world(start), self.frame.world(end), radii, radii, parts)

    def draw(self, scooter: bool) -> None:
        """Everything, from far to near."""
        cos, warm = self.frame.cos, self.warm
        for fore in sorted((-0.62, 0.64), key=lambda fore: -fore * cos):
            self.wheel(fore)
        if scooter:
            self.block(-0.3, 0.35, 0.14, (0.18, 0.32), self.part(self.dark, heat=3.0 * warm))
            self.block(-0.95, -0.25, 0.17, (0.35, 0.74), self.shell)
            self.block(0.3, 0.48, 0.2, (0.3, 0.95), self.shell, slant=-0.15)
            self.block(-0.55, -0.2, 0.12, (0.2, 0.4), self.metal)
        else:
            self.block(-0.3, 0.35, 0.16, (0.22, 0.58), self.metal)
            self.block(-0.1, 0.42, 0.15, (0.56, 0.86), self.shell)
            self.block(-0.9, -0.3, 0.1, (0.62, 0.76), self.shell, slant=-0.4)
            pipe = self.part((0.5, 0.5, 0.52), heat=45.0 * warm)
            start, end = [(-0.3, 0.16, 0.32), (0.64, 0.0, 0.3)], [(-0.85, 0.18, 0.4), (0.42, 0.0, 0.95)]
            self.stick(start, end, (0.05, 0.04), (pipe, self.part(self.dark)))
        self.block(-0.8, -0.1, 0.13, (0.74, 0.82), self.seat)
        self.stick([(0.38, -0.33, 1.02)], [(0.38, 0.33, 1.02)], (0.025,), (self.part(self.dark),))
        if cos < 0.2:
            lamp = self.part((0.85, 0.86, 0.88), heat=5.0 * self.lit, glow=HEADLIGHT if self.lit else DARK)
            self.block(0.5, 0.54, 0.1, (0.78, 0.94), lamp)
        if cos > -0.2:
            lamp = self.part((0.6, 0.06, 0.06), heat=2.0, glow=(1.2, 0.04, 0.03) if self.lit else DARK)
            self.block(-1.0, -0.96, 0.08, (0.62, 0.72), lamp)


def _ground(canvas: Canvas, frame: Frame, reach: float, half: float, high: float) -> None:
    base = [(fore, s * half, 0.0) for fore in (-reach, reach) for s in (-1, 1)]
    canvas.rest(frame.world(base), 0.45)
    canvas.cast(frame.world([*base, (-0.3, 0.1, high), (0.3, -0.1, high), (0.1, 0.2, high * 0.8)]), 0.75)
