"""Light, air and temperature that a scene is drawn in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np


@dataclass
class Glare:
    """Strong light that the lens scatters over the picture.

    Attributes:
        kind: the low ``sun``, or the ``beams`` of a car that comes towards the camera.
        strength: of the scattered light.
        x: where beams are, as a share of the picture's width, unless a car is drawn for them.
        car: (x, z) metres of the front of that car.
        spots: its two headlights in pixels, once it is drawn.
    """

    kind: Literal["sun", "beams"]
    strength: float
    x: float = 0.5
    car: tuple[float, float] | None = None
    spots: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Weather:
    """What one condition means for both cameras.

    Colours are linear light, white paper in full sun near 1; temperatures kelvin or degrees Celsius;
    extinctions are per metre.
    """

    condition: str
    air: float = 22.0  # degrees Celsius
    sun_heat: float = 12.0  # kelvin a black surface gains
    sky_heat: float = -25.0  # kelvin of the clear sky overhead against the air
    sun: tuple[float, ...] = (0.0, 0.0, 0.0)
    ambient: tuple[float, ...] = (0.5, 0.5, 0.5)
    zenith: tuple[float, ...] = (0.3, 0.5, 0.9)
    skyline: tuple[float, ...] = (0.8, 0.85, 0.9)
    azimuth: float = 0.0  # radians, where the sun stands; 0 is straight ahead
    elevation: float = 0.9
    shadow_lean: tuple[float, float] | None = None
    lamps: bool = False
    cloud: float = 0.3
    haze: float = 0.0008
    ir_haze: float = 0.0002
    airlight: tuple[float, ...] = (0.8, 0.83, 0.86)
    target: float = 0.2  # mean linear level the exposure aims at
    gain: tuple[float, float] = (0.5, 1.6)  # its limits
    noise: float = 0.006
    colour: float = 1.0
    # smoke columns (x, y, spread, density) in units of the picture's height
    plumes: list[tuple[float, float, float, float]] = field(default_factory=list)
    glare: Glare | None = None
    netd: float = 0.07  # kelvin of infrared noise

    @property
    def dark(self) -> bool:
        """Whether headlights and windows are lit."""
        return self.lamps

    def body(self, share: float) -> float:
        """Kelvin above the air of skin (share 1) or of clothing over it (less)."""
        return (33.5 - self.air) * share

    def facing(self, nx: float, ny: float, nz: float) -> float:
        """0..1, how squarely the sun meets a face with this outward normal."""
        ce = np.cos(self.elevation)
        dot = nx * np.sin(self.azimuth) * ce + ny * np.sin(self.elevation) + nz * np.cos(self.azimuth) * ce
        return float(min(max(dot, 0.0), 1.0))


def _sunlight(w: Weather, rng: np.random.Generator, overcast: bool) -> None:
    w.elevation = float(rng.uniform(0.5, 1.15))
    w.azimuth = float(rng.uniform(-np.pi, np.pi))
    if overcast:
        w.sun, w.ambient = (0.10, 0.10, 0.09), (0.68, 0.70, 0.72)
        w.zenith, w.skyline, w.cloud = (0.70, 0.74, 0.79), (0.86, 0.88, 0.9), 0.9
        w.sun_heat, w.sky_heat, w.air = rng.uniform(3, 7), rng.uniform(-12, -6), rng.uniform(19, 30)
    else:
        w.sun, w.ambient = (0.95, 0.88, 0.76), (0.30, 0.35, 0.43)
        w.zenith, w.skyline = (0.18, 0.36, 0.72), (0.66, 0.78, 0.9)
        w.cloud = float(rng.uniform(0.1, 0.6))
        w.sun_heat, w.sky_heat, w.air = rng.uniform(12, 24), rng.uniform(-38, -22), rng.uniform(22, 34)
        reach = 1.0 / np.tan(w.elevation)
        w.shadow_lean = (float(-np.sin(w.azimuth) * reach), float(-np.cos(w.azimuth) * reach))


def _night(w: Weather, rng: np.random.Generator) -> None:
    level = float(rng.uniform(0.004, 0.012))
    w.lamps, w.sun = True, (0.0, 0.0, 0.0)
    w.ambient = (level, level * 1.02, level * 1.25)
    w.zenith, w.skyline = (0.003, 0.004, 0.009), (0.016, 0.013, 0.014)
    w.sun_heat, w.sky_heat, w.air = rng.uniform(1, 4), rng.uniform(-18, -9), rng.uniform(4, 22)
    w.target, w.gain = float(rng.uniform(0.03, 0.075)), (0.7, 2.2)
    w.noise, w.colour, w.cloud, w.airlight = float(rng.uniform(0.006, 0.012)), 0.75, 0.2, (0.012, 0.012, 0.014)


def make_weather(condition: str, rng: np.random.Generator) -> Weather:
    """Weather for one of the conditions, drawn at random within it."""
    w = Weather(condition)
    if condition == "day":
        _sunlight(w, rng, overcast=rng.random() < 0.3)
        w.target = float(rng.uniform(0.17, 0.24))
    elif condition == "dusk":
        w.elevation, w.azimuth = 0.06, float(rng.uniform(-0.8, 0.8))
        level = float(rng.uniform(0.05, 0.14))
        w.lamps = bool(rng.random() < 0.8)
        w.sun, w.ambient = (0.03, 0.018, 0.01), (level, level * 1.02, level * 1.3)
        w.zenith, w.skyline = (0.07, 0.10, 0.24), (0.52, 0.30, 0.20)
        w.sun_heat, w.sky_heat, w.air = rng.uniform(4, 9), rng.uniform(-24, -12), rng.uniform(12, 26)
        w.target, w.gain, w.noise, w.airlight = 0.11, (0.6, 1.9), 0.010, (0.25, 0.2, 0.22)
        w.cloud = float(rng.uniform(0.2, 0.7))
    elif condition == "night":
        _night(w, rng)
    elif condition == "fog":
        _sunlight(w, rng, overcast=True)
        level = float(rng.uniform(0.45, 0.7))
        w.sun, w.ambient = (0.0, 0.0, 0.0), (level, level, level * 1.02)
        w.haze = float(rng.uniform(0.03, 0.075))
        w.ir_haze = w.haze * float(rng.uniform(0.25, 0.45))
        w.airlight = (level, level * 1.01, level * 1.02)
        w.sun_heat, w.air, w.sky_heat = rng.uniform(0, 2), rng.uniform(2, 14), rng.uniform(-5, -2)
        w.target, w.lamps = float(rng.uniform(0.3, 0.4)), bool(rng.random() < 0.4)
        w.zenith = w.skyline = w.airlight
    elif condition == "smoke":
        _sunlight(w, rng, overcast=rng.random() < 0.5)
        w.haze, w.ir_haze = float(rng.uniform(0.006, 0.018)), 0.0006
        w.air, w.sun_heat = rng.uniform(12, 26), min(w.sun_heat, 9.0)
        grey = float(rng.uniform(0.35, 0.75))
        w.airlight = (grey, grey * 0.98, grey * 0.95)
        for _ in range(int(rng.integers(2, 4))):
            x, y = rng.uniform(0.1, 1.15), rng.uniform(0.35, 0.8)
            w.plumes.append((float(x), float(y), float(rng.uniform(0.18, 0.38)), float(rng.uniform(2.0, 4.5))))
    else:
        by_night = rng.random() < 0.4
        if by_night:
            _night(w, rng)
            x, strength = float(rng.uniform(0.3, 0.7)), float(rng.uniform(3, 7))
            w.glare = Glare(kind="beams", strength=strength, x=x)
        else:
            _sunlight(w, rng, overcast=False)
            w.elevation, w.azimuth = float(rng.uniform(0.16, 0.34)), float(rng.uniform(-0.35, 0.35))
            w.sun = (0.9, 0.72, 0.5)
            reach = min(1.0 / np.tan(w.elevation), 4.0)
            w.shadow_lean = (float(-np.sin(w.azimuth) * reach), float(-np.cos(w.azimuth) * reach))
            w.glare = Glare(kind="sun", strength=float(rng.uniform(0.9, 1.8)))
            w.skyline, w.target, w.gain = (0.95, 0.86, 0.7), 0.24, (0.8, 1.8)
    return w
