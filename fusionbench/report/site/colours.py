"""The colour of a method, the same on every page: decided by its name and nothing else."""

from __future__ import annotations

import colorsys
import hashlib

LIGHTNESS = (0.42, 0.52, 0.60)
SOURCES = {"infrared": "#8a8f98", "visible": "#b5b9c0"}


def colour_of(name: str) -> str:
    """``#rrggbb`` of a method's name, mid-toned, so that it shows on light and on dark ground."""
    if name in SOURCES:
        return SOURCES[name]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    hue, light = int.from_bytes(digest[:4], "big") / 2**32, LIGHTNESS[digest[4] % len(LIGHTNESS)]
    red, green, blue = colorsys.hls_to_rgb(hue, light, 0.62)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
