"""A generated scene fused by each method that needs no file of anybody's: it has no weights, or they come with it."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image

import fusionbench
from fusionbench.plugins.cards import MethodCard
from fusionbench.scenes import Scene, scene

SEED, SIZE, CONDITION, PRESET = 24, (192, 256), "night", "msrs"
GAP = 4


def entry(card: MethodCard) -> str:
    """What to run, or "" where it needs a checkpoint, or pictures, of others."""
    facts = card.facts
    shipped = [w.name for w in facts.weights if w.packaged]
    if facts.precomputed or (facts.requires_weights and not shipped):
        return ""
    return f"{card.name}[{shipped[0]}]" if shipped else card.name


@lru_cache(maxsize=1)
def pair() -> Scene:
    """The scene."""
    return scene(SEED, SIZE, CONDITION, PRESET)


def strip(name: str) -> bytes:
    """Infrared, visible and fused side by side, as a JPEG file."""
    height, width = SIZE
    sheet = Image.new("RGB", (3 * width + 2 * GAP, height), "white")
    for column, picture in enumerate((pair().ir, pair().vis, fusionbench.fuse(name, pair().ir, pair().vis))):
        sheet.paste(Image.fromarray(np.asarray(picture)).convert("RGB"), (column * (width + GAP), 0))
    held = BytesIO()
    sheet.save(held, "JPEG", quality=88, optimize=True)
    return held.getvalue()
