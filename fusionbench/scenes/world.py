"""Where things stand: streets, a watched square, and close views of one or a few objects."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.random import Generator

from . import cars, cycles, furniture, heavy, people
from .canvas import SS, Canvas
from .plan import Plan, log_uniform, number
from .presets import Preset
from .records import Road
from .street import Facade, Frontage, Ground, Style, backdrop, lay_road, row


def build(canvas: Canvas, preset: Preset, rng: Generator) -> None:
    """Draw one scene of the preset's layout."""
    _fill_sky(canvas)
    {"street": _street, "square": _square, "close": _close}[preset.layout](canvas, preset, rng)


def _fill_sky(canvas: Canvas) -> None:
    height, width = canvas.camera.size
    sky = canvas.part("sky", (0.5, 0.6, 0.7), 600.0, sky=True, absorb=0.0, grain=0.0, blotch=0.0, ir_texture=0.0)
    box = np.array([(-9, -9), (width * SS + 9, -9), (width * SS + 9, height * SS + 9), (-9, height * SS + 9)], float)
    canvas.paint(box, sky)


def _surroundings(
    canvas: Canvas,
    rng: Generator,
    preset: Preset,
    ground: Ground,
    road: Road,
    tall: tuple[float, float] = (6.0, 17.0),
) -> None:
    """Ground, road and the buildings or trees on both sides."""
    green = rng.random() < 0.5
    if green:
        ground.base("vegetation", (0.30, 0.37, 0.17), absorb=0.2, heat=0.5, clump=0.25, grain=0.14, ir_texture=0.9)
    else:
        ground.base("pavement", (0.52, 0.51, 0.49), absorb=0.5, heat=1.0)
    if canvas.camera.horizon > 0:
        backdrop(canvas, rng)
    lay_road(canvas, rng, ground, road)
    for side in (-1, 1):
        x = road.middle + side * (road.half + road.kerb + float(rng.uniform(0.0, 2.5)))

        def plant(x: float, z: float, side: int = side) -> None:
            high = float(rng.uniform(5, 10)) if rng.random() < 0.75 else 1.4
            furniture.tree(canvas, rng, x + side * 1.0, z, high, True)

        front = Frontage(side=side, x=x, gap=road.cross, tall=tall, density=preset.density)
        row(canvas, rng, front, plant)


def _street(canvas: Canvas, preset: Preset, rng: Generator) -> None:
    lanes = int(rng.choice((2, 2, 3, 4)))
    width = float(rng.uniform(3.0, 3.5))
    half, kerb = lanes * width / 2, float(rng.uniform(2.2, 4.5))
    own = lanes - 1 if lanes < 4 else int(rng.integers(2, 4))
    middle = half - width * (own + 0.5) if preset.driving else float(rng.uniform(-half, half) * 0.9)
    road = Road(
        middle=middle,
        half=half,
        kerb=kerb,
        lane=width,
        lanes=lanes,
        double=rng.random() < 0.5,
        cross=float(rng.uniform(14, 34)) if rng.random() < 0.35 else None,
        zebra=float(rng.uniform(8, 20)) if rng.random() < 0.35 else None,
    )
    ground = Ground(canvas)
    _surroundings(canvas, rng, preset, ground, road)
    plan = Plan(canvas, rng)
    near = max(ground.near, 4.5)
    _traffic(preset, rng, plan, road, near)
    _roadside(preset, rng, plan, road, near)
    _pedestrians(preset, rng, plan, road, near)
    if preset.driving and canvas.weather.dark:
        for side in (-0.6, 0.6):
            canvas.light((side, 0.7, 0.0), (7.5, 7.2, 6.4), (0.02, -0.06, 1.0), 16.0)
    plan.draw()
    _aim_glare(canvas)


def _traffic(preset: Preset, rng: Generator, plan: Plan, road: Road, near: float) -> None:
    """Vehicles on the road, parked beside it, and on two wheels."""
    glare = plan.canvas.weather.glare
    if glare and glare.kind == "beams":
        x, z = road.middle - road.half + road.lane * 0.5, float(rng.uniform(12, 19))
        plan.free(x, z, 1.1, 3.0)
        glare.car = (x, z - 2.3)
        plan.add(z, cars.car, x, z, np.pi)
    _moving(preset, rng, plan, road, near)

    def beside(x: float, low: float, high: float) -> tuple[float, float]:
        return x + float(rng.normal(0, 0.08)), log_uniform(rng, low, high)

    for _ in range(number(rng, preset, "parked")):
        side = int(rng.choice((-1, 1)))
        inside = rng.random() < 0.8
        x = road.middle + side * (road.half - 1.15 if inside else road.half + 1.4)
        spot = plan.find_free(partial(beside, x, near + 3.0, 50.0), 1.2, 2.9)
        if spot:
            yaw = (0.0 if side > 0 else np.pi) if rng.random() < 0.75 else (np.pi if side > 0 else 0.0)
            plan.add(spot[1], cars.car, *spot, yaw + float(rng.normal(0, 0.04)), moving=False)
    for kind, cycle in (("motorcycle", cycles.motorcycle), ("bicycle", cycles.bicycle)):
        for _ in range(number(rng, preset, kind)):
            ridden, side = rng.random() < 0.65, int(rng.choice((-1, 1)))
            offset = road.half - rng.uniform(0.6, 1.6) if ridden else road.half + rng.uniform(0.4, 1.0)
            spot = plan.find_free(partial(beside, road.middle + side * offset, near + 1.0, 32.0), 0.45, 1.1)
            if spot is None:
                continue
            yaw = (0.0 if side > 0 else np.pi) + float(rng.normal(0, 0.2))
            if rng.random() < 0.35 or not ridden:
                yaw = float(rng.choice((-1, 1)) * np.pi / 2 + rng.normal(0, 0.35))
            plan.add(spot[1], cycle, *spot, yaw, ridden=ridden)


def _moving(preset: Preset, rng: Generator, plan: Plan, road: Road, near: float) -> None:
    """Buses, trucks and cars in their lanes or on the cross street."""

    def in_lane(reach: float) -> tuple[float, float]:
        x = road.middle - road.half + road.lane * (int(rng.integers(road.lanes)) + 0.5)
        return x + float(rng.normal(0, 0.15)), log_uniform(rng, near + reach + 2.0, 60.0)

    drawers: dict[str, tuple[Callable[..., None], float]] = {
        "bus": (heavy.bus, 6.5),
        "truck": (heavy.truck, 4.6),
        "moving": (cars.car, 3.0),
    }
    queue = [drawer for kind, drawer in drawers.items() for _ in range(number(rng, preset, kind))]
    for draw, reach in queue:
        spot = plan.find_free(partial(in_lane, reach), 1.3, reach)
        if spot is None:
            continue
        own_way = spot[0] > road.middle if road.lanes > 1 else True
        yaw = float(rng.normal(0, 0.05)) + (0.0 if own_way else np.pi)
        if road.cross and rng.random() < 0.45:
            z = road.cross + float(rng.choice((2.0, 5.5)))
            x = float(rng.uniform(-9, 9))
            if plan.free(x, z, reach, 1.4):
                spot, yaw = (x, z), float(np.sign(z - road.cross - 3.7)) * np.pi / 2 + float(rng.normal(0, 0.06))
        plan.add(spot[1], draw, *spot, yaw)


def _roadside(preset: Preset, rng: Generator, plan: Plan, road: Road, near: float) -> None:
    """What stands beside the road, and cones, rails and bumps on it."""
    middle, half = road.middle, road.half
    if preset.layout == "square":
        near *= 1.6  # no post right under the camera

    def edge(back: float) -> tuple[float, float]:
        return middle + int(rng.choice((-1, 1))) * (half + back), log_uniform(rng, near + 1.5, 45.0)

    phase, side = near + float(rng.uniform(2, 12)), int(rng.choice((-1, 1)))
    for k in range(number(rng, preset, "lamp")):
        z = phase + 14.0 * k
        s = side * (1 if k % 2 == 0 else -1)
        x = middle + s * (half + 0.5)
        if plan.free(x, z, 0.3, 0.3):
            plan.add(z, furniture.lamp_post, x, z, s, float(rng.uniform(5.6, 7.6)))
    simple = (
        ("tree", furniture.tree, 0.9),
        ("sign", furniture.sign, 0.6),
        ("post", furniture.post, 0.45),
        ("clutter", furniture.clutter, 1.2),
    )
    for kind, draw, back in simple:
        for _ in range(number(rng, preset, kind)):
            spot = plan.find_free(partial(edge, back), 0.5, 0.6)
            if spot and (kind != "tree" or spot[1] > 8.0):
                plan.add(spot[1], draw, *spot)
    for _ in range(number(rng, preset, "signal")):
        s = int(rng.choice((-1, 1)))
        z = (road.cross or road.zebra or float(rng.uniform(12, 24))) - 0.8
        if plan.free(middle + s * (half + 0.4), z, 0.3, 0.3):
            plan.add(z, furniture.traffic_light, middle + s * (half + 0.4), z, s)
    for _ in range(number(rng, preset, "cone")):
        x, z = middle + float(rng.uniform(-half, half) * 0.95), log_uniform(rng, near + 1.0, 18.0)
        for k in range(int(rng.integers(1, 5))):
            if plan.free(x + 0.25 * k, z + 1.7 * k, 0.3, 0.3):
                plan.add(z + 1.7 * k, furniture.cone, x + 0.25 * k, z + 1.7 * k)
    if number(rng, preset, "rail"):
        s, z0, white = int(rng.choice((-1, 1))), float(rng.uniform(6, 10)), rng.random() < 0.5
        for z in np.arange(z0, z0 + float(rng.uniform(12, 26)), 4.0):  # in sections, each with its own distance
            plan.add(float(z) + 2.0, furniture.guardrail, middle + s * (half + 0.25), float(z), white)
    if number(rng, preset, "bump"):
        z = log_uniform(rng, near + 2.0, 18.0)
        plan.add(200.0, furniture.bump, middle - half + 0.2, middle + half - 0.2, z)
    for _ in range(number(rng, preset, "stop")):
        s, z = int(rng.choice((-1, 1))), log_uniform(rng, near + 1.0, 16.0)
        for k in range(int(rng.integers(1, 4))):
            x = middle + s * (half + 1.6)
            if plan.free(x, z + 2.6 * k, 1.0, 0.2):
                plan.add(z + 2.6 * k, furniture.car_stop, x, z + 2.6 * k)


def _pedestrians(preset: Preset, rng: Generator, plan: Plan, road: Road, near: float) -> None:
    """People in groups on the pavements, the zebra and the road."""
    middle, half, kerb = road.middle, road.half, road.kerb
    count = number(rng, preset, "person")
    while count > 0:
        group = min(int(rng.choice((1, 1, 1, 2, 3))), count)
        count -= group
        where = rng.random()
        side = int(rng.choice((-1, 1)))
        if road.zebra and where < 0.45:
            x, z = middle + float(rng.uniform(-half, half)), road.zebra + float(rng.uniform(0.3, 2.7))
            yaw = float(rng.choice((-1, 1))) * np.pi / 2
        elif where < 0.25:
            x, z = middle + float(rng.uniform(-half, half)), log_uniform(rng, near + 1.5, 34.0)
            yaw = float(rng.choice((-1, 1))) * np.pi / 2
        else:
            x, z = (
                middle + side * (half + float(rng.uniform(0.7, max(kerb - 0.4, 0.9)))),
                log_uniform(rng, near + 1.0, 42.0),
            )
            yaw = float(rng.choice((0.0, np.pi)))
        for k in range(group):
            spot = (x + 0.62 * k * (1 if k % 2 else -1), z + float(rng.normal(0, 0.25)))
            if plan.free(*spot, 0.27, 0.27):
                plan.add(spot[1], people.person, *spot, yaw + float(rng.normal(0, 0.25)))


def _aim_glare(canvas: Canvas) -> None:
    glare = canvas.weather.glare
    if not glare or not glare.car:
        return
    x, z = glare.car
    ends = canvas.camera.project(np.array([(x - 0.68, 0.68, z), (x + 0.68, 0.68, z)])) / SS
    glare.spots = [(float(u), float(v)) for u, v in ends]


def _square(canvas: Canvas, preset: Preset, rng: Generator) -> None:
    """A street corner seen from a mast."""
    width = 3.3
    half, kerb = width * float(rng.choice((1, 1.5, 2))), float(rng.uniform(4, 7))
    lanes = max(int(2 * half / width), 1)
    middle = float(rng.choice((-1, 1))) * float(rng.uniform(0.5, half + 1.5))
    zebra = float(rng.uniform(13, 24)) if rng.random() < 0.5 else None
    road = Road(middle=middle, half=half, kerb=kerb, lane=width, lanes=lanes, zebra=zebra)
    ground = Ground(canvas, 90.0)
    _surroundings(canvas, rng, preset, ground, road, (9.0, 18.0))
    plan, near = Plan(canvas, rng), ground.near + 1.0
    _traffic(preset, rng, plan, road, near)
    _roadside(preset, rng, plan, road, near)
    wide, edge = canvas.camera.size[1] / canvas.camera.focal / 2, half + kerb - 0.4  # nobody stands in a wall
    for _ in range(max(number(rng, preset, "person"), 1)):

        def spot() -> tuple[float, float]:
            z = log_uniform(rng, near * 1.05, 3.2 * near)
            x = float(rng.uniform(-0.95, 0.95) * wide * z) - canvas.camera.shift(z)
            return float(np.clip(x, middle - edge + rng.uniform(0, 2), middle + edge - rng.uniform(0, 2))), z

        position = plan.find_free(spot, 0.3, 0.3)
        if position:
            x, z = position
            plan.add(z, people.person, x, z)
            if rng.random() < 0.3 and plan.free(x + 0.65, z, 0.2, 0.27):
                plan.add(z, people.person, x + 0.65, z + 0.1)
    # these cameras watch lit places: one more lamp stands outside the picture
    if canvas.weather.dark:
        canvas.light(
            (float(rng.uniform(-5, 5)), 9.0, near + 2.0), np.array((1.0, 0.86, 0.62)) * float(rng.uniform(12, 30))
        )
    plan.draw()


def _close(canvas: Canvas, preset: Preset, rng: Generator) -> None:
    """One to three objects a few metres away, with a park, a yard or a street behind them."""
    camera, ground = canvas.camera, Ground(canvas)
    scenery = int(rng.integers(3))
    if scenery == 0:
        road = Road(middle=float(rng.uniform(-4, 4)), half=3.2, kerb=3.0, lane=3.2, lanes=2)
        _surroundings(canvas, rng, preset, ground, road)
    else:
        _park_or_yard(canvas, rng, ground, park=scenery == 1)
    plan = Plan(canvas, rng)
    kinds = ("person", "car", "bicycle", "motorcycle", "color_cone", "sign")
    kind = kinds[int(rng.choice(6, p=(0.36, 0.2, 0.14, 0.14, 0.08, 0.08)))]
    count = 1 if kind == "car" else int(rng.choice((1, 1, 2, 3)))
    ranges = {"person": (3.2, 6.0), "car": (6.0, 9.5), "color_cone": (2.2, 3.6), "sign": (5.2, 7.5)}
    low, high = ranges.get(kind, (3.2, 5.5))
    wide = camera.size[1] / camera.focal / 2
    low = max(low, ground.near * 1.15)
    for k in range(count):

        def spot(k: int = k) -> tuple[float, float]:
            z = float(rng.uniform(low, max(high, low + 1.0)))
            reach = (0.08 if kind == "car" else 0.25) if k == 0 else 0.65
            return float(rng.uniform(-reach, reach) * wide * z) - camera.shift(z), z

        position = plan.find_free(spot, 0.45 if kind in ("person", "color_cone", "sign") else 1.0, 0.4)
        if position is not None:
            _add_close(plan, rng, kind, *position)
    if canvas.weather.dark:
        canvas.light((float(rng.uniform(-3, 3)), 4.5, low), np.array((1.0, 0.85, 0.6)) * float(rng.uniform(3.0, 8.0)))
    plan.draw()


def _add_close(plan: Plan, rng: Generator, kind: str, x: float, z: float) -> None:
    turn = float(rng.choice((-1, 1))) * float(rng.uniform(0.5, 2.6))
    if kind == "person":
        plan.add(z, people.person, x, z)
    elif kind == "car":
        plan.add(z, cars.car, x, z, turn, moving=rng.random() < 0.5)
    elif kind == "bicycle":
        plan.add(z, cycles.bicycle, x, z, turn, ridden=rng.random() < 0.5)
    elif kind == "motorcycle":
        plan.add(z, cycles.motorcycle, x, z, turn, ridden=rng.random() < 0.5)
    elif kind == "color_cone":
        plan.add(z, furniture.cone, x, z)
    else:
        plan.add(z, furniture.sign, x, z)


def _park_or_yard(canvas: Canvas, rng: Generator, ground: Ground, park: bool) -> None:
    """A lawn with a path, or slabs; a wall and trees behind."""
    if park:
        ground.base("vegetation", (0.31, 0.39, 0.18), absorb=0.2, heat=0.5, clump=0.3, grain=0.14, ir_texture=0.9)
        path = ground.part("pavement", (0.58, 0.53, 0.46), absorb=0.5, heat=1.0)
        ground.strip(-1.6, 1.4, path)
    else:
        ground.base("pavement", (0.55, 0.53, 0.5), absorb=0.55, heat=1.2, blotch=0.2)
        joint = ground.part("pavement", (0.42, 0.41, 0.39), absorb=0.55, heat=1.0)
        for x in np.arange(-9, 9.1, 1.0):
            ground.strip(x, x + 0.03, joint, None, 25.0)
        for z in np.arange(ground.near, 20.0, 1.0):
            ground.strip(-12, 12, joint, z, z + 0.03)
    backdrop(canvas, rng, 70.0)
    wall = float(rng.uniform(14, 26))
    if not park or rng.random() < 0.4:
        style = Style(canvas, rng)
        Facade(canvas, rng, style, float(rng.uniform(5, 14)), (0.0, -1.0)).draw((-26.0, wall), (26.0, wall))
    for _ in range(int(rng.integers(3, 8))):
        z = float(rng.uniform(9, 24))
        tall = float(rng.uniform(4, 8)) if rng.random() < 0.6 else float(rng.uniform(0.8, 1.8))
        if z < wall:
            furniture.tree(canvas, rng, float(rng.uniform(-0.55, 0.55) * z), z, tall, tall > 2)
