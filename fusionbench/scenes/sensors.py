"""What the two cameras make of the light: blur, noise, exposure, and eight bits."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from .exposure import INFRARED, VISIBLE, Exposure
from .weather import Weather

F = np.float32
_STEPS = 4096
_TOP = 2.0


def _tone_curve(taken: Exposure) -> np.ndarray:
    x = np.arange(_STEPS) * (_TOP / (_STEPS - 1))
    knee = 0.62
    rolled = np.where(x < knee, x, knee + (1 - knee) * (1 - np.exp(-(x - knee) / (1 - knee))))
    curve = (taken.high - taken.low) * rolled ** (taken.gamma / 2.2) + taken.low
    levels: np.ndarray = np.clip(np.rint(curve), 0, 255).astype(np.uint8)
    return levels


def _vignette(shape: tuple[int, int], strength: float) -> np.ndarray:
    height, width = shape
    v = (np.arange(height, dtype=F)[:, None] - F(height / 2)) / F(width / 2)
    u = (np.arange(width, dtype=F)[None] - F(width / 2)) / F(width / 2)
    falloff: np.ndarray = 1 - F(strength) * (u * u + v * v)
    return falloff


def visible_picture(light: np.ndarray, w: Weather, rng: np.random.Generator, taken: Exposure = VISIBLE) -> np.ndarray:
    """8-bit RGB picture [H, W, 3] of linear light [H, W, 3]."""
    level = float(np.clip(light, 0, 1.5).mean())
    gain = taken.light * float(np.clip(w.target / max(level, 1e-4), *w.gain))
    blur = math.hypot(0.5, taken.blur)
    signal = ndimage.gaussian_filter(light * F(gain), (blur, blur, 0), truncate=3)
    signal *= _vignette((light.shape[0], light.shape[1]), 0.14)[..., None]
    shot = F(w.noise * taken.noise) * np.sqrt(F(0.25) + F(1.5) * np.maximum(signal, 0))  # read and shot noise
    noise = rng.standard_normal(signal.shape, dtype=F)
    grey = noise.mean(-1, keepdims=True)
    signal += shot * (F(0.7) * grey * F(1.7) + F(0.5) * noise)
    if w.colour < 1:
        red, green, blue = np.moveaxis(signal, -1, 0)
        luma = F(0.3) * red + F(0.59) * green + F(0.11) * blue  # no BLAS: its sums depend on the processor
        signal = luma[..., None] + (signal - luma[..., None]) * F(w.colour)
    index = np.clip(signal * F((_STEPS - 1) / _TOP), 0, _STEPS - 1).astype(np.int32)
    picture: np.ndarray = _tone_curve(taken)[index]
    return picture


def infrared_picture(heat: np.ndarray, w: Weather, rng: np.random.Generator, taken: Exposure = INFRARED) -> np.ndarray:
    """8-bit picture [H, W] of apparent temperature [H, W] in kelvin, with the automatic gain of a thermal camera."""
    height, width = heat.shape
    heat = ndimage.gaussian_filter(heat, math.hypot(0.85, taken.blur), truncate=3)
    detail = heat - ndimage.gaussian_filter(heat, 2.4, truncate=2.5)
    heat = heat + F(0.35 * taken.sharpening) * np.clip(detail, -2.5, 2.5)
    netd = w.netd * taken.noise
    heat += rng.standard_normal(heat.shape, dtype=F) * F(netd)
    heat += rng.standard_normal((1, width), dtype=F) * F(0.55 * netd)  # columns of the read-out
    heat += rng.standard_normal((height, 1), dtype=F) * F(0.2 * netd)
    heat -= F(0.5) * (1 - _vignette((height, width), 1.0))
    low, high = (float(v) for v in np.percentile(heat[::2, ::2], (0.6, 99.6)))
    usual = float(np.median(heat[::2, ::2]))
    low, high = max(low, usual - 14.0), max(high, usual + 5.0)  # a cold sky may go black, the street not all white
    if high - low < 9.0:
        middle = 0.45 * low + 0.55 * high
        low, high = middle - 4.5, middle + 4.5
    linear = np.clip((heat - F(low)) / F(high - low), 0, 1)
    # plateau equalisation: crowded levels get more of the range, but none more than its share
    counts = np.bincount((linear * 255).astype(np.int32).ravel(), minlength=256).astype(float)
    counts = np.minimum(counts, 2.5 * counts.sum() / 256) + 0.15 * counts.sum() / 256
    curve = np.concatenate([[0.0], np.cumsum(counts)])
    curve /= curve[-1]
    position = linear * 255
    index = np.minimum(position.astype(np.int32), 255)
    equal = (curve[index] + (curve[index + 1] - curve[index]) * (position - index)).astype(F)
    mixed = F(0.65) * linear + F(0.35) * equal
    toned = mixed ** F(taken.gamma) if taken.gamma != 1 else mixed
    levels: np.ndarray = np.clip(np.rint(toned * F(taken.high - taken.low) + F(taken.low)), 0, 255).astype(np.uint8)
    return levels
