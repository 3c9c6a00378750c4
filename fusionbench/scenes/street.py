"""Ground, road paint and buildings."""

from __future__ import annotations

import numpy as np

from .canvas import SS, Canvas
from .people import pick

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

    def part(self, cls: str, rgb, **more) -> int:
        """A part that lies on the ground and meets the sun as the ground does."""
        rise = float(np.sin(max(self.canvas.weather.elevation, 0.05)))
        options = {
            "absorb": 0.6,
            "shade": rise,
            "ground": True,
            "grain": 0.07,
            "blotch": 0.14,
            "ir_texture": 0.5,
        } | more
        return self.canvas.part(cls, rgb, 30.0, **options)

    def base(self, cls: str, rgb, **more) -> None:
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


def road(
    canvas: Canvas, rng, ground: Ground, middle: float, half: float, lanes: int, kerb: float, extras: dict
) -> None:
    """Carriageway, pavements of width ``kerb``, markings, wear and, where asked, a zebra and a cross street."""
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
    cross = extras.get("cross")
    if cross:
        ground.strip(-90.0, 90.0, tar, cross, cross + 7.5)
    stone = ground.part("pavement", (0.74, 0.73, 0.7), absorb=0.45, heat=0.65 * evening)
    for side in (-1, 1):
        a, b = sorted((middle + side * half, middle + side * (half + 0.18)))
        ground.strip(a, b, stone, None, cross)
        if cross:
            ground.strip(a, b, stone, cross + 7.5, None)
    _wear(canvas, rng, ground, middle, half, lanes, asphalt, evening)
    _markings(rng, ground, middle, half, lanes, extras, evening)


def _wear(canvas, rng, ground, middle, half, lanes, asphalt, evening) -> None:
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


def _markings(rng, ground, middle, half, lanes, extras, evening) -> None:
    white, width = (0.86, 0.86, 0.84), 2 * half / lanes
    worn = float(rng.uniform(0.75, 1.0))
    line = ground.part("curve", tuple(worn * c for c in white), absorb=0.66, blotch=0.2, grain=0.1, heat=0.8 * evening)
    yellow = ground.part("curve", (0.84 * worn, 0.66 * worn, 0.2), absorb=0.68, blotch=0.2, heat=0.85 * evening)
    cross, phase = extras.get("cross"), float(rng.uniform(0, 6))
    spans = [(ground.near, ground.far)] if not cross else [(ground.near, cross - 5.0), (cross + 8.5, ground.far)]
    for a, b in spans:
        for side in (-1, 1):
            x = middle + side * (half - 0.3)
            ground.strip(x - 0.08, x + 0.08, line, a, b)
        for lane in range(1, lanes):
            x = middle - half + width * lane
            if lane * 2 == lanes:
                for s in (-0.14, 0.06) if extras.get("double") else (-0.06,):
                    ground.strip(x + s, x + s + 0.1, yellow, a, b)
                continue
            for z in np.arange(a + phase, min(b, 110.0), 8.0):
                ground.strip(x - 0.07, x + 0.07, line, z, z + 3.6)
    zebra = extras.get("zebra")
    if zebra:
        paint = ground.part(
            "road", tuple(worn * 0.97 * c for c in white), absorb=0.66, blotch=0.22, grain=0.1, heat=0.8 * evening
        )
        for x in np.arange(middle - half + 0.4, middle + half - 0.4, 1.0):
            ground.strip(x, x + 0.5, paint, zebra, zebra + 3.0)


class Style:
    """Wall, windows and habits of one building."""

    def __init__(self, canvas: Canvas, rng):
        self.wall = pick(rng, WALLS)
        self.floor = float(rng.uniform(2.9, 3.5))
        self.bay = float(rng.uniform(2.4, 4.2))
        self.window = (float(rng.uniform(0.4, 0.72)), float(rng.uniform(0.42, 0.66)))
        self.frame = (0.82, 0.82, 0.8) if rng.random() < 0.6 else (0.22, 0.2, 0.19)
        self.shops, self.bands = rng.random() < 0.6, rng.random() < 0.4
        self.lit = float(rng.uniform(0.12, 0.5)) if canvas.weather.dark else 0.0
        self.leak = float(rng.uniform(0.5, 3.0)) if canvas.weather.air < 18 else 0.0
        self.awning = pick(rng, ((0.6, 0.16, 0.14), (0.16, 0.34, 0.26), (0.2, 0.26, 0.44), (0.75, 0.62, 0.3)))


def facade(canvas: Canvas, rng, style: Style, start, end, high: float, normal) -> None:
    """A wall from (x, z) ``start`` to ``end``, ``high`` metres tall, with a window in every bay and floor."""
    start, end, w = np.array(start, float), np.array(end, float), canvas.weather
    length = float(np.hypot(*(end - start)))
    bays = max(round(length / style.bay), 1)
    floors = max(int(high / style.floor), 1)
    shade = w.facing(normal[0], 0.0, normal[1])
    evening = 1.5 if w.sun_heat < 8 else 0.0
    wall_look: dict = {"absorb": 0.5, "shade": shade, "grain": 0.05, "blotch": 0.13, "ir_texture": 0.5}
    step = (end - start) / bays
    walls, wall_parts, panes, pane_parts = [], [], [], []

    def quad(a, b, low, top):
        return [(a[0], low, a[1]), (b[0], low, b[1]), (b[0], top, b[1]), (a[0], top, a[1])]

    order = np.argsort([-(start + step * (k + 0.5))[1] for k in range(bays)], kind="stable")
    for k in order:
        a, b = start + step * k, start + step * (k + 1)
        z = float((a[1] + b[1]) / 2)
        wall = canvas.part("building", style.wall, z, heat=evening + 0.4 * style.leak, **wall_look)
        walls.append(quad(a, b, 0.0, high))
        wall_parts.append(wall)
        px = abs(
            float(
                canvas.camera.project(np.array([b[0], 0, b[1]]))[0]
                - canvas.camera.project(np.array([a[0], 0, a[1]]))[0]
            )
        )
        if px < 2 * SS:
            continue
        glass = []
        for _ in range(3):
            sky = float(rng.uniform(0.04, 0.28)) if not w.dark else 0.04
            tone = tuple(0.10 + sky * c for c in (0.8, 0.95, 1.1))
            cold = w.sky_heat * 0.10 * rng.uniform(0.6, 1.3)
            glass.append(
                canvas.part(
                    "building",
                    tone,
                    z,
                    heat=cold + 1.5 * style.leak,
                    absorb=0.2,
                    shade=shade,
                    blotch=0.2,
                    ir_texture=0.2,
                )
            )
        warm = np.array((1.0, 0.74, 0.42)) if rng.random() < 0.7 else np.array((0.8, 0.9, 1.0))
        glow = tuple(warm * rng.uniform(0.10, 0.42))
        lamp = canvas.part(
            "building", (0.5, 0.45, 0.35), z, glow=glow, heat=2.0 + 2 * style.leak, absorb=0.2, clump=0.12, blotch=0.2
        )
        rim = canvas.part("building", style.frame, z, heat=evening, absorb=0.3, shade=shade)
        margin, tall = (1 - style.window[0]) / 2, style.window[1] * style.floor
        p, q = a + (b - a) * margin, a + (b - a) * (1 - margin)
        pf, qf = a + (b - a) * (margin - 0.03), a + (b - a) * (margin + style.window[0] + 0.03)
        for floor in range(floors):
            low = floor * style.floor + 0.30 * style.floor
            if floor == 0 and style.shops:
                shop, edge = style.awning, a + (b - a) * 0.06
                lit = w.dark and rng.random() < 0.6
                pane = canvas.part(
                    "building", (0.2, 0.21, 0.22), z, glow=tuple(2.2 * g for g in glow) if lit else (0.0, 0.0, 0.0),
                    heat=1.0 + 2 * style.leak, absorb=0.2, clump=0.22, blotch=0.3, shade=shade,
                )  # fmt: skip
                panes.append(quad(edge, b - (b - a) * 0.06, 0.25, 2.5))
                pane_parts.append(pane)
                panes.append(quad(a + (b - a) * 0.02, b - (b - a) * 0.02, 2.5, 3.05))
                pane_parts.append(
                    canvas.part("building", shop, z, absorb=0.5, shade=shade, heat=0.5 * evening, clump=0.15)
                )
                continue
            if low + tall > high - 0.3:
                break
            if px > 5 * SS:
                panes.append(quad(pf, qf, low - 0.1, low + tall + 0.08))
                pane_parts.append(rim)
            panes.append(quad(p, q, low, low + tall))
            pane_parts.append(lamp if rng.random() < style.lit else glass[int(rng.integers(3))])
            if px > 14 * SS:
                bar = 0.5 * (p + q)
                panes.append(quad(bar - (b - a) * 0.012, bar + (b - a) * 0.012, low, low + tall))
                pane_parts.append(rim)
        if style.bands:
            for floor in range(1, floors + 1):
                panes.append(quad(a, b, floor * style.floor - 0.12, floor * style.floor + 0.12))
                pane_parts.append(rim)
    canvas.faces(np.array(walls), wall_parts)
    if panes:
        canvas.faces(np.array(panes), pane_parts)
    cornice = canvas.part("building", tuple(0.8 * c for c in style.wall), float(min(start[1], end[1])), **wall_look)
    canvas.faces([quad(start, end, high - 0.3, high + 0.15)], (cornice,))


def row(
    canvas: Canvas,
    rng,
    side: int,
    x: float,
    near: float,
    far: float,
    gap_at,
    tall: tuple[float, float],
    fill,
    density: float,
):
    """Buildings along one side with their front at x, from far to near; ``fill(x, z)`` plants what fills a gap."""
    plots, z = [], near * float(rng.uniform(0.3, 1.0))
    while z < far:
        length = float(rng.uniform(10, 24))
        blocked = gap_at is not None and z < gap_at + 9.5 and z + length > gap_at - 2.0
        if blocked and z < gap_at - 8.0:
            length, blocked = gap_at - 2.5 - z, False
        elif blocked:
            z = max(z, gap_at + 9.5)
            continue
        plots.append((z, length, rng.random() < density))
        z += length + (float(rng.uniform(2, 7)) if rng.random() < 0.3 else 0.0)
    for z, length, built in reversed(plots):
        if not built:
            for at in np.arange(z + length, z, -4.5):
                fill(x + side * float(rng.uniform(1.0, 5.0)), float(max(at, 3.0)))
            continue
        high, style, back = float(rng.uniform(*tall)), Style(canvas, rng), side * 12.0
        z0, z1 = max(z, 0.8), z + length
        setback = x + side * (float(rng.uniform(0, 1.5)) if rng.random() < 0.4 else 0.0)
        corners = [(setback + b, h, q) for b in (0.0, back) for h in (0.0, high) for q in (z0, z1)]
        canvas.cast(np.array(corners, float))
        facade(canvas, rng, style, (setback, z0), (setback, z1), high, (-side, 0.0))
        if z > 1.5:
            ends = ((setback, z0), (setback + back, z0)) if side > 0 else ((setback + back, z0), (setback, z0))
            facade(canvas, rng, style, *ends, high, (0.0, -1.0))


def backdrop(canvas: Canvas, rng, z: float = 170.0) -> None:
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
