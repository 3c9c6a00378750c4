"""The drawing surface: a pinhole camera, painter's order, and a table of what each drawn part is made of.

World coordinates are metres: X to the right, Y up, Z away from the camera along the street; the camera stands at
``(0, height, 0)``. Nothing is coloured while drawing. Each polygon writes the number of its *part* into an integer
picture of three by three samples per pixel; colour, temperature, texture and class are columns of the part table.
Labels are the parts at pixel centres, appearance is the mean over the nine samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from .classes import CLASS_ID
from .records import Colour, Light, Look, Material, Metres3, Thing
from .weather import Weather

if TYPE_CHECKING:
    from typing_extensions import Unpack

SS = 3
NEAR = 0.5

#: Columns of the part table.
COLUMNS = (
    *("red", "green", "blue", "glow_red", "glow_green", "glow_blue", "heat", "absorb", "shade"),
    *("grain", "clump", "blotch", "ir_texture", "inverse_depth", "ground", "sky", "offset"),
)
COLUMN = {name: index for index, name in enumerate(COLUMNS)}

Distance = TypeVar("Distance", float, np.ndarray)
_TURN = np.linspace(0.5 * np.pi, 1.5 * np.pi, 7)
_CIRCLE = np.linspace(0.0, 2 * np.pi, 20, endpoint=False)


def hull(points: np.ndarray) -> np.ndarray:
    """Convex hull of points [N, 2], in order round it."""
    ordered: list[tuple[float, float]] = sorted(set(map(tuple, points.tolist())))
    if len(ordered) < 3:
        return np.array(ordered)
    chains = []
    for sequence in (ordered, ordered[::-1]):
        chain: list[tuple[float, float]] = []
        for p in sequence:
            while len(chain) > 1 and (
                (chain[-1][0] - chain[-2][0]) * (p[1] - chain[-2][1])
                <= (chain[-1][1] - chain[-2][1]) * (p[0] - chain[-2][0])
            ):
                chain.pop()
            chain.append(p)
        chains.append(chain[:-1])
    return np.array(chains[0] + chains[1])


def capsules(p0: np.ndarray, p1: np.ndarray, r0: np.ndarray, r1: np.ndarray) -> np.ndarray:
    """Outlines [N, 14, 2] of tapered sticks with round ends, from points [N, 2] and radii [N]."""
    angle = np.arctan2(p1[:, 1] - p0[:, 1], p1[:, 0] - p0[:, 0])[:, None] + _TURN
    ends = []
    for p, r, turn in ((p0, r0, 0.0), (p1, r1, np.pi)):
        ends.append(np.stack([np.cos(angle + turn), np.sin(angle + turn)], -1) * r[:, None, None] + p[:, None])
    return np.concatenate(ends, 1)


class Frame:
    """A local frame on the ground: l forward, w to the right, h up; yaw 0 heads away from the camera."""

    def __init__(self, x: float, z: float, yaw: float, base: float = 0.0):
        self.x, self.z, self.yaw, self.base = x, z, yaw, base
        self.sin, self.cos = float(np.sin(yaw)), float(np.cos(yaw))

    def world(self, lwh: ArrayLike) -> np.ndarray:
        """World coordinates [..., 3] of local ones [..., 3]."""
        p = np.asarray(lwh, float)
        out = np.empty_like(p)
        out[..., 0] = self.x + p[..., 0] * self.sin + p[..., 1] * self.cos
        out[..., 1] = self.base + p[..., 2]
        out[..., 2] = self.z + p[..., 0] * self.cos - p[..., 1] * self.sin
        return out


class Camera:
    """Pinhole with the horizon at row ``horizon`` (pixels); ``slope`` and ``bend`` curve the street sideways."""

    def __init__(
        self,
        size: tuple[int, int],
        focal: float,
        horizon: float,
        height: float,
        slope: float = 0.0,
        bend: float = 0.0,
        centre: float = 0.5,
    ):
        self.size, self.focal, self.horizon, self.height = size, focal, horizon, height
        self.slope, self.bend, self.centre = slope, bend, centre * size[1]

    def shift(self, z: Distance) -> Distance:
        """Metres the street has moved sideways at distance z."""
        moved: Distance = self.slope * z + self.bend * z * z
        return moved

    def project(self, world: np.ndarray) -> np.ndarray:
        """Sample coordinates [..., 2] (x, y) of world points [..., 3]."""
        z = np.maximum(world[..., 2], NEAR)
        scale = self.focal * SS / z
        out = np.empty((*z.shape, 2))
        out[..., 0] = self.centre * SS + (world[..., 0] + self.shift(z)) * scale
        out[..., 1] = self.horizon * SS + (self.height - world[..., 1]) * scale
        return out

    def pixels(self, metres: float, z: float) -> float:
        """Length in pixels of something at distance z."""
        return metres * self.focal / max(z, NEAR)


class Canvas:
    """Parts, their table, the shadows on the ground, the lights, and the objects drawn so far."""

    def __init__(self, camera: Camera, weather: Weather, rng: np.random.Generator):
        self.camera, self.weather, self.rng = camera, weather, rng
        height, width = camera.size
        self.parts = Image.new("I", (width * SS, height * SS), 0)
        self._draw = ImageDraw.Draw(self.parts)
        self.shadow = Image.new("L", (width, height), 0)
        self.contact = Image.new("L", (width, height), 0)
        self._shadow, self._contact = ImageDraw.Draw(self.shadow), ImageDraw.Draw(self.contact)
        self.rows: list[tuple[float, ...]] = []
        self.class_of: list[int] = []
        self.instance_of: list[int] = []
        self.objects: list[Thing] = []
        self.lights: list[Light] = []
        self._current: Thing | None = None
        self.part("background", (0.3, 0.3, 0.3), 50.0)

    # -- materials -------------------------------------------------------------------------------------------

    def part(self, cls: str, rgb: Colour, depth: float, **look: Unpack[Look]) -> int:
        """Number of a new part; ``rgb`` 0..1 as it looks on a screen, ``look`` its :class:`Material`."""
        m = Material(**look)
        sun = self.weather.sun_heat * m.absorb * (0.35 + 0.65 * m.shade)
        red, green, blue = (max(c, 0.0) ** 2.2 for c in rgb)
        offset = (len(self.rows) * 7.37) % 61.0
        texture = (m.shade, m.grain, m.clump, m.blotch, m.ir_texture)
        seen = (red, green, blue, *m.glow, m.heat + sun, m.absorb, *texture)
        self.rows.append((*seen, 1.0 / max(depth, NEAR), float(m.ground), float(m.sky), offset))
        self.class_of.append(CLASS_ID[cls])
        self.instance_of.append(self._current.index if self._current else 0)
        return len(self.rows) - 1

    # -- drawing ---------------------------------------------------------------------------------------------

    def paint(self, points: np.ndarray, part: int) -> None:
        """One polygon [K, 2] of sample coordinates."""
        self.paint_many(points[None], (part,))

    def paint_many(self, polygons: np.ndarray, parts: Sequence[int]) -> None:
        """Polygons [N, K, 2] of sample coordinates, in order."""
        if polygons.size == 0:
            return
        # rounded here, so that no version of the drawing library rounds otherwise
        whole = np.rint(np.minimum(np.maximum(polygons, -30000), 30000)).astype(np.int64)
        flats, draw = whole.reshape(len(whole), -1).tolist(), self._draw.polygon
        if self._current is not None:
            x, y = whole[..., 0], whole[..., 1]
            box = self._current.bounds
            self._current.bounds = (
                min(box[0], int(x.min())),
                min(box[1], int(y.min())),
                max(box[2], int(x.max())),
                max(box[3], int(y.max())),
            )
        if len(flats) < 5:
            for flat, part in zip(flats, parts, strict=True):
                draw(flat, fill=part)
            return
        low, high, size = whole.min(1), whole.max(1), self.parts.size
        seen = (high >= 0).all(1) & (low < size).all(1)
        for flat, part, show in zip(flats, parts, seen.tolist(), strict=True):
            if show:
                draw(flat, fill=part)

    def faces(self, world: ArrayLike, parts: Sequence[int]) -> None:
        """World polygons [N, K, 3], in order."""
        self.paint_many(self.camera.project(np.asarray(world, float)), parts)

    def solid(self, world: np.ndarray, part: int) -> None:
        """The outline of a convex body given by its corners [N, 3]."""
        outline = hull(self.camera.project(np.asarray(world, float)))
        if len(outline) > 2:
            self.paint(outline, part)

    def sticks(self, start: ArrayLike, end: ArrayLike, r0: ArrayLike, r1: ArrayLike, parts: Sequence[int]) -> None:
        """Round sticks between world points [N, 3] with radii in metres [N]; ``parts`` names one part each."""
        first, last = np.asarray(start, float), np.asarray(end, float)
        px0 = np.asarray(r0) * self.camera.focal * SS / np.maximum(first[:, 2], NEAR)
        px1 = np.asarray(r1) * self.camera.focal * SS / np.maximum(last[:, 2], NEAR)
        self.paint_many(capsules(self.camera.project(first), self.camera.project(last), px0, px1), parts)

    def disc(self, frame: Frame, fore: float, w: float, h: float, radius: float, part: int, hole: float = 0.0) -> None:
        """A disc (or ring) standing in the l-h plane of a frame, at ``fore`` along l."""
        rim = np.stack([np.cos(_CIRCLE), np.zeros(20), np.sin(_CIRCLE)], -1)
        loop = rim * radius
        if hole > 0:
            inner = rim * hole
            loop = np.concatenate([loop, loop[:1], inner[:1], inner[::-1]])
        self.faces(frame.world(loop + np.array((fore, w, h)))[None], (part,))

    # -- shadows and light -----------------------------------------------------------------------------------

    def cast(self, world: np.ndarray, strength: float = 1.0) -> None:
        """Sun shadow on the ground of the convex body with corners [N, 3]."""
        lean = self.weather.shadow_lean
        if lean is None:
            return
        flat = np.array(world, float)
        flat[:, 0] += flat[:, 1] * lean[0]
        flat[:, 2] += flat[:, 1] * lean[1]
        flat[:, 1] = 0.0
        self._ground_polygon(self._shadow, flat, int(255 * strength))

    def rest(self, world: np.ndarray, strength: float = 0.6) -> None:
        """Dark contact patch under something that stands at corners [N, 3]."""
        flat = np.array(world, float)
        flat[:, 1] = 0.0
        self._ground_polygon(self._contact, flat, int(255 * strength))

    def _ground_polygon(self, draw: ImageDraw.ImageDraw, flat: np.ndarray, value: int) -> None:
        outline = hull(np.clip(self.camera.project(flat) / SS, -9000, 9000))
        if len(outline) > 2:
            draw.polygon(np.rint(outline).astype(int).ravel().tolist(), fill=value)

    def light(self, world: Iterable[float], rgb: Colour, direction: Metres3 | None = None, sharp: float = 0.0) -> None:
        """A lamp at a world point; with ``direction`` (x, y, z) a beam, narrower the larger ``sharp`` is."""
        x, y, z = (float(v) for v in world)
        self.lights.append(Light(x + self.camera.shift(z), y, z, tuple(rgb), direction, sharp))

    # -- objects ---------------------------------------------------------------------------------------------

    def begin(self, cls: str, depth: float) -> None:
        """Start counting an object; parts made until :meth:`end` belong to it."""
        self._current = Thing(index=len(self.objects) + 1, cls=cls, depth=depth, first=len(self.rows))
        self.objects.append(self._current)

    def end(self) -> None:
        """Finish the object and note how many pixel centres it covers before anything hides it."""
        thing, self._current = self._current, None
        assert thing is not None
        thing.last = len(self.rows)
        x1, y1, x2, y2 = thing.bounds
        x1, y1 = max(x1 // SS, 0), max(y1 // SS, 0)
        x2, y2 = min(x2 // SS + 1, self.camera.size[1]), min(y2 // SS + 1, self.camera.size[0])
        if x2 > x1 and y2 > y1:
            crop = np.asarray(self.parts.crop((x1 * SS, y1 * SS, x2 * SS, y2 * SS)))[SS // 2 :: SS, SS // 2 :: SS]
            thing.full = int(((crop >= thing.first) & (crop < thing.last)).sum())

    # -- the result ------------------------------------------------------------------------------------------

    def resolve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Attributes float32 [H, W, columns], classes uint8 [H, W] and object numbers uint16 [H, W]."""
        height, width = self.camera.size
        table = np.array(self.rows, np.float32)
        samples = np.asarray(self.parts).reshape(height, SS, width, SS)
        centre = np.ascontiguousarray(samples[:, SS // 2, :, SS // 2])
        attributes = table[centre]
        mixed = (samples != centre[:, None, :, None]).any((1, 3))
        rows, columns = np.nonzero(mixed)
        nine = samples.transpose(0, 2, 1, 3)[rows, columns].reshape(-1, SS * SS)
        blend = np.zeros((len(nine), table.shape[1]), np.float32)
        for k in range(SS * SS):
            blend += table[nine[:, k]]
        attributes[rows, columns] = blend / (SS * SS)
        classes = np.array(self.class_of, np.uint8)[centre]
        instances = np.array(self.instance_of, np.uint16)[centre]
        return attributes, classes, instances
