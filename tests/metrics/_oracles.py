"""The reference values that lie beside the checkout, and the images they were computed from."""

from __future__ import annotations

import csv
import json
import sys
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fusionbench.metrics._planes import Planes
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CARDS = Path(__file__).parents[2] / "metrics"


@cache
def cards() -> dict[str, dict[str, Any]]:
    """Every metric card by name."""
    found = {}
    for path in sorted(CARDS.glob("*.toml")):
        card = tomllib.loads(path.read_text(encoding="utf-8"))
        if card.get("kind") == "metric":
            found[card["name"]] = {"module": path.stem, **card}
    return found


def function(card: dict[str, Any]) -> Any:
    """The function that a card names."""
    return getattr(import_module(f"fusionbench.metrics.{card['module']}"), card["object"])


def grey(path: Path) -> np.ndarray:
    """A picture as uint8 ``[H,W]``: Rec. 601 luma rounded."""
    x = np.asarray(Image.open(path))
    if x.ndim == 3:
        x = np.round(x[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
    return x


def _channels(path: Path) -> np.ndarray:
    x = np.asarray(Image.open(path))
    return np.stack([x] * 3) if x.ndim == 2 else np.moveaxis(x, -1, 0)


def _planes(*arrays: np.ndarray) -> tuple[Planes, ...]:
    return tuple(Planes(torch.from_numpy(np.array(a)).view(-1, *a.shape[-2:])) for a in arrays)


@lru_cache(maxsize=1)  # Planes keep what they compute
def golden(shared: Path, image: str) -> tuple[Planes, ...]:
    """Fused, infrared and visible of one image of ``values.json``; colour ones as three grey images."""
    images, stem = shared / "reference/metrics/images", image.split("_F_")[0]
    colour = "_RGB" if image.endswith("_RGB") else ""
    names = (image, f"{stem}_IR{colour}", f"{stem}_VIS{colour}")
    return _planes(*((_channels if colour else grey)(images / f"{n}.png") for n in names))


@lru_cache(maxsize=1)  # Planes keep what they compute
def tno(shared: Path, image: str, method: str) -> tuple[Planes, ...]:
    """One triple of the published TNO sheet."""
    sources = shared / "datasets/TNO"
    fused = shared / "reference/fused" / method / "TNO" / image
    return _planes(*(grey(p) for p in (fused, sources / "ir" / image, sources / "vi" / image)))


@lru_cache(maxsize=1)  # Planes keep what they compute
def vifb(shared: Path, image: str, method: str, joined: bool = False) -> tuple[Planes, ...]:
    """One triple of the VIFB results: a batch of the three channels, or one image with them side by side."""
    name, sources = f"{image}.jpg", shared / "datasets/VIFB"
    arrays = [_channels(p) for p in (shared / "reference/fused" / method / "VIFB" / name, sources / "IR" / name)]
    arrays.append(_channels(sources / "VI" / name))
    return _planes(*(np.concatenate(a, axis=1) if joined else a for a in arrays))


@cache
def values(shared: Path) -> dict[tuple[str, str], dict[str, float]]:
    """(metric, implementation without its commit) -> image -> value."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in json.loads((shared / "reference/metrics/values.json").read_text())["values"]:
        key = (row["metric"], row["implementation"].split("@")[0])
        value = row["value"]
        found.setdefault(key, {})[row["image"]] = float("nan") if value is None else float(value)
    return found


@cache
def published(shared: Path, file: str) -> dict[str, dict[tuple[str, str], float]]:
    """metric -> (image, method) -> value of one of the two published sheets."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    with (shared / f"reference/{file}_published_metrics.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(row["metric"], {})[row["image"], row["method"]] = float(row["value"])
    return found
