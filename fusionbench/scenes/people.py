"""Pedestrians and riders: jointed figures with clothing, drawn limb by limb from the far side to the near one."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Frame

SKIN = ((0.86, 0.68, 0.56), (0.76, 0.57, 0.44), (0.62, 0.44, 0.33), (0.45, 0.31, 0.24), (0.9, 0.75, 0.64))
HAIR = ((0.10, 0.08, 0.07), (0.18, 0.12, 0.08), (0.34, 0.22, 0.12), (0.55, 0.52, 0.48), (0.07, 0.07, 0.08))
TOPS = (
    *((0.16, 0.17, 0.20), (0.22, 0.26, 0.36), (0.62, 0.14, 0.14), (0.80, 0.80, 0.78), (0.30, 0.34, 0.26)),
    *((0.48, 0.42, 0.36), (0.20, 0.34, 0.52), (0.70, 0.58, 0.24), (0.34, 0.16, 0.26), (0.44, 0.46, 0.48)),
    *((0.26, 0.24, 0.22), (0.36, 0.38, 0.34), (0.52, 0.50, 0.48), (0.18, 0.24, 0.22)),
)
TROUSERS = ((0.14, 0.15, 0.18), (0.20, 0.25, 0.36), (0.34, 0.32, 0.30), (0.46, 0.42, 0.36), (0.24, 0.23, 0.25))


def pick(rng: np.random.Generator, options, jitter: float = 0.03) -> tuple[float, float, float]:
    """One of the colours, slightly changed."""
    base = options[int(rng.integers(len(options)))]
    red, green, blue = (
        min(max(float(c + d), 0.02), 0.98) for c, d in zip(base, rng.uniform(-jitter, jitter, 3), strict=True)
    )
    return red, green, blue


def _v(*values: float) -> np.ndarray:
    return np.array(values)


def _leg(hip, forward: float, bend: float, thigh: float, shin: float):
    """Knee and ankle (l, h) below a hip for angles in radians, forward positive."""
    knee = (hip[0] + thigh * np.sin(forward), hip[1] - thigh * np.cos(forward))
    ankle = (knee[0] + shin * np.sin(forward - bend), knee[1] - shin * np.cos(forward - bend))
    return knee, ankle


def _walking(rng: np.random.Generator, pose: str) -> dict:
    """Joints of someone on foot, in units of body height: side -1 is left, +1 right."""
    stride = {"walk": rng.uniform(0.22, 0.5), "run": rng.uniform(0.5, 0.62), "stand": rng.uniform(0.0, 0.06)}[pose]
    phase = float(np.sign(rng.uniform(-1, 1))) * rng.uniform(0.55, 1.0)
    joints: dict = {"lean": 0.02 if pose != "run" else 0.08}
    hips = 0.515 - 0.03 * stride
    for side in (-1, 1):
        swing = stride * phase * side
        knee, ankle = _leg(
            (0.0, hips),
            swing,
            max(0.1, (1.7 if pose == "run" else 0.9) * -swing) if pose != "stand" else 0.03,
            0.245,
            0.235,
        )
        joints[side] = {"knee": knee, "ankle": ankle, "arm": -0.85 * swing, "elbow": rng.uniform(0.15, 0.5)}
    low = min(joints[-1]["ankle"][1], joints[1]["ankle"][1]) - 0.03
    joints["hips"], joints["drop"] = hips, low
    if pose == "stand" and rng.random() < 0.4:  # a hand raised to a telephone
        joints[1]["arm"], joints[1]["elbow"] = 0.35, 2.2
    return joints


def person(canvas: Canvas, rng: np.random.Generator, x: float, z: float, yaw: float | None = None, pose: str = "any"):
    """A pedestrian standing at (x, z) metres."""
    if yaw is None:
        yaw = float(rng.uniform(-np.pi, np.pi))
    if pose == "any":
        pose = ("walk", "walk", "stand", "run")[int(rng.choice(4, p=(0.4, 0.27, 0.27, 0.06)))]
    tall = float(rng.uniform(1.55, 1.86)) if rng.random() < 0.9 else float(rng.uniform(1.1, 1.4))
    frame = Frame(x, z, yaw)
    j = _walking(rng, pose)
    lift = -j["drop"]
    wide = rng.uniform(0.92, 1.12)
    canvas.rest(frame.world([(-0.2, -0.2, 0), (-0.2, 0.2, 0), (0.25, 0.2, 0), (0.25, -0.2, 0)]), 0.55)
    reach = [(0.1 * s, 0.14 * t, h) for s in (-1, 1) for t in (-1, 1) for h in (0.0, 0.85 * tall)]
    canvas.cast(frame.world([*reach, (0, 0, tall), (0.06, 0.05, tall * 0.98)]), 0.9)
    canvas.begin("person", z)
    at = {
        side: {
            "hip": (0.0, 0.05 * side * wide, j["hips"] + lift),
            "knee": (j[side]["knee"][0], 0.052 * side * wide, j[side]["knee"][1] + lift),
            "ankle": (j[side]["ankle"][0], 0.05 * side * wide, j[side]["ankle"][1] + lift),
        }
        for side in (-1, 1)
    }
    neck = (j["lean"], 0.0, 0.825 + j["hips"] - 0.515 + lift)
    for side in (-1, 1):
        shoulder = (neck[0], 0.1 * side * wide, neck[2] - 0.015)
        elbow, hand = _leg((shoulder[0], shoulder[2]), j[side]["arm"], -j[side]["elbow"], 0.165, 0.155)
        at[side] |= {"shoulder": shoulder, "elbow": (elbow[0], 0.125 * side * wide, elbow[1])}
        at[side] |= {"hand": (hand[0], 0.115 * side * wide, hand[1])}
    head = (neck[0] + 0.012, 0.0, neck[2] + 0.105)
    look = {
        "hat": rng.random() < 0.12,
        "pack": rng.random() < 0.22,
        "skirt": rng.random() < 0.14,
        "coat": rng.random() < 0.2,
    }
    figure(canvas, rng, frame, at, head, tall, look)
    canvas.end()


def figure(canvas: Canvas, rng, frame: Frame, at: dict, head, tall: float, look: dict) -> None:
    """Draw a jointed figure; joints are (l, w, h) in units of ``tall`` metres."""
    w, depth = canvas.weather, frame.z
    top, legs, skin = pick(rng, TOPS), pick(rng, TROUSERS), pick(rng, SKIN)
    hair = pick(rng, HAIR, 0.02)
    if look.get("vest"):
        top = (0.85, 0.9, 0.2)
    thick = rng.uniform(0.52, 0.74)
    sunny = w.facing(-np.sin(w.azimuth), 0.5, -1.0)
    shade = 0.35 + 0.3 * sunny

    def part(rgb, share, **more):
        options = {"shade": shade, "absorb": 0.25, "grain": 0.05, "blotch": 0.12, "ir_texture": 0.5} | more
        return canvas.part("person", rgb, depth, heat=w.body(share), **options)

    dim = tuple(0.8 * c for c in top)
    cloth, cloth_far = part(top, thick, blotch=0.2), part(dim, thick - 0.05)
    leg, leg_far = part(legs, thick - 0.06), part(tuple(0.8 * c for c in legs), thick - 0.1)
    flesh, locks, shoe = part(skin, 0.97), part(hair, 0.55), part((0.1, 0.09, 0.09), 0.25)
    sleeve_bare = rng.random() < 0.35 and w.air > 18
    leg_bare = look.get("skirt") or (rng.random() < 0.2 and w.air > 20)
    near = 1 if frame.sin > 0 else -1  # the side whose w axis points at the camera

    def limb(joints, radii, parts):
        pts = frame.world(np.asarray(joints, float) * tall)
        r = np.asarray(radii) * tall
        canvas.sticks(pts[:-1], pts[1:], r[:-1], r[1:], parts)

    def arm(side):
        a = at[side]
        c = cloth if side == near else cloth_far
        limb((a["shoulder"], a["elbow"], a["hand"]), (0.034, 0.027, 0.020), (c, flesh if sleeve_bare else c))
        limb((a["hand"], np.add(a["hand"], (0.008, 0, -0.02))), (0.021, 0.019), (flesh,))

    def shank(side):
        a = at[side]
        c = leg if side == near else leg_far
        toe = np.add(a["ankle"], (0.075, 0.0, -0.018))
        limb((np.add(a["ankle"], (-0.01, 0, -0.012)), toe), (0.026, 0.018), (shoe,))
        lower = flesh if leg_bare else c
        limb((a["hip"], a["knee"], a["ankle"]), (0.058, 0.040, 0.027), (c, lower))

    arm(-near)
    shank(-near)
    shank(near)
    mid = np.add(at[-1]["hip"], at[1]["hip"]) / 2
    chest = np.add(at[-1]["shoulder"], at[1]["shoulder"]) / 2
    if look.get("skirt") or look.get("coat"):
        knees = np.array([at[-1]["knee"], at[1]["knee"]])
        ring = [mid + _v(dl, dw, 0.03) for dl in (-0.05, 0.05) for dw in (-0.08, 0.08)]
        ring += [k + _v(dl, 0.045 * s, 0.02) for k, s in zip(knees, (-1, 1), strict=True) for dl in (-0.06, 0.05)]
        canvas.solid(frame.world(np.array(ring) * tall), cloth if look.get("coat") else part(pick(rng, TOPS), 0.5))
    facing_camera = frame.cos < -0.15
    if look.get("pack") and facing_camera:
        _pack(canvas, rng, frame, chest, tall, part)
    trunk = []
    for point, dl, dw in ((chest, 0.055, 0.112), (chest - (0, 0, 0.14), 0.065, 0.105), (mid, 0.06, 0.092)):
        trunk += [point + _v(sl * dl, sw * dw, 0.0) for sl in (-1, 1) for sw in (-0.6, 0.6)]
        trunk += [point + _v(0, sw * dw, -0.01) for sw in (-1, 1)]
    trunk += [chest + _v(0, s * 0.055, 0.035) for s in (-1, 1)]
    canvas.solid(frame.world(np.array(trunk) * tall), cloth)
    limb((chest + _v(0, 0, 0.02), chest + _v(0.005, 0, 0.055)), (0.027, 0.026), (flesh,))
    if look.get("pack") and not facing_camera:
        _pack(canvas, rng, frame, chest, tall, part)
    arm(near)
    _head(canvas, frame, np.array(head), tall, look, flesh, locks, part)


def _pack(canvas, rng, frame, chest, tall, part) -> None:
    bag = [(dl, dw, dh) for dl in (-0.14, -0.05) for dw in (-0.075, 0.075) for dh in (-0.19, 0.0)]
    canvas.solid(frame.world((np.array(bag) + chest) * tall), part(pick(rng, TOPS), 0.18))


def _head(canvas, frame, head, tall, look, flesh, locks, part) -> None:
    # An upright oval; the face shows where the forward side is turned to the camera.
    def oval(centre, dl, dh, p, forward=0.0):
        turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        c = frame.world((centre + _v(forward, 0, 0)) * tall)
        ring = np.stack([np.cos(turn) * dl * tall, np.sin(turn) * dh * tall, np.zeros(14)], -1) + c
        canvas.faces(ring[None], (p,))

    if look.get("helmet"):
        shell = part(look["helmet"], 0.35, grain=0.02)
        oval(head, 0.064, 0.074, shell)
        if frame.cos < 0.3:
            oval(head - (0, 0, 0.006), 0.042, 0.026, part((0.08, 0.09, 0.11), 0.5), 0.03)
        return
    side_on = abs(frame.sin)
    oval(head, 0.047 + 0.006 * side_on, 0.066, locks)
    if frame.cos < 0.55:
        size = 0.036 if frame.cos < -0.4 else 0.032
        oval(head - (0, 0, 0.012), size, 0.05, flesh, 0.02)
    if look.get("hat"):
        oval(head + _v(0, 0, 0.035), 0.058, 0.038, part((0.3, 0.24, 0.2), 0.3))


def rider(canvas: Canvas, rng, frame: Frame, seat, bars, pedals, helmet) -> None:
    """Someone on two wheels; ``seat``, ``bars`` and ``pedals`` are (l, h) in metres."""
    tall = float(rng.uniform(1.62, 1.82))
    hip = np.array([seat[0], 0.0, seat[1] + 0.05]) / tall
    shoulder = hip + _v(0.13 + 0.08 * rng.random(), 0.0, 0.29)
    at: dict = {}
    for side, foot in zip((-1, 1), pedals, strict=True):
        ankle = np.array([foot[0], 0.07 * tall * side, foot[1] + 0.07]) / tall
        middle = (hip + ankle) / 2
        span = ankle - hip
        reach = max(0.23**2 - float(span @ span) / 4, 0.0) ** 0.5
        normal = np.array([-span[2], 0.0, span[0]]) / max(float(np.hypot(span[0], span[2])), 1e-6)
        knee = middle + (normal if normal[0] > 0 else -normal) * reach + _v(0, 0.02 * side, 0)
        hand = np.array([bars[0], 0.24 * side, bars[1]]) / tall
        a = shoulder + _v(0, 0.1 * side, -0.015)
        elbow = (a + hand) / 2 + _v(-0.03, 0.03 * side, -0.05)
        at[side] = {"hip": hip + _v(0, 0.05 * side, 0), "knee": knee, "ankle": ankle}
        at[side] |= {"shoulder": a, "elbow": elbow, "hand": hand}
    look = {"helmet": helmet, "pack": rng.random() < 0.2}
    figure(canvas, rng, frame, at, shoulder + _v(0.045, 0, 0.11), tall, look)
