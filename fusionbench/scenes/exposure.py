"""How the two pictures of a scene are taken: exposure, contrast, noise and sharpness.

Unless asked for more, all scenes are taken well by one good pair of cameras. Real pictures are not all like that:
nights that are nearly black, half of the range used, hardly any noise or much of it. A varied scene draws a way of
taking each picture. The ranges below hold what is found in real test pairs of TNO, VIFB, M3FD and LLVIP (mean,
deviation, percentiles, noise; ``benchmarks/scene_statistics.py``); no other set was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """How one picture is taken; as it stands, well.

    Attributes:
        light: factor of the exposure; of visible pictures alone, as thermal cameras set their own.
        noise: factor of the noise.
        blur: pixels, sigma, beyond that of the lens.
        sharpening: share of the infrared camera's own sharpening.
        gamma: exponent of the levels between black and white.
        low, high: levels of black and white.
    """

    light: float = 1.0
    noise: float = 1.0
    blur: float = 0.0
    sharpening: float = 1.0
    gamma: float = 1.0
    low: float = 0.0
    high: float = 255.0


VISIBLE = Exposure()
INFRARED = Exposure(low=4.0, high=250.0)


def ways(dark: bool, rng: np.random.Generator) -> tuple[Exposure, Exposure]:
    """Ways of taking the infrared and the visible picture of a scene.

    Args:
        dark: whether its lamps are lit.
        rng: is drawn from the same number of times, whatever comes out.
    """
    infrared = Exposure(
        noise=_between(0.1, 1.0, rng),
        blur=min(abs(float(rng.normal(0, 0.7))), 2.0),
        sharpening=float(rng.uniform()),
        gamma=float(np.exp(rng.normal(0.1, 0.35))),
        low=_often(4.0, 0.0, 70.0, rng),
        high=_often(250.0, 150.0, 255.0, rng),
    )
    visible = Exposure(
        light=_between(0.1 if dark else 0.4, 2.2, rng),
        noise=_between(0.1, 1.0, rng),
        blur=min(abs(float(rng.normal(0, 0.7))), 2.0),
        gamma=float(np.exp(rng.normal(0, 0.2))),
        low=_often(0.0, 0.0, 45.0, rng),
        high=_often(255.0, 190.0, 255.0, rng),
    )
    return infrared, visible


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """A factor, as often below the geometric mean as above it."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _often(usual: float, low: float, high: float, rng: np.random.Generator) -> float:
    """The usual level in two pictures of five, else any between two."""
    other, chance = float(rng.uniform(low, high)), float(rng.uniform())
    return usual if chance < 0.4 else other
