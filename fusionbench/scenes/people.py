"""Pedestrians and riders: jointed figures with clothing, drawn limb by limb from the far side to the near one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from .canvas import Canvas, Frame
from .records import Colour, Look, Texture

if TYPE_CHECKING:
    from typing_extensions import Unpack

SKIN = ((0.86, 0.68, 0.56), (0.76, 0.57, 0.44), (0.62, 0.44, 0.33), (0.45, 0.31, 0.24), (0.9, 0.75, 0.64))
HAIR = ((0.10, 0.08, 0.07), (0.18, 0.12, 0.08), (0.34, 0.22, 0.12), (0.55, 0.52, 0.48), (0.07, 0.07, 0.08))
TOPS = (
    *((0.16, 0.17, 0.20), (0.22, 0.26, 0.36), (0.62, 0.14, 0.14), (0.80, 0.80, 0.78), (0.30, 0.34, 0.26)),
    *((0.48, 0.42, 0.36), (0.20, 0.34, 0.52), (0.70, 0.58, 0.24), (0.34, 0.16, 0.26), (0.44, 0.46, 0.48)),
    *((0.26, 0.24, 0.22), (0.36, 0.38, 0.34), (0.52, 0.50, 0.48), (0.18, 0.24, 0.22)),
)
TROUSERS = ((0.14, 0.15, 0.18), (0.20, 0.25, 0.36), (0.34, 0.32, 0.30), (0.46, 0.42, 0.36), (0.24, 0.23, 0.25))


def pick(rng: Generator, options: Sequence[Sequence[float]], jitter: float = 0.03) -> tuple[float, float, float]:
    """One of the colours, slightly changed."""
    base = options[int(rng.integers(len(options)))]
    red, green, blue = (
        min(max(float(c + d), 0.02), 0.98) for c, d in zip(base, rng.uniform(-jitter, jitter, 3), strict=True)
    )
    return red, green, blue


def _v(*values: float) -> np.ndarray:
    return np.array(values)


Point2 = tuple[float, float]  # (l, h)


@dataclass(frozen=True, kw_only=True)
class Side:
    """Joints of one half of a body, (l, w, h) in units of its height."""

    hip: ArrayLike
    knee: ArrayLike
    ankle: ArrayLike
    shoulder: ArrayLike
    elbow: ArrayLike
    hand: ArrayLike


@dataclass(frozen=True, kw_only=True)
class Outfit:
    """What somebody wears and carries."""

    hat: bool = False
    pack: bool = False
    skirt: bool = False
    coat: bool = False
    helmet: Colour | None = None


@dataclass(frozen=True, kw_only=True)
class Limb:
    """A leg from the knee down, (l, h) in units of body height, and the angles of the arm of that side."""

    knee: Point2
    ankle: Point2
    arm: float
    elbow: float


@dataclass(frozen=True, kw_only=True)
class Gait:
    """How somebody on foot moves: side -1 is left, +1 right; lengths in units of body height."""

    lean: float
    hips: float
    drop: float
    limbs: dict[int, Limb] = field(default_factory=dict)


def _leg(hip: Point2, forward: float, bend: float, thigh: float, shin: float) -> tuple[Point2, Point2]:
    """Knee and ankle (l, h) below a hip for angles in radians, forward positive."""
    knee = (hip[0] + thigh * np.sin(forward), hip[1] - thigh * np.cos(forward))
    ankle = (knee[0] + shin * np.sin(forward - bend), knee[1] - shin * np.cos(forward - bend))
    return knee, ankle


def _walking(rng: Generator, pose: str) -> Gait:
    stride = {"walk": rng.uniform(0.22, 0.5), "run": rng.uniform(0.5, 0.62), "stand": rng.uniform(0.0, 0.06)}[pose]
    phase = float(np.sign(rng.uniform(-1, 1))) * rng.uniform(0.55, 1.0)
    hips = 0.515 - 0.03 * stride
    limbs = {}
    for side in (-1, 1):
        swing = stride * phase * side
        bend = max(0.1, (1.7 if pose == "run" else 0.9) * -swing) if pose != "stand" else 0.03
        knee, ankle = _leg((0.0, hips), swing, bend, 0.245, 0.235)
        limbs[side] = Limb(knee=knee, ankle=ankle, arm=-0.85 * swing, elbow=rng.uniform(0.15, 0.5))
    low = min(limbs[-1].ankle[1], limbs[1].ankle[1]) - 0.03
    if pose == "stand" and rng.random() < 0.4:  # a hand raised to a telephone
        limbs[1] = replace(limbs[1], arm=0.35, elbow=2.2)
    return Gait(lean=0.02 if pose != "run" else 0.08, hips=hips, drop=low, limbs=limbs)


def person(canvas: Canvas, rng: Generator, x: float, z: float, yaw: float | None = None, pose: str = "any") -> None:
    """A pedestrian standing at (x, z) metres."""
    if yaw is None:
        yaw = float(rng.uniform(-np.pi, np.pi))
    if pose == "any":
        pose = ("walk", "walk", "stand", "run")[int(rng.choice(4, p=(0.4, 0.27, 0.27, 0.06)))]
    tall = float(rng.uniform(1.55, 1.86)) if rng.random() < 0.9 else float(rng.uniform(1.1, 1.4))
    frame = Frame(x, z, yaw)
    gait = _walking(rng, pose)
    wide = rng.uniform(0.92, 1.12)
    canvas.rest(frame.world([(-0.2, -0.2, 0), (-0.2, 0.2, 0), (0.25, 0.2, 0), (0.25, -0.2, 0)]), 0.55)
    reach = [(0.1 * s, 0.14 * t, h) for s in (-1, 1) for t in (-1, 1) for h in (0.0, 0.85 * tall)]
    canvas.cast(frame.world([*reach, (0, 0, tall), (0.06, 0.05, tall * 0.98)]), 0.9)
    canvas.begin("person", z)
    lift = -gait.drop
    neck = (gait.lean, 0.0, 0.825 + gait.hips - 0.515 + lift)
    joints = {}
    for side, limb in gait.limbs.items():
        shoulder = (neck[0], 0.1 * side * wide, neck[2] - 0.015)
        elbow, hand = _leg((shoulder[0], shoulder[2]), limb.arm, -limb.elbow, 0.165, 0.155)
        joints[side] = Side(
            hip=(0.0, 0.05 * side * wide, gait.hips + lift),
            knee=(limb.knee[0], 0.052 * side * wide, limb.knee[1] + lift),
            ankle=(limb.ankle[0], 0.05 * side * wide, limb.ankle[1] + lift),
            shoulder=shoulder,
            elbow=(elbow[0], 0.125 * side * wide, elbow[1]),
            hand=(hand[0], 0.115 * side * wide, hand[1]),
        )
    head = _v(neck[0] + 0.012, 0.0, neck[2] + 0.105)
    outfit = Outfit(
        hat=rng.random() < 0.12, pack=rng.random() < 0.22, skirt=rng.random() < 0.14, coat=rng.random() < 0.2
    )
    Figure(canvas, rng, frame, joints, tall, outfit).draw(head)
    canvas.end()


class Figure:
    """A jointed figure; joints are (l, w, h) in units of ``tall`` metres."""

    def __init__(
        self, canvas: Canvas, rng: Generator, frame: Frame, joints: dict[int, Side], tall: float, outfit: Outfit
    ):
        self.canvas, self.rng, self.frame, self.joints = canvas, rng, frame, joints
        self.tall, self.outfit = tall, outfit
        w = canvas.weather
        top, legs, skin = pick(rng, TOPS), pick(rng, TROUSERS), pick(rng, SKIN)
        hair = pick(rng, HAIR, 0.02)
        thick = rng.uniform(0.52, 0.74)
        self.shade = 0.35 + 0.3 * w.facing(-np.sin(w.azimuth), 0.5, -1.0)
        dim = tuple(0.8 * c for c in top)
        self.cloth, self.cloth_far = self.part(top, thick, blotch=0.2), self.part(dim, thick - 0.05)
        self.leg = self.part(legs, thick - 0.06)
        self.leg_far = self.part(tuple(0.8 * c for c in legs), thick - 0.1)
        self.flesh, self.hair = self.part(skin, 0.97), self.part(hair, 0.55)
        self.shoe = self.part((0.1, 0.09, 0.09), 0.25)
        self.bare_arms = rng.random() < 0.35 and w.air > 18
        self.bare_legs = outfit.skirt or (rng.random() < 0.2 and w.air > 20)
        self.near = 1 if frame.sin > 0 else -1  # the side whose w axis points at the camera

    def part(self, rgb: Colour, share: float, **more: Unpack[Texture]) -> int:
        """A part of skin (share 1) or of what covers it (less)."""
        look: Look = {"heat": self.canvas.weather.body(share), "absorb": 0.25}
        look |= {"shade": self.shade, "grain": 0.05, "blotch": 0.12, "ir_texture": 0.5}
        look |= cast(Look, more)
        return self.canvas.part("person", rgb, self.frame.z, **look)

    def limb(self, joints: Sequence[ArrayLike], radii: Sequence[float], parts: Sequence[int]) -> None:
        """Round sticks from joint to joint."""
        points = self.frame.world(np.array([np.asarray(joint, float) for joint in joints]) * self.tall)
        r = np.asarray(radii) * self.tall
        self.canvas.sticks(points[:-1], points[1:], r[:-1], r[1:], parts)

    def draw(self, head: np.ndarray) -> None:
        """Everything, from the far side to the near one; ``head`` is its centre."""
        left, right, outfit = self.joints[-1], self.joints[1], self.outfit
        self._arm(-self.near)
        self._shank(-self.near)
        self._shank(self.near)
        mid = np.add(left.hip, right.hip) / 2
        chest = np.add(left.shoulder, right.shoulder) / 2
        if outfit.skirt or outfit.coat:
            self._skirt(mid)
        facing_camera = self.frame.cos < -0.15
        if outfit.pack and facing_camera:
            self._pack(chest)
        trunk = []
        for point, dl, dw in ((chest, 0.055, 0.112), (chest - (0, 0, 0.14), 0.065, 0.105), (mid, 0.06, 0.092)):
            trunk += [point + _v(sl * dl, sw * dw, 0.0) for sl in (-1, 1) for sw in (-0.6, 0.6)]
            trunk += [point + _v(0, sw * dw, -0.01) for sw in (-1, 1)]
        trunk += [chest + _v(0, s * 0.055, 0.035) for s in (-1, 1)]
        self.canvas.solid(self.frame.world(np.array(trunk) * self.tall), self.cloth)
        self.limb((chest + _v(0, 0, 0.02), chest + _v(0.005, 0, 0.055)), (0.027, 0.026), (self.flesh,))
        if outfit.pack and not facing_camera:
            self._pack(chest)
        self._arm(self.near)
        self._head(head)

    def _arm(self, side: int) -> None:
        j, cloth = self.joints[side], self.cloth if side == self.near else self.cloth_far
        lower = self.flesh if self.bare_arms else cloth
        self.limb((j.shoulder, j.elbow, j.hand), (0.034, 0.027, 0.020), (cloth, lower))
        self.limb((j.hand, np.add(j.hand, (0.008, 0, -0.02))), (0.021, 0.019), (self.flesh,))

    def _shank(self, side: int) -> None:
        j, cloth = self.joints[side], self.leg if side == self.near else self.leg_far
        toe = np.add(j.ankle, (0.075, 0.0, -0.018))
        self.limb((np.add(j.ankle, (-0.01, 0, -0.012)), toe), (0.026, 0.018), (self.shoe,))
        lower = self.flesh if self.bare_legs else cloth
        self.limb((j.hip, j.knee, j.ankle), (0.058, 0.040, 0.027), (cloth, lower))

    def _skirt(self, mid: np.ndarray) -> None:
        knees = np.array([self.joints[-1].knee, self.joints[1].knee])
        ring = [mid + _v(dl, dw, 0.03) for dl in (-0.05, 0.05) for dw in (-0.08, 0.08)]
        ring += [k + _v(dl, 0.045 * s, 0.02) for k, s in zip(knees, (-1, 1), strict=True) for dl in (-0.06, 0.05)]
        cloth = self.cloth if self.outfit.coat else self.part(pick(self.rng, TOPS), 0.5)
        self.canvas.solid(self.frame.world(np.array(ring) * self.tall), cloth)

    def _pack(self, chest: np.ndarray) -> None:
        bag = [(dl, dw, dh) for dl in (-0.14, -0.05) for dw in (-0.075, 0.075) for dh in (-0.19, 0.0)]
        cloth = self.part(pick(self.rng, TOPS), 0.18)
        self.canvas.solid(self.frame.world((np.array(bag) + chest) * self.tall), cloth)

    def _oval(self, centre: np.ndarray, dl: float, dh: float, part: int, forward: float = 0.0) -> None:
        turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        c = self.frame.world((centre + _v(forward, 0, 0)) * self.tall)
        ring = np.stack([np.cos(turn) * dl * self.tall, np.sin(turn) * dh * self.tall, np.zeros(14)], -1) + c
        self.canvas.faces(ring[None], (part,))

    def _head(self, head: np.ndarray) -> None:
        """An upright oval; the face shows where the forward side is turned to the camera."""
        cos = self.frame.cos
        if self.outfit.helmet:
            self._oval(head, 0.064, 0.074, self.part(self.outfit.helmet, 0.35, grain=0.02))
            if cos < 0.3:
                self._oval(head - (0, 0, 0.006), 0.042, 0.026, self.part((0.08, 0.09, 0.11), 0.5), 0.03)
            return
        self._oval(head, 0.047 + 0.006 * abs(self.frame.sin), 0.066, self.hair)
        if cos < 0.55:
            size = 0.036 if cos < -0.4 else 0.032
            self._oval(head - (0, 0, 0.012), size, 0.05, self.flesh, 0.02)
        if self.outfit.hat:
            self._oval(head + _v(0, 0, 0.035), 0.058, 0.038, self.part((0.3, 0.24, 0.2), 0.3))


def rider(
    canvas: Canvas,
    rng: Generator,
    frame: Frame,
    seat: Point2,
    bars: Point2,
    pedals: tuple[Point2, Point2],
    helmet: Colour | None,
) -> None:
    """Someone on two wheels; ``seat``, ``bars`` and ``pedals`` are (l, h) in metres."""
    tall = float(rng.uniform(1.62, 1.82))
    hip = np.array([seat[0], 0.0, seat[1] + 0.05]) / tall
    shoulder = hip + _v(0.13 + 0.08 * rng.random(), 0.0, 0.29)
    joints = {}
    for side, foot in zip((-1, 1), pedals, strict=True):
        ankle = np.array([foot[0], 0.07 * tall * side, foot[1] + 0.07]) / tall
        middle = (hip + ankle) / 2
        span = ankle - hip
        reach = max(0.23**2 - sum(float(x * x) for x in span) / 4, 0.0) ** 0.5
        normal = np.array([-span[2], 0.0, span[0]]) / max(float(np.hypot(span[0], span[2])), 1e-6)
        hand = np.array([bars[0], 0.24 * side, bars[1]]) / tall
        a = shoulder + _v(0, 0.1 * side, -0.015)
        joints[side] = Side(
            hip=hip + _v(0, 0.05 * side, 0),
            knee=middle + (normal if normal[0] > 0 else -normal) * reach + _v(0, 0.02 * side, 0),
            ankle=ankle,
            shoulder=a,
            elbow=(a + hand) / 2 + _v(-0.03, 0.03 * side, -0.05),
            hand=hand,
        )
    outfit = Outfit(helmet=helmet, pack=rng.random() < 0.2)
    Figure(canvas, rng, frame, joints, tall, outfit).draw(shoulder + _v(0.045, 0, 0.11))
