"""Ground, road paint and buildings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from .canvas import SS, Canvas
from .people import pick
from .records import Colour, Look, Metres3, Road

if TYPE_CHECKING:
    from typing_extensions import Unpack

Ground2 = tuple[float, float]  # (x, z)
Outline = list[Metres3]

WALLS = (
    *((0.72, 0.66, 0.56), (0.58, 0.36, 0.28), (0.78, 0.76, 0.72), (0.50, 0.50, 0.50), (0.66, 0.54, 0.40)),
    *((0.44, 0.30, 0.25), (0.60, 0.62, 0.64), (0.80, 0.74, 0.62), (0.38, 0.40, 0.43)),
)


class Ground:
    """Flat surfaces of one scene, from the nearest visible row to the horizon."""

    def __init__(self, canvas: Canvas, far: float = 220.0):
        camera = canvas.camera
        below = max(camera.size[0] - camera.horizon, 1.0)
        self.canvas, self.near, self.far = canvas, max(0.8 * camera.focal * camera.height / below, 0.6), far

    def part(self, cls: str, rgb: Colour, **more: Unpack[Look]) -> int:
        """A part that lies on the ground and meets the sun as the ground does."""
        rise = float(np.sin(max(self.canvas.weather.elevation, 0.05)))
        look: Look = {"absorb": 0.6, "shade": rise, "ground": True, "grain": 0.07, "blotch": 0.14, "ir_texture": 0.5}
        look |= more
        return self.canvas.part(cls, rgb, 30.0, **look)

    def base(self, cls: str, rgb: Colour, **more: Unpack[Look]) -> None:
        """Fill everything under the horizon."""
        height, width = self.canvas.camera.size
        top = max(self.canvas.camera.horizon, -2.0) * SS
        box = np.array(
            [(-9, top), (width * SS + 9, top), (width * SS + 9, height * SS + 9), (-9, height * SS + 9)], float
        )
        self.canvas.paint(box, self.part(cls, rgb, **more))

    def strip(self, x0: float, x1: float, part: int, z0: float | None = None, z1: float | None = None) -> None:
        """A band along the street between two x and two z."""
        z0 = self.near if z0 is None else max(z0, self.near)
        z1 = self.far if z1 is None else z1
        if z1 <= z0:
            return
        count = 2 if z1 / z0 < 1.4 else 10
        z = z0 * (z1 / z0) ** np.linspace(0, 1, count)
        left = np.stack([np.full(count, x0), np.zeros(count), z], -1)
        right = np.stack([np.full(count, x1), np.zeros(count), z[::-1]], -1)
        self.canvas.faces(np.concatenate([left, right])[None], (part,))


def lay_road(canvas: Canvas, rng: Generator, ground: Ground, road: Road) -> None:
    """Carriageway, pavements, markings, wear and, where it has them, a zebra and a cross street."""
    middle, half, kerb, cross = road.middle, road.half, road.kerb, road.cross
    tone = float(rng.uniform(0.29, 0.43))
    asphalt = (tone, tone, tone * 1.03)
    paving = pick(rng, ((0.60, 0.58, 0.55), (0.52, 0.50, 0.48), (0.62, 0.55, 0.50)))
    evening = 2.0 if canvas.weather.sun_heat < 8 else 0.0  # what asphalt keeps after sunset
    pave = ground.part("pavement", paving, absorb=0.5, heat=0.6 * evening, grain=0.09)
    tar = ground.part("road", asphalt, absorb=0.75, heat=evening)
    ground.strip(middle - half - kerb, middle + half + kerb, pave)
    joint = ground.part("pavement", tuple(0.8 * c for c in paving), absorb=0.5, heat=0.6 * evening)
    for side in (-1, 1):
        edge = middle + side * half
        for k in range(1, max(int(kerb / 0.9), 1)):
            ground.strip(edge + side * 0.9 * k, edge + side * (0.9 * k + 0.03), joint, None, 30.0)
        for z in np.arange(ground.near, 26.0, 1.5):
            ground.strip(edge, edge + side * kerb, joint, z, z + 0.04)
    ground.strip(middle - half, middle + half, tar)
    if cross:
        ground.strip(-90.0, 90.0, tar, cross, cross + 7.5)
    stone = ground.part("pavement", (0.74, 0.73, 0.7), absorb=0.45, heat=0.65 * evening)
    for side in (-1, 1):
        a, b = sorted((middle + side * half, middle + side * (half + 0.18)))
        ground.strip(a, b, stone, None, cross)
        if cross:
            ground.strip(a, b, stone, cross + 7.5, None)
    _wear(canvas, rng, ground, road, asphalt, evening)
    _markings(rng, ground, road, evening)


def _wear(
    canvas: Canvas, rng: Generator, ground: Ground, road: Road, asphalt: tuple[float, float, float], evening: float
) -> None:
    middle, half, lanes = road.middle, road.half, road.lanes
    width = 2 * half / lanes
    track = ground.part("road", tuple(0.95 * c for c in asphalt), absorb=0.758, heat=evening + 0.15)
    worn = ground.part("road", tuple(0.91 * c for c in asphalt), absorb=0.767, heat=evening + 0.3)
    for lane in range(lanes):
        centre = middle - half + width * (lane + 0.5)
        for side in (-0.75, 0.75):
            for half_width in (0.32, 0.18):
                ground.strip(
                    centre + side - half_width, centre + side + half_width, track if half_width > 0.2 else worn
                )
    for _ in range(int(rng.integers(2, 6))):
        z, x = float(np.exp(rng.uniform(np.log(ground.near + 1), np.log(45)))), rng.uniform(-half, half * 0.7) + middle
        shade = float(rng.uniform(0.72, 1.22))
        patch = ground.part(
            "road", tuple(shade * c for c in asphalt), absorb=0.75, heat=evening + rng.uniform(-0.5, 0.6)
        )
        ground.strip(x, x + rng.uniform(0.6, 2.4), patch, z, z * rng.uniform(1.06, 1.3))
    for _ in range(int(rng.integers(0, 3))):
        x, z = rng.uniform(-half * 0.8, half * 0.8) + middle, float(np.exp(rng.uniform(np.log(5), np.log(30))))
        turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        cover = ground.part("road", (0.2, 0.2, 0.2), absorb=0.7, heat=evening + rng.uniform(0, 5))
        ring = np.stack([x + 0.36 * np.cos(turn), 0 * turn, z + 0.36 * np.sin(turn)], -1)
        canvas.faces(ring[None], (cover,))


def _markings(rng: Generator, ground: Ground, road: Road, evening: float) -> None:
    middle, half, lanes, cross = road.middle, road.half, road.lanes, road.cross
    white, width = (0.86, 0.86, 0.84), 2 * half / lanes
    worn = float(rng.uniform(0.75, 1.0))
    line = ground.part("curve", tuple(worn * c for c in white), absorb=0.66, blotch=0.2, grain=0.1, heat=0.8 * evening)
    yellow = ground.part("curve", (0.84 * worn, 0.66 * worn, 0.2), absorb=0.68, blotch=0.2, heat=0.85 * evening)
    phase = float(rng.uniform(0, 6))
    spans = [(ground.near, ground.far)] if not cross else [(ground.near, cross - 5.0), (cross + 8.5, ground.far)]
    for a, b in spans:
        for side in (-1, 1):
            x = middle + side * (half - 0.3)
            ground.strip(x - 0.08, x + 0.08, line, a, b)
        for lane in range(1, lanes):
            x = middle - half + width * lane
            if lane * 2 == lanes:
                for s in (-0.14, 0.06) if road.double else (-0.06,):
                    ground.strip(x + s, x + s + 0.1, yellow, a, b)
                continue
            for z in np.arange(a + phase, min(b, 110.0), 8.0):
                ground.strip(x - 0.07, x + 0.07, line, z, z + 3.6)
    if road.zebra:
        paint = ground.part(
            "road", tuple(worn * 0.97 * c for c in white), absorb=0.66, blotch=0.22, grain=0.1, heat=0.8 * evening
        )
        for x in np.arange(middle - half + 0.4, middle + half - 0.4, 1.0):
            ground.strip(x, x + 0.5, paint, road.zebra, road.zebra + 3.0)


class Style:
    """Wall, windows and habits of one building."""

    def __init__(self, canvas: Canvas, rng: Generator):
        self.wall = pick(rng, WALLS)
        self.floor = float(rng.uniform(2.9, 3.5))
        self.bay = float(rng.uniform(2.4, 4.2))
        self.window = (float(rng.uniform(0.4, 0.72)), float(rng.uniform(0.42, 0.66)))
        self.frame = (0.82, 0.82, 0.8) if rng.random() < 0.6 else (0.22, 0.2, 0.19)
        self.shops, self.bands = rng.random() < 0.6, rng.random() < 0.4
        self.lit = float(rng.uniform(0.12, 0.5)) if canvas.weather.dark else 0.0
        self.leak = float(rng.uniform(0.5, 3.0)) if canvas.weather.air < 18 else 0.0
        self.awning = pick(rng, ((0.6, 0.16, 0.14), (0.16, 0.34, 0.26), (0.2, 0.26, 0.44), (0.75, 0.62, 0.3)))


class Facade:
    """One wall from (x, z) ``start`` to ``end``, ``high`` metres tall, with a window in every bay and floor."""

    def __init__(self, canvas: Canvas, rng: Generator, style: Style, high: float, normal: tuple[float, float]):
        w = canvas.weather
        self.canvas, self.rng, self.style, self.high = canvas, rng, style, high
        self.floors = max(int(high / style.floor), 1)
        self.shade = w.facing(normal[0], 0.0, normal[1])
        self.evening = 1.5 if w.sun_heat < 8 else 0.0
        self.look: Look = {"absorb": 0.5, "shade": self.shade, "grain": 0.05, "blotch": 0.13, "ir_texture": 0.5}
        self.panes: list[Outline] = []
        self.pane_parts: list[int] = []

    def draw(self, start: Ground2, end: Ground2) -> None:
        """The wall, what is set into it, and its cornice."""
        canvas, style, high = self.canvas, self.style, self.high
        first, last = np.array(start, float), np.array(end, float)
        bays = max(round(float(np.hypot(*(last - first))) / style.bay), 1)
        step = (last - first) / bays
        walls, wall_parts = [], []
        for k in np.argsort([-(first + step * (k + 0.5))[1] for k in range(bays)], kind="stable"):
            a, b = first + step * k, first + step * (k + 1)
            z = float((a[1] + b[1]) / 2)
            walls.append(_upright(a, b, 0.0, high))
            wall: Look = {**self.look, "heat": self.evening + 0.4 * style.leak}
            wall_parts.append(canvas.part("building", style.wall, z, **wall))
            right, left = (canvas.camera.project(np.array([p[0], 0, p[1]]))[0] for p in (b, a))
            px = abs(float(right - left))
            if px >= 2 * SS:
                self._bay(a, b, z, px)
        canvas.faces(np.array(walls), wall_parts)
        if self.panes:
            canvas.faces(np.array(self.panes), self.pane_parts)
        depth = float(min(first[1], last[1]))
        cornice = canvas.part("building", tuple(0.8 * c for c in style.wall), depth, **self.look)
        canvas.faces([_upright(first, last, high - 0.3, high + 0.15)], (cornice,))

    def _add(self, pane: Outline, part: int) -> None:
        self.panes.append(pane)
        self.pane_parts.append(part)

    def _glass(self, z: float) -> int:
        """A dark window, in which some sky is seen."""
        rng, w, leak = self.rng, self.canvas.weather, self.style.leak
        sky = float(rng.uniform(0.04, 0.28)) if not w.dark else 0.04
        tone = tuple(0.10 + sky * c for c in (0.8, 0.95, 1.1))
        heat = w.sky_heat * 0.10 * rng.uniform(0.6, 1.3) + 1.5 * leak
        look: Look = {"heat": heat, "absorb": 0.2, "shade": self.shade, "blotch": 0.2, "ir_texture": 0.2}
        return self.canvas.part("building", tone, z, **look)

    def _bay(self, a: np.ndarray, b: np.ndarray, z: float, px: float) -> None:
        """Windows and shop of the bay from a to b, which is ``px`` samples wide."""
        canvas, rng, style, high = self.canvas, self.rng, self.style, self.high
        glass = [self._glass(z) for _ in range(3)]
        warm = np.array((1.0, 0.74, 0.42)) if rng.random() < 0.7 else np.array((0.8, 0.9, 1.0))
        glow = tuple(warm * rng.uniform(0.10, 0.42))
        look: Look = {"glow": glow, "heat": 2.0 + 2 * style.leak, "absorb": 0.2, "clump": 0.12, "blotch": 0.2}
        lamp = canvas.part("building", (0.5, 0.45, 0.35), z, **look)
        rim = canvas.part("building", style.frame, z, heat=self.evening, absorb=0.3, shade=self.shade)
        margin, tall = (1 - style.window[0]) / 2, style.window[1] * style.floor
        p, q = a + (b - a) * margin, a + (b - a) * (1 - margin)
        pf, qf = a + (b - a) * (margin - 0.03), a + (b - a) * (margin + style.window[0] + 0.03)
        for floor in range(self.floors):
            low = floor * style.floor + 0.30 * style.floor
            if floor == 0 and style.shops:
                self._shop(a, b, z, glow)
                continue
            if low + tall > high - 0.3:
                break
            if px > 5 * SS:
                self._add(_upright(pf, qf, low - 0.1, low + tall + 0.08), rim)
            self._add(
                _upright(p, q, low, low + tall), lamp if rng.random() < style.lit else glass[int(rng.integers(3))]
            )
            if px > 14 * SS:
                bar = 0.5 * (p + q)
                self._add(_upright(bar - (b - a) * 0.012, bar + (b - a) * 0.012, low, low + tall), rim)
        if style.bands:
            for floor in range(1, self.floors + 1):
                self._add(_upright(a, b, floor * style.floor - 0.12, floor * style.floor + 0.12), rim)

    def _shop(self, a: np.ndarray, b: np.ndarray, z: float, glow: tuple[float, ...]) -> None:
        """A shop window under an awning."""
        canvas, style = self.canvas, self.style
        lit = canvas.weather.dark and self.rng.random() < 0.6
        look: Look = {"glow": tuple(2.2 * g for g in glow) if lit else (0.0, 0.0, 0.0), "heat": 1.0 + 2 * style.leak}
        look |= {"absorb": 0.2, "clump": 0.22, "blotch": 0.3, "shade": self.shade}
        pane = canvas.part("building", (0.2, 0.21, 0.22), z, **look)
        self._add(_upright(a + (b - a) * 0.06, b - (b - a) * 0.06, 0.25, 2.5), pane)
        look = {"absorb": 0.5, "shade": self.shade, "heat": 0.5 * self.evening, "clump": 0.15}
        awning = canvas.part("building", style.awning, z, **look)
        self._add(_upright(a + (b - a) * 0.02, b - (b - a) * 0.02, 2.5, 3.05), awning)


def _upright(a: np.ndarray, b: np.ndarray, low: float, top: float) -> Outline:
    """World corners of a rectangle that stands on the line from (x, z) a to b."""
    return [(a[0], low, a[1]), (b[0], low, b[1]), (b[0], top, b[1]), (a[0], top, a[1])]


@dataclass(frozen=True, kw_only=True)
class Frontage:
    """Buildings along one side of a street.

    Attributes:
        side: -1 is left, +1 right.
        x: of their fronts.
        gap: distance of a cross street that must stay free, or None.
        tall: their height, from and to.
        density: share of the plots that are built on.
    """

    side: int
    x: float
    gap: float | None
    tall: tuple[float, float]
    density: float


def row(
    canvas: Canvas,
    rng: Generator,
    front: Frontage,
    fill: Callable[[float, float], None],
    near: float = 4.0,
    far: float = 130.0,
) -> None:
    """Buildings along one side, from far to near; ``fill(x, z)`` plants what fills a gap."""
    side, x, gap = front.side, front.x, front.gap
    plots, z = [], near * float(rng.uniform(0.3, 1.0))
    while z < far:
        length = float(rng.uniform(10, 24))
        if gap is not None and z < gap + 9.5 and z + length > gap - 2.0:
            if z >= gap - 8.0:
                z = max(z, gap + 9.5)
                continue
            length = gap - 2.5 - z
        plots.append((z, length, rng.random() < front.density))
        z += length + (float(rng.uniform(2, 7)) if rng.random() < 0.3 else 0.0)
    for z, length, built in reversed(plots):
        if not built:
            for depth in np.arange(z + length, z, -4.5):
                fill(x + side * float(rng.uniform(1.0, 5.0)), float(max(depth, 3.0)))
            continue
        high, style, back = float(rng.uniform(*front.tall)), Style(canvas, rng), side * 12.0
        z0, z1 = max(z, 0.8), z + length
        setback = x + side * (float(rng.uniform(0, 1.5)) if rng.random() < 0.4 else 0.0)
        corners = [(setback + b, h, q) for b in (0.0, back) for h in (0.0, high) for q in (z0, z1)]
        canvas.cast(np.array(corners, float))
        Facade(canvas, rng, style, high, (-side, 0.0)).draw((setback, z0), (setback, z1))
        if z > 1.5:
            ends = ((setback, z0), (setback + back, z0)) if side > 0 else ((setback + back, z0), (setback, z0))
            Facade(canvas, rng, style, high, (0.0, -1.0)).draw(*ends)


def backdrop(canvas: Canvas, rng: Generator, z: float = 170.0) -> None:
    """What closes the view: a line of far roofs or trees on the horizon."""
    camera, wooded = canvas.camera, rng.random() < 0.5
    half = camera.size[1] / camera.focal * z
    edges, x = [], -half
    while x < half:
        step = float(rng.uniform(6, 22)) if not wooded else float(rng.uniform(2, 5))
        edges.append((x, x + step, float(rng.uniform(8, 26)) if not wooded else float(rng.uniform(7, 13))))
        x += step
    for left, right, high in edges:
        depth = z + float(rng.uniform(-20, 30))
        left, right = left - camera.shift(depth), right - camera.shift(depth)
        if wooded:
            turn = np.linspace(0, np.pi, 7)
            top = [
                (left + (right - left) * (0.5 - 0.75 * np.cos(t)), high * (0.7 + 0.3 * np.sin(t)), depth) for t in turn
            ]
            rgb = np.array((0.22, 0.30, 0.17)) * rng.uniform(0.8, 1.2)
            part = canvas.part("vegetation", tuple(rgb), depth, absorb=0.1, clump=0.4, grain=0.12, ir_texture=0.8)
            canvas.faces([[(left - 2, 0, depth), *top, (right + 2, 0, depth)]], (part,))
            continue
        part = canvas.part(
            "building", pick(rng, WALLS), depth, absorb=0.4, blotch=0.2, grain=0.12, heat=0.5, ir_texture=0.6
        )
        canvas.faces([[(left, 0, depth), (right, 0, depth), (right, high, depth), (left, high, depth)]], (part,))
