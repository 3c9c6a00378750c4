"""What each preset puts in front of the camera, and how often each condition comes up."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Preset:
    """Camera and object mix. ``counts`` are mean numbers of each kind; ``horizon`` is a share of the height."""

    conditions: dict[str, float]
    layout: str = "street"  # street | square | close
    focal: tuple[float, float] = (0.95, 1.15)  # in picture widths
    height: tuple[float, float] = (1.35, 1.8)  # metres
    horizon: tuple[float, float] = (0.40, 0.50)
    counts: dict[str, float] = field(default_factory=dict)
    density: float = 0.75  # share of the plots that are built on
    driving: bool = True  # the camera rides in a lane with its headlights on


PRESET_TABLE: dict[str, Preset] = {
    "street": Preset(
        {"day": 0.3, "dusk": 0.15, "night": 0.3, "fog": 0.09, "smoke": 0.08, "glare": 0.08},
        counts={"person": 5, "parked": 3, "moving": 2, "bus": 0.25, "truck": 0.25, "motorcycle": 0.6, "bicycle": 0.9}
        | {"tree": 4, "lamp": 3, "sign": 1.2, "signal": 0.4, "post": 0.8, "cone": 0.5, "rail": 0.15, "bump": 0.1}
        | {"stop": 0.2, "clutter": 0.8},
    ),
    "msrs": Preset(
        {"day": 0.45, "night": 0.45, "dusk": 0.05, "glare": 0.05},
        focal=(0.9, 1.05),
        counts={"person": 4, "parked": 3, "moving": 2, "motorcycle": 0.2, "bicycle": 1.4, "tree": 4, "lamp": 2.5}
        | {"sign": 0.6, "post": 0.6, "cone": 0.7, "rail": 0.3, "bump": 0.25, "stop": 0.35, "clutter": 0.5, "bus": 0.1},
    ),
    "fmb": Preset(
        {"day": 0.4, "dusk": 0.15, "night": 0.25, "fog": 0.1, "glare": 0.1},
        focal=(0.9, 1.1),
        counts={"person": 4, "parked": 2.5, "moving": 2.2, "bus": 0.4, "truck": 0.4, "motorcycle": 0.7, "bicycle": 0.6}
        | {"tree": 5, "lamp": 2.5, "sign": 1.8, "signal": 0.9, "post": 1.2, "clutter": 0.4, "rail": 0.1},
    ),
    "m3fd": Preset(
        {"day": 0.35, "dusk": 0.1, "night": 0.22, "fog": 0.13, "smoke": 0.12, "glare": 0.08},
        focal=(1.0, 1.5),
        height=(1.5, 3.2),
        horizon=(0.34, 0.46),
        counts={"person": 6, "parked": 2.5, "moving": 2.5, "bus": 0.6, "truck": 0.5, "motorcycle": 1.1, "tree": 4.5}
        | {"lamp": 3.5, "sign": 0.8, "post": 0.8, "clutter": 0.5, "signal": 0.3},
        density=0.6,
        driving=False,
    ),
    "llvip": Preset(
        {"night": 0.82, "dusk": 0.18},
        layout="square",
        focal=(1.15, 1.5),
        height=(4.8, 6.5),
        horizon=(-0.30, 0.02),
        counts={"person": 7, "parked": 1.6, "moving": 0.5, "bicycle": 0.9, "motorcycle": 0.7, "tree": 1.5, "lamp": 1.2}
        | {"sign": 0.3, "post": 0.4, "clutter": 0.7},
        density=0.9,
        driving=False,
    ),
    "vt5000": Preset(
        {"day": 0.5, "dusk": 0.15, "night": 0.2, "fog": 0.05, "glare": 0.1},
        layout="close",
        focal=(0.95, 1.2),
        height=(1.1, 1.6),
        horizon=(0.30, 0.46),
        density=0.6,
        driving=False,
    ),
}
