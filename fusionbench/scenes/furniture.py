"""What stands along a street: trees, lamps, signs, posts, cones, rails, bumps, wheel stops, boxes."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .canvas import SS, Canvas, Frame
from .people import pick
from .records import Colour

GREENS = ((0.22, 0.32, 0.14), (0.28, 0.38, 0.18), (0.18, 0.28, 0.15), (0.36, 0.40, 0.18), (0.25, 0.33, 0.2))
_LEAF = np.linspace(0, 2 * np.pi, 7, endpoint=False)


def tree(canvas: Canvas, rng: Generator, x: float, z: float, high: float | None = None, trunk: bool = True) -> None:
    """A broad-leaved tree, or a bush without its trunk, made of a few hundred clumps."""
    w = canvas.weather
    high = float(high or rng.uniform(4.5, 9.0))
    wide = high * float(rng.uniform(0.26, 0.4)) if trunk else high * float(rng.uniform(0.7, 1.3))
    bottom = high * (0.3 if trunk else 0.0)
    middle, half = (high + bottom) / 2, (high - bottom) / 2
    if trunk:
        bark = canvas.part("vegetation", (0.27, 0.21, 0.16), z, heat=0.5, absorb=0.4, blotch=0.2, grain=0.08)
        ends = np.array([[(x, 0, z), (x, bottom * 1.3, z)], [(x, bottom, z), (x + wide * 0.4, middle, z)]])
        r = 0.02 * high
        canvas.sticks(ends[:, 0], ends[:, 1], np.array([r * 1.3, r * 0.6]), np.array([r, r * 0.3]), (bark, bark))
    turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    crown = np.stack([x + wide * 0.85 * np.cos(turn), middle + half * np.sin(turn), np.full(10, z)], -1)
    canvas.cast(np.concatenate([crown, crown + np.array((0, 0, wide * 0.8))]), 0.85)
    if trunk:
        canvas.cast(np.array([(x + d, h, z) for d in (-0.12, 0.12) for h in (0.0, bottom)]), 0.85)
    else:
        canvas.rest(np.array([(x + d * wide, 0, z + e * wide * 0.4) for d in (-0.9, 0.9) for e in (-1, 1)]), 0.6)
    green = np.array(pick(rng, GREENS))
    night_warm = 1.0 if w.sun_heat < 4 else -1.5
    tones = []
    for k in range(7):
        light = 0.62 + 0.115 * k
        tones.append(
            canvas.part(
                "vegetation",
                tuple(green * light),
                z,
                heat=night_warm + 0.24 * k,
                absorb=0.10,
                shade=0.15 + 0.115 * k,
                grain=0.16,
                clump=0.55,
                blotch=0.15,
                ir_texture=1.3,
            )
        )
    px = max(canvas.camera.pixels(wide, z), 1.0)
    count = int(np.clip(px * 7, 24, 460))
    radius, angle = np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    bumps = 1.0 + 0.18 * np.sin(angle * 3 + rng.uniform(0, 6)) + 0.1 * np.sin(angle * 7 + rng.uniform(0, 6))
    cx = x + wide * radius * bumps * np.cos(angle)
    cy = middle + half * radius * bumps * np.sin(angle) * 0.95
    order = np.argsort(cy + rng.normal(0, 0.4 * half, count))
    cx, cy = cx[order], np.maximum(cy[order], 0.05)
    centre = canvas.camera.project(np.stack([cx, cy, np.full(count, z)], -1))
    size = canvas.camera.pixels(wide, z) * SS * rng.uniform(0.05, 0.14, count) * (420 / max(count, 60)) ** 0.25
    wobble = rng.uniform(0.6, 1.25, (count, 7)) * size[:, None]
    leaves = np.stack([np.cos(_LEAF) * wobble, np.sin(_LEAF) * wobble * 0.8], -1) + centre[:, None]
    # light comes from above and from the sun's side
    lit = (cy - bottom) / (2 * half) + 0.25 * np.sin(w.azimuth) * (cx - x) / wide + rng.normal(0, 0.18, count)
    core = np.stack([np.cos(_LEAF) * wide * 0.72, np.sin(_LEAF) * half * 0.72, 0 * _LEAF], -1)
    canvas.faces((core + np.array((x, middle, z)))[None], (tones[0],))
    canvas.paint_many(leaves, [tones[int(k)] for k in np.clip(lit * 7, 0, 6.99)])


def lamp_post(canvas: Canvas, rng: Generator, x: float, z: float, side: float, high: float = 7.0) -> None:
    """A street lamp whose arm reaches over the road; ``side`` -1 stands on the left."""
    w = canvas.weather
    steel = canvas.part("pole", (0.36, 0.37, 0.38), z, heat=-0.4 + 0.4 * (w.sun_heat < 8), absorb=0.4)
    reach = -side * 1.5
    ends = np.array([[(x, 0, z), (x, high, z)], [(x, high, z), (x + reach, high + 0.25, z)]])
    canvas.sticks(ends[:, 0], ends[:, 1], np.array([0.10, 0.055]), np.array([0.065, 0.05]), (steel, steel))
    canvas.cast(np.array([(x - 0.1, 0, z), (x + 0.1, 0, z), (x, high, z)]), 0.7)
    canvas.begin("lamp", z)
    on = w.lamps and rng.random() < 0.95
    warm = rng.random() < 0.7
    colour = np.array((1.0, 0.72, 0.40) if warm else (0.92, 0.96, 1.0))
    glow = tuple(7.0 * colour) if on else (0.0, 0.0, 0.0)
    heat = float(rng.uniform(12, 26)) if on else 0.5
    part = canvas.part("lamp", (0.78, 0.78, 0.76), z, glow=glow, heat=heat, absorb=0.35, blotch=0.0)
    head = [(x + reach + d, high + h, z + e) for d in (-0.42, 0.42) for h in (0.10, 0.38) for e in (-0.15, 0.15)]
    canvas.solid(np.array(head), part)
    canvas.end()
    if on:
        canvas.light((x + reach, high, z), 13.0 * colour * (high / 7.0) ** 2 * rng.uniform(0.7, 1.2))


def traffic_light(canvas: Canvas, rng: Generator, x: float, z: float, side: float) -> None:
    """A signal on a post; its box counts as a lamp."""
    steel = canvas.part("pole", (0.33, 0.34, 0.35), z, absorb=0.4)
    ends = np.array([[(x, 0, z), (x, 3.4, z)]])
    canvas.sticks(ends[:, 0], ends[:, 1], np.array([0.07]), np.array([0.06]), (steel,))
    canvas.cast(np.array([(x - 0.1, 0, z), (x + 0.1, 0, z), (x, 3.4, z)]), 0.6)
    canvas.begin("lamp", z)
    case = canvas.part("lamp", (0.09, 0.10, 0.10), z, heat=2.0, absorb=0.6)
    canvas.solid(np.array([(x + d, h, z) for d in (-0.2, 0.2) for h in (2.6, 3.6)]), case)
    state = int(rng.integers(3))
    for k, rgb in enumerate(((0.95, 0.1, 0.06), (0.95, 0.62, 0.08), (0.1, 0.85, 0.45))):
        on = k == state
        glow = tuple(1.6 * c for c in rgb) if on else (0.0, 0.0, 0.0)
        lens = canvas.part("lamp", tuple(c if on else 0.22 * c for c in rgb), z, glow=glow, heat=6.0 * on + 1.0)
        c = canvas.camera.project(np.array([x, 3.42 - 0.32 * k, z]))
        r = canvas.camera.pixels(0.13, z) * SS
        canvas.paint(np.stack([np.cos(_LEAF * 1.0) * r, np.sin(_LEAF) * r], -1) + c, lens)
    canvas.end()


def sign(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """A traffic sign on a post: colour and symbol are there for the visible camera only."""
    high, kind = float(rng.uniform(2.2, 2.9)), int(rng.integers(4))
    steel = canvas.part("pole", (0.55, 0.56, 0.57), z, absorb=0.35)
    ends = np.array([[(x, 0, z), (x, high + 0.3, z)]])
    canvas.sticks(ends[:, 0], ends[:, 1], np.array([0.045]), np.array([0.04]), (steel,))
    canvas.cast(np.array([(x - 0.06, 0, z), (x + 0.06, 0, z), (x, high, z)]), 0.6)
    canvas.begin("sign", z)
    heat = -0.6 * (canvas.weather.sun_heat < 8)

    def face(rgb: Colour) -> int:  # paint that throws light back, and nothing to see in the infrared
        return canvas.part("sign", rgb, z - 0.1, heat=heat, absorb=0.3, shade=0.6, blotch=0.02, ir_texture=0.05)

    c = np.array([x, high, z])
    n = {0: 20, 1: 3, 2: 4, 3: 20}[kind]
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False) + {1: np.pi / 2, 2: np.pi / 4}.get(kind, 0.0)
    rim = np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1)
    rims = {0: (0.8, 0.1, 0.1), 1: (0.12, 0.12, 0.12), 2: (0.9, 0.9, 0.9), 3: (0.85, 0.86, 0.9)}
    inner = {0: (0.92, 0.92, 0.9), 1: (0.92, 0.75, 0.12), 2: (0.1, 0.28, 0.62), 3: (0.1, 0.26, 0.64)}
    size = 0.36 if kind != 2 else 0.48
    canvas.faces((c + rim * size)[None], (face(rims[kind]),))
    canvas.faces((c + rim * size * 0.8)[None], (face(inner[kind]),))
    ink = face((0.08, 0.08, 0.1) if kind < 2 else (0.95, 0.95, 0.95))
    bar = np.array([(-0.05, -0.17, 0), (0.05, -0.17, 0), (0.06, 0.15, 0), (-0.06, 0.15, 0)])
    if kind == 0:
        bar = bar[:, (1, 0, 2)]
    canvas.faces((c + bar)[None], (ink,))
    canvas.end()


def post(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """A utility pole, or a bollard."""
    bollard = rng.random() < 0.4
    high, r = (0.95, 0.08) if bollard else (float(rng.uniform(6.5, 8.5)), 0.13)
    part = canvas.part("pole", (0.50, 0.47, 0.43), z, heat=0.3, absorb=0.5, blotch=0.15)
    canvas.sticks(np.array([(x, 0, z)]), np.array([(x, high, z)]), np.array([r]), np.array([r * 0.8]), (part,))
    canvas.cast(np.array([(x - r, 0, z), (x + r, 0, z), (x, high, z)]), 0.75)


def cone(canvas: Canvas, rng: Generator, x: float, z: float, scale: float = 1.0) -> None:
    """A traffic cone: orange with white bands, at air temperature."""
    frame, high = Frame(x, z, 0.0), 0.72 * scale
    canvas.rest(frame.world([(a * 0.22, b * 0.22, 0) for a in (-1, 1) for b in (-1, 1)]), 0.5)
    canvas.cast(frame.world([(-0.15, -0.15, 0), (0.15, 0.15, 0), (0, 0, high)]), 0.7)
    canvas.begin("color_cone", z)
    orange = canvas.part("color_cone", (0.93, 0.34, 0.10), z, absorb=0.25, shade=0.6)
    white = canvas.part("color_cone", (0.93, 0.92, 0.9), z, absorb=0.2, shade=0.6)
    foot = canvas.part("color_cone", (0.10, 0.09, 0.09), z, absorb=0.6)
    canvas.solid(frame.world([(a * 0.22, b * 0.22, h) for a in (-1, 1) for b in (-1, 1) for h in (0, 0.05)]), foot)

    def band(a: float, b: float, part: int) -> None:
        r0, r1 = 0.17 * (1 - a) + 0.03 * a, 0.17 * (1 - b) + 0.03 * b
        ring = [(0, s * r * scale, high * t) for s in (-1, 1) for r, t in ((r0, a), (r1, b))]
        canvas.solid(frame.world(ring), part)

    band(0.04, 1.0, orange)
    band(0.3, 0.5, white)
    band(0.66, 0.82, white)
    canvas.end()


def guardrail(canvas: Canvas, rng: Generator, x: float, z: float, white: bool) -> None:
    """Four metres of steel rail on posts along the road, from z on."""
    canvas.begin("guardrail", z)
    rgb = (0.8, 0.81, 0.8) if white else (0.52, 0.54, 0.56)
    for near in (z + 2.0, z):
        far = near + 2.0
        rail = canvas.part("guardrail", rgb, near + 1.0, heat=-1.0, absorb=0.35, blotch=0.12)
        groove = canvas.part("guardrail", tuple(0.55 * c for c in rgb), near, heat=-1.0, absorb=0.35)
        thick = np.array([0.06])
        canvas.sticks(np.array([(x, 0, near)]), np.array([(x, 0.8, near)]), thick, thick, (groove,))
        for low, high, part in ((0.48, 0.78, rail), (0.59, 0.65, groove)):
            canvas.faces([[(x, low, near), (x, low, far), (x, high, far), (x, high, near)]], (part,))
        canvas.cast(np.array([(x, h, d) for h in (0.45, 0.8) for d in (near, far)]), 0.6)
    canvas.end()


def bump(canvas: Canvas, rng: Generator, x0: float, x1: float, z: float) -> None:
    """A speed bump across the road in black and yellow."""
    canvas.begin("bump", z)
    yellow = canvas.part("bump", (0.86, 0.68, 0.12), z, absorb=0.6, shade=0.7, ground=True, heat=1.0)
    black = canvas.part("bump", (0.10, 0.10, 0.10), z, absorb=0.85, shade=0.7, ground=True, heat=1.5)
    edges = np.arange(x0, x1 - 0.2, 0.5)
    for k, left in enumerate(edges):
        right, top = min(left + 0.5, x1), 0.07
        face = [(left, 0, z), (right, 0, z), (right, top, z + 0.22), (left, top, z + 0.22)]
        back = [(left, top, z + 0.22), (right, top, z + 0.22), (right, 0.03, z + 0.5), (left, 0.03, z + 0.5)]
        canvas.faces([face, back], (black if k % 2 else yellow,) * 2)
    canvas.end()


def car_stop(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """A low concrete wheel stop at the end of a parking bay."""
    frame = Frame(x, z, 0.0)
    canvas.rest(frame.world([(a * 0.12, b * 0.9, 0) for a in (-1, 1) for b in (-1, 1)]), 0.5)
    canvas.begin("car_stop", z)
    top = canvas.part("car_stop", (0.78, 0.76, 0.68), z, absorb=0.55, shade=0.8, heat=0.8)
    front = canvas.part("car_stop", (0.56, 0.54, 0.48), z, absorb=0.5, shade=0.3, heat=0.8)
    stripe = canvas.part("car_stop", (0.85, 0.62, 0.1), z, absorb=0.5, shade=0.3, heat=0.8)
    canvas.solid(frame.world([(a * 0.1, b * 0.88, h) for a in (-1, 1) for b in (-1, 1) for h in (0, 0.14)]), top)
    canvas.faces([frame.world([(-0.1, -0.88, 0), (-0.1, 0.88, 0), (-0.1, 0.88, 0.13), (-0.1, -0.88, 0.13)])], (front,))
    for s in (-0.7, 0.35):
        quad = [(-0.1, s, 0.01), (-0.1, s + 0.35, 0.01), (-0.1, s + 0.35, 0.12), (-0.1, s, 0.12)]
        canvas.faces([frame.world(quad)], (stripe,))
    canvas.end()


def clutter(canvas: Canvas, rng: Generator, x: float, z: float) -> None:
    """A bin, a box or a bench: something without a class of its own."""
    kind, frame = int(rng.integers(3)), Frame(x, z, float(rng.uniform(-0.3, 0.3)))
    long, half, high = ((0.3, 0.3, 1.05), (0.25, 0.5, 1.35), (0.25, 0.8, 0.5))[kind]
    rgb = ((0.16, 0.30, 0.22), (0.55, 0.56, 0.55), (0.42, 0.30, 0.2))[kind]
    body = [(a * long, b * half, h) for a in (-1, 1) for b in (-1, 1) for h in (0, high)]
    canvas.rest(frame.world(body[::2]), 0.6)
    canvas.cast(frame.world(body), 0.9)
    heat = 4.0 if kind == 1 and rng.random() < 0.5 else 0.0  # a cabinet with a transformer in it
    canvas.solid(
        frame.world(body), canvas.part("background", tuple(1.15 * c for c in rgb), z, heat=heat, absorb=0.45, shade=0.8)
    )
    front = [(-long, b * half, h) for b, h in ((-1, 0), (1, 0), (1, high * 0.94), (-1, high * 0.94))]
    canvas.faces(
        [frame.world(front)], (canvas.part("background", rgb, z, heat=heat, absorb=0.4, shade=0.3, blotch=0.12),)
    )
