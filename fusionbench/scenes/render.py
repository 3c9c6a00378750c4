"""Putting one scene together: weather, world, light, cameras, labels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .canvas import Canvas
from .classes import CONDITIONS, THINGS, Instance, Scene
from .exposure import INFRARED, VISIBLE, ways
from .optics import field_of, visible_light, warmth
from .plan import make_camera
from .presets import PRESET_TABLE
from .sensors import infrared_picture, visible_picture
from .weather import make_weather
from .world import build

MIN_AREA, MIN_SIDE, MIN_VISIBLE = 16, 3, 0.25
_SALIENT = ("person", "car", "bus", "truck", "motorcycle", "bicycle", "color_cone", "sign")


def scene(
    seed: int,
    size: tuple[int, int] = (256, 320),
    condition: str | None = None,
    preset: str = "street",
    varied: bool = False,
) -> Scene:
    """One infrared-visible pair with exact labels.

    ``size`` is (H, W) in pixels, at least (16, 16); ``condition`` is one of :data:`CONDITIONS`, or None to draw one
    with the preset's odds; ``preset`` is one of :data:`PRESETS`; ``varied``: the same scene, but taken in
    one of as many ways as those of real cameras. The same arguments give the same bytes. Objects
    with fewer than 16 visible pixels, thinner than 3 pixels, or hidden by more than three quarters get no box (their
    pixels keep their class). ``saliency`` marks the objects of people, vehicles, cones and signs that have a box;
    for ``vt5000`` it is never empty.
    """
    if preset not in PRESET_TABLE:
        raise ValueError(f"unknown preset {preset!r}; choose from {', '.join(PRESET_TABLE)}")
    if condition is not None and condition not in CONDITIONS:
        raise ValueError(f"unknown condition {condition!r}; choose from {', '.join(CONDITIONS)}")
    height, width = (int(v) for v in size)
    if height < 16 or width < 16:
        raise ValueError(f"size must be at least (16, 16), not {size}")
    if seed < 0:
        raise ValueError("seed must not be negative")
    names = list(PRESET_TABLE)
    for attempt in range(20):
        key = (names.index(preset), height, width, attempt)
        made = _attempt(int(seed), key, (height, width), condition, preset, varied)
        if preset != "vt5000" or made.saliency.any():
            break
    return made


def _attempt(
    seed: int, key: tuple[int, ...], size: tuple[int, int], condition: str | None, preset: str, varied: bool
) -> Scene:
    source = np.random.SeedSequence(seed, spawn_key=key)
    layout, sky, surface, sensor, camera = (np.random.Generator(np.random.PCG64(s)) for s in source.spawn(5))
    rules = PRESET_TABLE[preset]
    odds = np.array(list(rules.conditions.values()))
    drawn = tuple(rules.conditions)[int(sky.choice(len(odds), p=odds / odds.sum()))]
    condition = condition or drawn
    weather = make_weather(condition, sky)
    canvas = Canvas(make_camera(rules, size, layout), weather, layout)
    build(canvas, rules, layout)
    attributes, classes, instance_map = canvas.resolve()
    field = field_of(canvas, attributes, surface)
    exposed = ways(weather.dark, camera) if varied else (INFRARED, VISIBLE)
    vis = visible_picture(visible_light(canvas, attributes, field, surface), weather, sensor, exposed[1])
    ir = infrared_picture(warmth(canvas, attributes, field, surface), weather, sensor, exposed[0])
    instances = _instances(canvas, instance_map)
    chosen = np.zeros(len(canvas.objects) + 1, np.uint8)
    chosen[[i.index for i in instances if i.cls in _SALIENT]] = 255
    return Scene(
        ir=ir,
        vis=vis,
        classes=classes,
        saliency=chosen[instance_map],
        instance_map=instance_map,
        condition=condition,
        preset=preset,
        seed=seed,
        instances=instances,
    )


def _instances(canvas: Canvas, instance_map: np.ndarray) -> list[Instance]:
    instances = []
    areas = np.bincount(instance_map.ravel(), minlength=len(canvas.objects) + 1)
    spans = ndimage.find_objects(instance_map.astype(np.int32), max_label=max(len(canvas.objects), 1))
    for thing in canvas.objects:
        area = int(areas[thing.index])
        span = spans[thing.index - 1]
        if area < MIN_AREA or span is None or thing.cls not in THINGS:
            continue
        rows, columns = span
        share = area / max(thing.full, area)
        if share < MIN_VISIBLE or min(rows.stop - rows.start, columns.stop - columns.start) < MIN_SIDE:
            continue
        box = (float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))
        instances.append(Instance(thing.cls, box, share, area, float(thing.depth), thing.index))
    return instances
