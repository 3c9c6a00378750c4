"""From parts to light: geometry of every pixel, texture, lamps, air, and what reaches the two lenses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .canvas import COLUMN, Canvas
from .weather import Weather

F = np.float32
FAR = 600.0


class Noise:
    """Periodic value noise from one tile of random numbers, mean 0 and about -1..1."""

    def __init__(self, rng: np.random.Generator, side: int = 64):
        self.side, tile = side, rng.random((side, side), dtype=F) * 2 - 1
        self.tile = np.pad(tile, ((0, 1), (0, 1)), mode="wrap")

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Smoothly interpolated value at lattice coordinates a, b (any shape)."""
        ia, ib = np.floor(a), np.floor(b)
        fa, fb = (a - ia).astype(F), (b - ib).astype(F)
        ja, jb = ia.astype(np.int32) % self.side, ib.astype(np.int32) % self.side
        fa, fb = fa * fa * (3 - 2 * fa), fb * fb * (3 - 2 * fb)
        flat, stride = self.tile.ravel(), self.side + 1
        corner = ja * stride + jb
        top = flat[corner] + (flat[corner + 1] - flat[corner]) * fb
        low = flat[corner + stride] + (flat[corner + stride + 1] - flat[corner + stride]) * fb
        value: np.ndarray = top + (low - top) * fa
        return value


@dataclass
class Field:
    """Per-pixel geometry and texture, float32 [H, W]: metres X, Y, Z and noises of three sizes."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    ground: np.ndarray
    sky: np.ndarray
    rise: np.ndarray  # tangent of the angle above the horizon
    grain: np.ndarray
    clump: np.ndarray
    blotch: np.ndarray
    shadow: np.ndarray
    contact: np.ndarray
    veil: np.ndarray  # optical depth of smoke


def field_of(canvas: Canvas, a: np.ndarray, rng: np.random.Generator) -> Field:
    """Geometry of every pixel of the attributes ``a`` [H, W, columns]."""
    camera = canvas.camera
    height, width = camera.size
    rows: np.ndarray = (np.arange(height, dtype=F) + F(0.5))[:, None]
    columns: np.ndarray = (np.arange(width, dtype=F) + F(0.5))[None]
    ground = a[..., COLUMN["ground"]]
    flat = F(camera.focal * camera.height) / np.maximum(rows - F(camera.horizon), F(0.4))
    z = np.minimum(1.0 / np.maximum(a[..., COLUMN["inverse_depth"]], F(1 / FAR)), FAR)
    on_ground = ground > 0.5
    z = np.where(on_ground, np.minimum(flat, FAR), z).astype(F)
    x = (columns - F(camera.centre)) * z / F(camera.focal)
    y = np.where(on_ground, 0, F(camera.height) - (rows - F(camera.horizon)) * z / F(camera.focal)).astype(F)
    # texture lies on the ground, or on an upright plane at the part's distance
    u = np.where(on_ground, x - camera.shift(z).astype(F), x + a[..., COLUMN["offset"]])
    v = np.where(on_ground, z, y)
    size = np.where(on_ground, z * z / F(camera.focal * camera.height), z / F(camera.focal))  # metres a pixel spans
    small, large = Noise(rng), Noise(rng)
    clump = F(0.7) * small(u * F(1 / 0.28), v * F(1 / 0.28)) * np.minimum(F(0.28) / (2 * size + F(1e-3)), 1)
    clump += F(0.65) * small(u * F(1 / 0.11) + 31, v * F(1 / 0.11)) * np.minimum(F(0.11) / (2 * size + F(1e-3)), 1)
    middle = large(u * F(1 / 0.8), v * F(1 / 0.8)) * np.minimum(F(0.8) / (2 * size + F(1e-3)), 1)
    blotch = (
        F(0.65) * large(u * F(1 / 3.1) + 9, v * F(1 / 3.1)) * np.minimum(F(3.1) / (2 * size + F(1e-3)), 1)
        + F(0.45) * middle
    )
    grain = rng.standard_normal((height, width), dtype=F)
    shadow = np.zeros((height, width), F)
    if canvas.weather.shadow_lean is not None:
        shadow = ndimage.gaussian_filter(np.asarray(canvas.shadow, F) / 255, 0.8, truncate=2.5) * ground
    contact = ndimage.gaussian_filter(np.asarray(canvas.contact, F) / 255, max(width / 260, 0.7), truncate=2.5) * ground
    rise = np.broadcast_to((F(camera.horizon) - rows) / F(camera.focal), (height, width))
    veil = _smoke(canvas, z, small)
    sky = a[..., COLUMN["sky"]]
    return Field(x, y, z, ground, sky, rise, grain, clump, blotch, shadow, contact, veil)


def _smoke(canvas: Canvas, z: np.ndarray, noise: Noise) -> np.ndarray:
    """Optical depth of the smoke columns in front of every pixel."""
    height, width = canvas.camera.size
    depth = np.zeros((height, width), F)
    if not canvas.weather.plumes:
        return depth
    v, u = (np.arange(height, dtype=F) / height)[:, None], (np.arange(width, dtype=F) / height)[None]
    for k, (x, y, spread, density) in enumerate(canvas.weather.plumes):
        up = y - v
        wide = spread * (0.55 + np.maximum(up, 0) * 0.9)
        curl = sum(
            noise((u * s + up * 2 + k * 17) * 3.2, (v * s * 0.8 + k * 5) * 3.2) * g
            for s, g in ((1, 0.6), (2.3, 0.4), (5.1, 0.22))
        )
        across = np.exp(-(((u - x - 0.35 * up + 0.10 * curl) / wide) ** 2) * 1.4)
        along = 1 / (1 + np.exp(-np.clip((up + 0.12) * 22, -30, 30)))
        thick = density * across * along * np.clip(0.62 + 0.9 * curl, 0.05, None)
        near = 5.0 + 6.0 * k
        depth += (thick * np.clip((z - near) / (0.6 * near), 0.12, 1)).astype(F)
    return depth


def lamp_light(canvas: Canvas, f: Field) -> np.ndarray:
    """Light of all lamps at every pixel, float32 [H, W, 3]."""
    flat = f.ground > 0.5
    total = np.zeros((*f.z.shape, 3), F)
    for x, y, z, rgb, direction, sharp in canvas.lights:
        dx, dy, dz = f.x - F(x), f.y - F(y), f.z - F(z)
        r2 = dx * dx + dy * dy + dz * dz
        if direction is None:
            level = np.where(flat, F(y) / np.sqrt(r2 + 1), F(0.45)) / (r2 + 2)
            level *= dy < 0.4
        else:
            away = (dx * F(direction[0]) + dy * F(direction[1]) + dz * F(direction[2])) / np.sqrt(r2 + F(0.1))
            spread = np.exp(F(sharp) * (np.minimum(away, 1) - 1)) * (away > 0)
            # the lamps light what stands in front of them; a flat road takes less
            level = spread * np.where(flat, F(0.45), F(1.0)) / (np.sqrt(r2) * F(6) + r2 * F(0.35) + 4)
        for k in range(3):
            total[..., k] += level * F(rgb[k])
    lit: np.ndarray = total * (1 - f.sky)[..., None]
    return lit


def _sky(canvas: Canvas, f: Field, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Sky light [H, W, 3] and cloud cover [H, W], 0 where no sky is seen."""
    w = canvas.weather
    light, cover = np.zeros((*f.z.shape, 3), F), np.zeros(f.z.shape, F)
    rows, columns = np.nonzero(f.sky > 0)
    if len(rows) == 0:
        return light, cover
    rise = np.maximum(f.rise[rows, columns], 0)
    across = (columns.astype(F) - F(canvas.camera.centre)) / F(canvas.camera.focal)
    high = (1 - np.exp(-rise * 3.2))[:, None]
    base = np.array(w.skyline, F) * (1 - high) + np.array(w.zenith, F) * high
    p, q = across / (rise + F(0.16)), 1 / (rise + F(0.16))
    cloud = sum(noise(p * s + 3, q * s * 1.6) * g for s, g in ((1.1, 0.55), (2.6, 0.3), (6.0, 0.18)))
    cloud = np.clip((cloud + w.cloud * 1.3 - 0.45) * 1.6, 0, 1).astype(F)
    bright = np.array(w.skyline, F) * 0.75 + np.array(w.ambient, F) * 0.35
    light[rows, columns] = base * (1 - 0.75 * cloud[:, None]) + bright * (0.75 * cloud[:, None])
    cover[rows, columns] = cloud
    return light, cover


def _glare(canvas: Canvas, f: Field) -> np.ndarray | None:
    """Light the lens scatters over the picture, [H, W, 3]."""
    w, camera = canvas.weather, canvas.camera
    if not w.glare:
        return None
    shape = f.z.shape
    height, width = shape
    disc = 9.0
    if w.glare.kind == "sun":
        u = camera.centre + camera.focal * np.tan(w.azimuth)
        v = max(camera.horizon, 0.12 * height) - camera.focal * np.tan(w.elevation)
        spots, tint = (
            [(float(np.clip(u, 0.05 * width, 0.95 * width)), float(np.clip(v, -0.05 * height, 0.4 * height)))],
            (1.0, 0.9, 0.72),
        )
        u, v = spots[0]
        if f.sky[int(np.clip(v, 0, height - 1)), int(np.clip(u, 0, width - 1))] < 0.5:
            disc = 0.6  # behind a roof or a crown
    else:
        spots, tint = w.glare.spots or [(w.glare.x * width, 0.55 * height)], (1.0, 0.97, 0.9)
    rows, columns = np.arange(height, dtype=F)[:, None], np.arange(width, dtype=F)[None]
    veil = np.zeros(shape, F)
    for u, v in spots:
        du, dv = columns - F(u), rows - F(v)
        r2 = (du * du + dv * dv) / F(height * height)
        veil += disc * np.exp(-r2 / F(0.0028)) + 0.9 / (1 + r2 / F(0.010)) + 0.16 / (1 + r2 / F(0.12))
        veil += 0.5 * np.exp(-np.abs(dv) / F(0.008 * height)) / (1 + np.abs(du) / F(0.10 * height))
    scale = w.glare.strength / len(spots) * (1.0 if w.glare.kind == "sun" else 0.05)
    coloured: np.ndarray = veil[..., None] * (np.array(tint, F) * F(scale))
    return coloured


def visible_light(canvas: Canvas, a: np.ndarray, f: Field, rng: np.random.Generator) -> np.ndarray:
    """Linear light at the visible lens, float32 [H, W, 3]."""
    w = canvas.weather
    noise = Noise(rng)
    texture = (
        1 + a[..., COLUMN["grain"]] * f.grain + a[..., COLUMN["clump"]] * f.clump + a[..., COLUMN["blotch"]] * f.blotch
    )
    albedo = a[..., 0:3] * np.clip(texture, F(0.15), F(2.2))[..., None]
    open_sky = 1 - F(0.75) * f.contact - F(0.22) * f.shadow
    sun = a[..., COLUMN["shade"]] * (1 - F(0.97) * f.shadow) * (1 - F(0.5) * f.contact)
    light = open_sky[..., None] * np.array(w.ambient, F) + sun[..., None] * np.array(w.sun, F)
    if canvas.lights:
        light += lamp_light(canvas, f) * (1 - F(0.8) * f.contact)[..., None]
    out = albedo * light + a[..., 3:6] * (1 + F(0.7) * a[..., COLUMN["clump"]] * f.clump)[..., None]
    sky, _ = _sky(canvas, f, noise)
    out = out * (1 - f.sky)[..., None] + sky * f.sky[..., None]
    through = np.exp(-F(w.haze) * f.z)
    if w.condition not in ("fog", "smoke"):
        through = np.where(f.sky > 0.5, 1, through)
    air = np.array(w.airlight, F)
    out = air + (out - air) * through[..., None]
    if w.plumes:
        smoke = air * F(0.9)
        out = smoke + (out - smoke) * np.exp(-f.veil)[..., None]
    out = _bloom(out, w)
    veil = _glare(canvas, f)
    return out if veil is None else out + veil


def _bloom(light: np.ndarray, w: Weather) -> np.ndarray:
    """Halos round what is far brighter than the rest; wider in fog."""
    excess = np.maximum(light - 0.9, 0)
    if not excess.any():
        return light
    height, width = light.shape[:2]
    quarter = [excess[i : height // 4 * 4 : 4, j : width // 4 * 4 : 4] for i in range(4) for j in range(4)]
    if min(q.size for q in quarter) == 0:
        return light
    small = sum(q[: height // 4, : width // 4] for q in quarter) / 16
    reach = max(height / 256, 0.5)
    wide, narrow = (0.9, 0.5) if w.condition == "fog" else (0.35, 0.45)
    halo = narrow * ndimage.gaussian_filter(small, (reach, reach, 0), truncate=3)
    halo += wide * ndimage.gaussian_filter(small, (4.5 * reach, 4.5 * reach, 0), truncate=3)
    rows = np.clip((np.arange(height) - 1.5) / 4, 0, halo.shape[0] - 1)
    columns = np.clip((np.arange(width) - 1.5) / 4, 0, halo.shape[1] - 1)
    bloomed: np.ndarray = light + _stretch(_stretch(halo, rows, 0), columns, 1)
    return bloomed


def _stretch(picture: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    low = np.floor(positions).astype(int)
    high = np.minimum(low + 1, picture.shape[axis] - 1)
    t = (positions - low).astype(F).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    mixed: np.ndarray = np.take(picture, low, axis) * (1 - t) + np.take(picture, high, axis) * t
    return mixed


def warmth(canvas: Canvas, a: np.ndarray, f: Field, rng: np.random.Generator) -> np.ndarray:
    """Apparent temperature at the infrared lens, kelvin above the air, float32 [H, W]."""
    w = canvas.weather
    noise = Noise(rng)
    heat = a[..., COLUMN["heat"]] + a[..., COLUMN["ir_texture"]] * (
        F(0.7) * f.blotch + F(0.5) * f.clump + F(0.12) * f.grain
    )
    heat = heat - F(0.45 * w.sun_heat) * a[..., COLUMN["absorb"]] * f.shadow
    heat = heat + F(1.2) * f.contact * (w.sun_heat < 8)
    if (f.sky > 0).any():
        _, cover = _sky(canvas, f, noise)
        overhead = (
            F(w.sky_heat) * (F(0.30) + F(0.70) * (1 - np.exp(-np.maximum(f.rise, 0) * 3.0))) * (1 - F(0.45) * cover)
        )
        heat = heat * (1 - f.sky) + overhead * f.sky
    through = np.exp(-F(w.ir_haze) * np.where(f.sky > 0.5, F(80), f.z) - F(0.10) * f.veil)
    seen: np.ndarray = heat * through + F(0.6) * (1 - np.exp(-F(0.10) * f.veil))
    return seen
