"""The list of things to draw and the ground they claim; the camera of a preset."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .canvas import Camera, Canvas
from .presets import Preset


class Plan:
    """Objects waiting to be drawn, farthest first, none standing inside another."""

    def __init__(self, canvas: Canvas, rng: np.random.Generator):
        self.canvas, self.rng = canvas, rng
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self.taken: list[tuple[float, float, float, float]] = []

    def add(self, z: float, draw: Callable[..., None], *args: float, **options: bool) -> None:
        """Queue ``draw(canvas, rng, ...)`` at distance z."""
        self.waiting.append((z, partial(draw, self.canvas, self.rng, *args, **options)))

    def free(self, x: float, z: float, rx: float, rz: float) -> bool:
        """Claim the ground round (x, z) if nobody has."""
        if any(abs(x - a) < rx + ra and abs(z - b) < rz + rb for a, b, ra, rb in self.taken):
            return False
        self.taken.append((x, z, rx, rz))
        return True

    def find_free(
        self, spot: Callable[[], tuple[float, float]], rx: float, rz: float, tries: int = 8
    ) -> tuple[float, float] | None:
        """A free (x, z) from ``spot``, or None."""
        for _ in range(tries):
            x, z = spot()
            if self.free(x, z, rx, rz):
                return float(x), float(z)
        return None

    def draw(self) -> None:
        """Draw everything, farthest first."""
        for _, act in sorted(self.waiting, key=lambda item: -item[0]):
            act()


def make_camera(preset: Preset, size: tuple[int, int], rng: np.random.Generator) -> Camera:
    """A camera of the preset for a picture of ``size`` (H, W)."""
    height, width = size
    reach = min(width, height * 1.6)
    high = float(rng.uniform(*preset.height))
    slope, bend = float(rng.normal(0, 0.05)), float(rng.normal(0, 0.0006))
    if preset.layout == "square":
        slope, bend = float(rng.normal(0, 0.16)), 0.0
    return Camera(
        size,
        float(rng.uniform(*preset.focal)) * reach,
        float(rng.uniform(*preset.horizon)) * height,
        high,
        slope,
        bend,
        float(rng.uniform(0.42, 0.58)),
    )


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between low and high, evenly spread in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def number(rng: np.random.Generator, preset: Preset, kind: str) -> int:
    """How many of a kind this scene gets."""
    mean = preset.counts.get(kind, 0.0)
    return int(rng.poisson(mean)) if mean < 1.5 else int(max(round(rng.normal(mean, mean**0.5 * 0.8)), 0))
