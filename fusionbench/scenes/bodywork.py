"""What all motor vehicles share: shaded parts, faces of solid bodies, shadows and headlights."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Frame

GLASS = (0.13, 0.16, 0.19)


def quad(l0, h0, w0, l1, h1, w1):
    """Corners (l, w, h) of a face across the body from (l0, h0) to (l1, h1), half widths w0 and w1."""
    return [(l0, -w0, h0), (l0, w0, h0), (l1, w1, h1), (l1, -w1, h1)]


def panel(fore, w0, w1, h0, h1):
    """Corners of an upright rectangle at one end of the body."""
    return [(fore, w0, h0), (fore, w1, h0), (fore, w1, h1), (fore, w0, h1)]


def turned(canvas: Canvas, quads: np.ndarray) -> np.ndarray:
    """True where a face [N, K, 3] of a body shows its outside, corners running left, right, up."""
    p = canvas.camera.project(quads)
    following = np.roll(p, -1, axis=1)
    area = (p[..., 0] * following[..., 1] - following[..., 0] * p[..., 1]).sum(1)
    return area < 0


class Maker:
    """Parts of one vehicle, shaded by the way their face points."""

    def __init__(self, canvas: Canvas, frame: Frame, cls: str):
        self.canvas, self.frame, self.cls = canvas, frame, cls

    def __call__(self, rgb, normal=(0.0, 0.0, 1.0), heat=0.0, absorb=0.4, **more) -> int:
        """A part on a face with this outward normal (l, w, h)."""
        n, f, w = normal, self.frame, self.canvas.weather
        shade = w.facing(n[0] * f.sin + n[1] * f.cos, n[2], n[0] * f.cos - n[1] * f.sin)
        body = 0.42 + 0.58 * max(n[2], 0.0) + 0.25 * (abs(n[0]) > 0.7)  # less sky reaches upright faces
        options = {"grain": 0.02, "blotch": 0.05, "ir_texture": 0.25, "shade": shade} | more
        up = max(n[2], 0.0)
        cold = w.sky_heat * 0.12 * up * (w.sun_heat < 8)
        rgb = tuple(c * min(body, 1.0) ** 0.4 for c in rgb)
        return self.canvas.part(self.cls, rgb, f.z, heat=heat + cold, absorb=absorb, **options)

    def decal(self, points, part) -> None:
        """One polygon of local corners [K, 3]."""
        self.canvas.faces(self.frame.world(np.asarray(points, float))[None], (part,))


def footing(canvas: Canvas, frame: Frame, profile, half: float, roof: float) -> None:
    """Contact patch and sun shadow of a body."""
    l0, l1 = float(profile[:, 0].min()), float(profile[:, 0].max())
    base = [(fore, s * half, 0.0) for fore in (l0, l1) for s in (-1, 1)]
    canvas.rest(frame.world(np.array(base) * (1.03, 1.08, 1.0)), 0.85)
    upper = [(fore, s * half * 0.85, roof) for fore in (l0 * 0.75, l1 * 0.3) for s in (-1, 1)]
    canvas.cast(frame.world(base + upper))


def beams(canvas: Canvas, frame: Frame, fore: float, w: float, h: float, strength: float = 9.0) -> None:
    """Headlights that light what lies ahead of a vehicle."""
    for s in (-1, 1):
        at = frame.world((fore + 0.1, s * w, h))
        canvas.light(at, (strength, 0.95 * strength, 0.82 * strength), (frame.sin, -0.05, frame.cos), 14.0)


def cuboid(canvas, frame, make, l0, l1, half, h0, h1, colours: dict, heats: dict, absorb: float) -> dict:
    """A cuboid; returns which of its faces (rear, front, left, right) are seen."""
    faces = {
        "roof": ([(l0, -half, h1), (l0, half, h1), (l1, half, h1), (l1, -half, h1)], (0, 0, 1)),
        "rear": (quad(l0, h0, half, l0, h1, half), (-1, 0, 0)),
        "front": (quad(l1, h1, half, l1, h0, half), (1, 0, 0)),
        "left": ([(l1, -half, h0), (l0, -half, h0), (l0, -half, h1), (l1, -half, h1)], (0, -1, 0.1)),
        "right": ([(l0, half, h0), (l1, half, h0), (l1, half, h1), (l0, half, h1)], (0, 1, 0.1)),
    }
    world = frame.world(np.array([f[0] for f in faces.values()], float))
    shown = turned(canvas, world)
    for k, (name, (_, n)) in enumerate(faces.items()):
        if shown[k]:
            rgb = colours.get(name, colours["all"])
            canvas.faces(world[k : k + 1], (make(rgb, n, heat=heats.get(name, 0.0), absorb=absorb, blotch=0.08),))
    return dict(zip(faces, shown.tolist(), strict=True))
