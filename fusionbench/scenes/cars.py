"""Passenger cars: a profile drawn out to a width, with windows, wheels and lights on its faces."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from .bodywork import DARK, GLASS, HEADLIGHT, Maker, beams, footing, panel, quad, turned
from .canvas import Canvas, Frame
from .people import pick

PAINT = (
    *((0.90, 0.90, 0.89), (0.12, 0.12, 0.13), (0.62, 0.64, 0.66), (0.35, 0.37, 0.40), (0.58, 0.10, 0.10)),
    *((0.14, 0.24, 0.46), (0.82, 0.82, 0.80), (0.20, 0.21, 0.23), (0.46, 0.40, 0.32), (0.16, 0.30, 0.24)),
    *((0.75, 0.76, 0.78), (0.86, 0.62, 0.12)),
)

# (l, h) from the lower rear corner over the top to the lower front corner; the second row tells what each edge is.
BODIES: dict[str, tuple[tuple[tuple[float, float], ...], tuple[str, ...]]] = {
    "sedan": (
        (
            (-2.20, 0.30),
            (-2.27, 0.62),
            (-2.20, 0.96),
            (-1.72, 1.02),
            (-1.02, 1.42),
            (0.22, 1.45),
            (1.02, 0.99),
            (2.02, 0.80),
            (2.25, 0.58),
            (2.20, 0.28),
        ),
        ("bumper", "rear", "deck", "rear_glass", "roof", "screen", "hood", "front", "bumper"),
    ),
    "hatch": (
        (
            (-1.95, 0.30),
            (-2.02, 0.62),
            (-1.98, 0.95),
            (-1.62, 1.46),
            (0.25, 1.50),
            (1.10, 1.00),
            (1.92, 0.84),
            (2.10, 0.60),
            (2.05, 0.28),
        ),
        ("bumper", "rear", "rear_glass", "roof", "screen", "hood", "front", "bumper"),
    ),
    "suv": (
        (
            (-2.20, 0.38),
            (-2.28, 0.75),
            (-2.24, 1.10),
            (-2.02, 1.66),
            (0.15, 1.72),
            (0.95, 1.18),
            (2.10, 1.04),
            (2.28, 0.74),
            (2.22, 0.36),
        ),
        ("bumper", "rear", "rear_glass", "roof", "screen", "hood", "front", "bumper"),
    ),
    "van": (
        (
            (-2.40, 0.35),
            (-2.45, 0.80),
            (-2.42, 1.15),
            (-2.34, 1.86),
            (1.10, 1.92),
            (1.85, 1.20),
            (2.35, 1.02),
            (2.45, 0.70),
            (2.40, 0.34),
        ),
        ("bumper", "rear", "rear_glass", "roof", "screen", "hood", "front", "bumper"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Shell:
    """The bodywork of one car.

    Attributes:
        body: key of :data:`BODIES`.
        profile: its outline (l, h), ``[N,2]`` metres.
        scale: against the table.
        half: half its width at the belt.
        belt: height below the windows.
        roof: height.
        paint: its colour.
        soak: what the paint takes of the sun's heat.
        warm: 0..1, how warm the engine is.
    """

    body: str
    profile: np.ndarray
    scale: float
    half: float
    belt: float
    roof: float
    paint: tuple[float, float, float]
    soak: float
    warm: float

    def width(self, h: float) -> float:
        """Half the width at a height: the sides lean in above the belt."""
        lean = max(0.0, (h - self.belt) / max(self.roof - self.belt, 0.1))
        return self.half * (1.0 - (0.2 if self.body != "van" else 0.1) * lean)


class Wheels(NamedTuple):
    """Where the wheels of a car are, and what they are made of."""

    axles: tuple[float, float]
    radius: float
    tyre: int


def car(
    canvas: Canvas, rng: Generator, x: float, z: float, yaw: float, moving: bool = True, body: str | None = None
) -> None:
    """A passenger car centred on (x, z) metres; yaw 0 is seen from behind."""
    shell = _shell(rng, moving, body)
    frame, lit = Frame(x, z, yaw), canvas.weather.dark and moving
    canvas.begin("car", z)
    make = Maker(canvas, frame, "car")
    footing(canvas, frame, shell.profile, shell.half, shell.roof)
    wheels = _underbody(make, shell)
    _skin(make, shell)
    _flanks(make, shell, wheels)
    _car_ends(make, rng, shell, lit)
    canvas.end()
    if lit:
        beams(canvas, frame, float(shell.profile[:, 0].max()), shell.half * 0.75, 0.65)


def _shell(rng: Generator, moving: bool, body: str | None) -> Shell:
    body = body or tuple(BODIES)[int(rng.choice(4, p=(0.4, 0.22, 0.28, 0.10)))]
    scale = float(rng.uniform(0.95, 1.05))
    profile = np.array(BODIES[body][0]) * scale
    belt = 0.95 * scale
    if body in ("suv", "van"):
        belt *= 1.14
    paint = pick(rng, PAINT)
    return Shell(
        body=body,
        profile=profile,
        scale=scale,
        half=0.9 * scale,
        belt=belt,
        roof=float(profile[:, 1].max()),
        paint=paint,
        soak=0.75 - 0.5 * float(np.mean(paint)),  # dark paint soaks up the sun
        warm=1.0 if moving else (0.6 if rng.random() < 0.3 else 0.0),
    )


def _underbody(make: Maker, shell: Shell) -> Wheels:
    """Floor and tyres."""
    frame, half, profile = make.frame, shell.half, shell.profile
    tyre = make((0.05, 0.05, 0.055), heat=1.0 + 7.0 * shell.warm, absorb=0.5)
    dark = make((0.03, 0.03, 0.035), heat=0.5 + 5.0 * shell.warm, absorb=0.1)
    axles = (float(profile[0, 0]) * 0.61, float(profile[-1, 0]) * 0.62)
    radius = 0.33 * shell.scale if shell.body != "suv" else 0.38
    under = [(fore, s * half * 0.92, h) for fore in profile[[0, -1], 0] * 0.97 for s in (-1, 1) for h in (0.17, 0.45)]
    make.canvas.solid(frame.world(under), dark)
    for fore in sorted(axles, key=lambda fore: -(frame.z + fore * frame.cos)):
        for side in (-1, 1):
            rubber = [
                (fore + dl, side * dw, h)
                for dl in (-radius * 0.8, radius * 0.8)
                for dw in (half * 0.7, half)
                for h in (0, 0.5)
            ]
            make.canvas.solid(frame.world(rubber), tyre)
    return Wheels(axles, radius, tyre)


def _skin(make: Maker, shell: Shell) -> None:
    """The faces along the profile, with the front and rear windows set into theirs."""
    w, warm, width = make.canvas.weather, shell.warm, shell.width
    quads, parts = [], []
    edges = zip(shell.profile[:-1], shell.profile[1:], BODIES[shell.body][1], strict=True)
    for (l0, h0), (l1, h1), kind in edges:
        length = max(float(np.hypot(l1 - l0, h1 - h0)), 1e-6)
        n = (-(h1 - h0) / length, 0.0, (l1 - l0) / length)
        heat = {"hood": 9.0, "front": 6.0, "bumper": 1.5, "deck": 1.0}.get(kind, 0.0) * warm
        tone = tuple(0.75 * c for c in shell.paint) if kind == "bumper" else shell.paint
        quads.append(quad(l0, h0, width(h0), l1, h1, width(h1)))
        parts.append(make(tone, n, heat=heat, absorb=shell.soak))
        if kind.endswith(("glass", "screen")):
            (la, ha), (lb, hb) = ((l0 + (l1 - l0) * t, h0 + (h1 - h0) * t) for t in (0.10, 0.92))
            quads.append(quad(la, ha, 0.9 * width(ha), lb, hb, 0.9 * width(hb)))
            shine = 0.16 * max(n[2], 0.2) * (not w.dark)
            parts.append(make(tuple(c + shine for c in GLASS), n, heat=w.sky_heat * 0.16 + 2.0 * warm, absorb=0.25))
    world = make.frame.world(np.array(quads))
    shown = turned(make.canvas, world)
    make.canvas.faces(world[shown], [p for p, s in zip(parts, shown, strict=True) if s])


def _flanks(make: Maker, shell: Shell, wheels: Wheels) -> None:
    """The side of a car that faces the camera: panel, windows, door gap, wheels."""
    canvas, frame = make.canvas, make.frame
    profile, width, belt, paint, warm = shell.profile, shell.width, shell.belt, shell.paint, shell.warm
    for side in (-1, 1):
        n = (0.0, float(side), 0.2)
        loop = np.array([(fore, side * width(h), h) for fore, h in profile])
        world = frame.world(loop if side < 0 else loop[::-1])[None]
        if not turned(canvas, world)[0]:
            continue
        canvas.faces(world, (make(paint, n, heat=1.0 * warm, absorb=shell.soak),))
        skirt = make(tuple(0.55 * c for c in paint), n, heat=1.5 * warm, absorb=shell.soak * 0.6)
        make.decal(
            [
                (profile[0, 0], side * width(0.3), 0.3),
                (profile[-1, 0], side * width(0.3), 0.3),
                (profile[-1, 0], side * width(0.4), 0.42),
                (profile[0, 0], side * width(0.4), 0.42),
            ],
            skirt,
        )
        glass = make(tuple(c + 0.05 for c in GLASS), n, heat=-1.0 + canvas.weather.sky_heat * 0.05, absorb=0.25)
        top = shell.roof - 0.09
        rear, front = _window_ends(profile, belt + 0.06), _window_ends(profile, top)
        middle = 0.5 * (rear[0] + rear[1])
        for a0, a1, b0, b1 in (
            (rear[0] + 0.16, middle - 0.04, front[0] + 0.1, middle - 0.04),
            (middle + 0.04, rear[1] - 0.1, middle + 0.04, front[1] - 0.05),
        ):
            low, high = belt + 0.05, top
            make.decal(
                [
                    (a0, side * width(low), low),
                    (a1, side * width(low), low),
                    (b1, side * width(high), high),
                    (b0, side * width(high), high),
                ],
                glass,
            )
        gap = make(tuple(0.5 * c for c in paint), n)
        for fore in (middle, rear[1] - 0.12):
            make.decal(
                [
                    (fore - 0.02, side * width(0.4), 0.42),
                    (fore + 0.02, side * width(0.4), 0.42),
                    (fore + 0.02, side * width(belt), belt),
                    (fore - 0.02, side * width(belt), belt),
                ],
                gap,
            )
        arch = make((0.03, 0.03, 0.03), n, heat=1.0 * warm)
        rim = make((0.55, 0.56, 0.58), n, heat=2.0 + 9.0 * warm, absorb=0.3)
        for fore in wheels.axles:
            canvas.disc(frame, fore, side * width(0.3) * 1.005, wheels.radius + 0.02, wheels.radius * 1.17, arch)
            canvas.disc(frame, fore, side * width(0.3) * 1.01, wheels.radius, wheels.radius, wheels.tyre)
            canvas.disc(frame, fore, side * width(0.3) * 1.012, wheels.radius, wheels.radius * 0.62, rim)


def _window_ends(profile: np.ndarray, h: float) -> tuple[float, float]:
    """Rear and front ends where a profile crosses height h."""
    crossing = []
    for (l0, h0), (l1, h1) in pairwise(profile):
        if (h0 - h) * (h1 - h) <= 0 and h0 != h1:
            crossing.append(float(l0 + (l1 - l0) * (h - h0) / (h1 - h0)))
    return (min(crossing), max(crossing)) if crossing else (-1.0, 1.0)


def _car_ends(make: Maker, rng: Generator, shell: Shell, lit: bool) -> None:
    """Lights, plates and grille at the ends that can be seen."""
    profile, half, scale, warm = shell.profile, shell.half, shell.scale, shell.warm
    seen_rear, seen_front = _ends_seen(make, profile)
    waist = 0.72 * scale * (profile[:, 1].max() / (1.45 * scale)) ** 0.5
    if seen_rear:
        fore = float(profile[:, 0].min()) - 0.01
        braking = rng.random() < 0.35
        glow = (1.6, 0.05, 0.03) if lit else ((0.5, 0.02, 0.02) if braking and warm else DARK)
        tail = make((0.55, 0.06, 0.06), (-1.0, 0.0, 0.0), heat=3.0 * warm, glow=glow)
        for s in (-1, 1):
            make.decal(panel(fore, s * half * 0.62, s * half * 0.93, waist, waist + 0.17), tail)
        make.decal(panel(fore, -0.27, 0.27, waist - 0.2, waist - 0.07), make((0.8, 0.82, 0.86), (-1.0, 0.0, 0.0)))
        if warm:
            pipe = make((0.1, 0.1, 0.1), heat=24.0 * warm)
            make.decal(panel(fore, half * 0.45, half * 0.62, 0.26, 0.36), pipe)
    if seen_front:
        fore = float(profile[:, 0].max()) + 0.01
        glow = HEADLIGHT if lit else DARK
        lamp = make((0.85, 0.87, 0.9), (1.0, 0.0, 0.0), heat=6.0 * lit + 2 * warm, glow=glow)
        for s in (-1, 1):
            make.decal(panel(fore, s * half * 0.6, s * half * 0.93, waist - 0.1, waist + 0.04), lamp)
        grille = make((0.06, 0.06, 0.07), (1.0, 0.0, 0.0), heat=9.0 * warm)
        make.decal(panel(fore, -half * 0.5, half * 0.5, waist - 0.16, waist - 0.02), grille)
        make.decal(panel(fore, -0.26, 0.26, waist - 0.34, waist - 0.22), make((0.75, 0.8, 0.88), (1.0, 0.0, 0.0)))


def _ends_seen(make: Maker, profile: np.ndarray) -> tuple[bool, bool]:
    rear = quad(profile[:, 0].min(), 0.3, 0.8, profile[:, 0].min(), 0.9, 0.8)
    front = quad(profile[:, 0].max(), 0.9, 0.8, profile[:, 0].max(), 0.3, 0.8)
    seen = turned(make.canvas, make.frame.world(np.array([rear, front])))
    return bool(seen[0]), bool(seen[1])
