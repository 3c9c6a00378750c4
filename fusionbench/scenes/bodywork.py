"""What all motor vehicles share: shaded parts, faces of solid bodies, shadows and headlights."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from .canvas import Canvas, Frame
from .records import Colour, Look, Metres3, Texture

if TYPE_CHECKING:
    from typing_extensions import Unpack

GLASS = (0.13, 0.16, 0.19)
DARK = (0.0, 0.0, 0.0)
HEADLIGHT, TAIL_LIGHT = (5.0, 4.8, 4.2), (1.2, 0.05, 0.03)
Outline = list[Metres3]  # corners (l, w, h) of one polygon


class Box(NamedTuple):
    """A cuboid along l: from l0 to l1, half its width, from h0 to h1."""

    l0: float
    l1: float
    half: float
    h0: float
    h1: float


def quad(l0: float, h0: float, w0: float, l1: float, h1: float, w1: float) -> Outline:
    """Corners (l, w, h) of a face across the body from (l0, h0) to (l1, h1), half widths w0 and w1."""
    return [(l0, -w0, h0), (l0, w0, h0), (l1, w1, h1), (l1, -w1, h1)]


def panel(fore: float, w0: float, w1: float, h0: float, h1: float) -> Outline:
    """Corners of an upright rectangle at one end of the body."""
    return [(fore, w0, h0), (fore, w1, h0), (fore, w1, h1), (fore, w0, h1)]


def turned(canvas: Canvas, quads: np.ndarray) -> np.ndarray:
    """True where a face [N, K, 3] of a body shows its outside, corners running left, right, up."""
    p = canvas.camera.project(quads)
    following = np.roll(p, -1, axis=1)
    area = (p[..., 0] * following[..., 1] - following[..., 0] * p[..., 1]).sum(1)
    outside: np.ndarray = area < 0
    return outside


class Maker:
    """Parts of one vehicle, shaded by the way their face points."""

    def __init__(self, canvas: Canvas, frame: Frame, cls: str):
        self.canvas, self.frame, self.cls = canvas, frame, cls

    def __call__(
        self,
        rgb: Colour,
        normal: Metres3 = (0.0, 0.0, 1.0),
        heat: float = 0.0,
        absorb: float = 0.4,
        **more: Unpack[Texture],
    ) -> int:
        """A part on a face with this outward normal (l, w, h)."""
        n, f, w = normal, self.frame, self.canvas.weather
        shade = w.facing(n[0] * f.sin + n[1] * f.cos, n[2], n[0] * f.cos - n[1] * f.sin)
        body = 0.42 + 0.58 * max(n[2], 0.0) + 0.25 * (abs(n[0]) > 0.7)  # less sky reaches upright faces
        up = max(n[2], 0.0)
        cold = w.sky_heat * 0.12 * up * (w.sun_heat < 8)
        look: Look = {"heat": heat + cold, "absorb": absorb, "shade": shade}
        look |= {"grain": 0.02, "blotch": 0.05, "ir_texture": 0.25}
        look |= cast(Look, more)
        return self.canvas.part(self.cls, tuple(c * min(body, 1.0) ** 0.4 for c in rgb), f.z, **look)

    def decal(self, points: ArrayLike, part: int) -> None:
        """One polygon of local corners [K, 3]."""
        self.canvas.faces(self.frame.world(np.asarray(points, float))[None], (part,))


def footing(canvas: Canvas, frame: Frame, profile: np.ndarray, half: float, roof: float) -> None:
    """Contact patch and sun shadow of a body."""
    l0, l1 = float(profile[:, 0].min()), float(profile[:, 0].max())
    base = [(fore, s * half, 0.0) for fore in (l0, l1) for s in (-1, 1)]
    canvas.rest(frame.world(np.array(base) * (1.03, 1.08, 1.0)), 0.85)
    upper = [(fore, s * half * 0.85, roof) for fore in (l0 * 0.75, l1 * 0.3) for s in (-1, 1)]
    canvas.cast(frame.world(base + upper))


def beams(canvas: Canvas, frame: Frame, fore: float, w: float, h: float, strength: float = 9.0) -> None:
    """Headlights that light what lies ahead of a vehicle."""
    for s in (-1, 1):
        lamp = frame.world((fore + 0.1, s * w, h))
        canvas.light(lamp, (strength, 0.95 * strength, 0.82 * strength), (frame.sin, -0.05, frame.cos), 14.0)


def cuboid(make: Maker, box: Box, paint: Colour, heats: dict[str, float], absorb: float) -> dict[str, bool]:
    """A cuboid; returns which of its faces (rear, front, left, right) are seen."""
    l0, l1, half, h0, h1 = box
    faces: dict[str, tuple[Outline, Metres3]] = {
        "roof": ([(l0, -half, h1), (l0, half, h1), (l1, half, h1), (l1, -half, h1)], (0, 0, 1)),
        "rear": (quad(l0, h0, half, l0, h1, half), (-1, 0, 0)),
        "front": (quad(l1, h1, half, l1, h0, half), (1, 0, 0)),
        "left": ([(l1, -half, h0), (l0, -half, h0), (l0, -half, h1), (l1, -half, h1)], (0, -1, 0.1)),
        "right": ([(l0, half, h0), (l1, half, h0), (l1, half, h1), (l0, half, h1)], (0, 1, 0.1)),
    }
    world = make.frame.world(np.array([outline for outline, _ in faces.values()], float))
    shown = turned(make.canvas, world)
    for k, (name, (_, n)) in enumerate(faces.items()):
        if shown[k]:
            part = make(paint, n, heat=heats.get(name, 0.0), absorb=absorb, blotch=0.08)
            make.canvas.faces(world[k : k + 1], (part,))
    return dict(zip(faces, shown.tolist(), strict=True))
