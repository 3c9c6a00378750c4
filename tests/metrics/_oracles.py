"""The reference values that lie beside the checkout, the images they were computed from, and what cards claim of them.

``benchmarks/parity.py`` measures with this; the tests of single metrics use it too.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fusionbench.metrics import Planes

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


def claims(file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Number (``metric@variant``) and claim, for every claim about one of ``values``, ``tno`` and ``vifb``."""
    for card in cards().values():
        for name, variant in card["variants"].items():
            for claim in variant.get("oracles", []):
                if claim["file"] == file:
                    yield f"{card['name']}@{name}", claim


def score(number: str, planes: tuple[Planes, ...]) -> float:
    """``metric@variant`` of one picture: the mean over its planes."""
    name, _, variant = number.partition("@")
    card = cards()[name]
    return float(function(card)(*planes, **card["variants"][variant].get("options", {})).mean())


def _channels(path: Path) -> np.ndarray:
    x = np.asarray(Image.open(path))
    return np.stack([x] * 3) if x.ndim == 2 else np.moveaxis(x, -1, 0)


def _plane(x: np.ndarray) -> Planes:
    return Planes(torch.from_numpy(np.array(x)).view(-1, *x.shape[-2:]))


# Planes keep what they compute: that of the sources serves every fused picture of one scene, then goes.


@lru_cache(maxsize=2)
def _sources(read: Any, *paths: Path) -> tuple[Planes, ...]:
    return tuple(_plane(read(path)) for path in paths)


@lru_cache(maxsize=1)
def golden(shared: Path, image: str) -> tuple[Planes, ...]:
    """Fused, infrared and visible of one image of ``values.json``; colour ones as three grey images."""
    images, stem = shared / "reference/metrics/images", image.split("_F_")[0]
    read, colour = (_channels, "_RGB") if image.endswith("_RGB") else (grey, "")
    sources = _sources(read, *(images / f"{stem}_{band}{colour}.png" for band in ("IR", "VIS")))
    return _plane(read(images / f"{image}.png")), *sources


@lru_cache(maxsize=1)
def tno(shared: Path, image: str, method: str) -> tuple[Planes, ...]:
    """One triple of the published TNO sheet."""
    sources = _sources(grey, *(shared / "datasets/TNO" / band / image for band in ("ir", "vi")))
    return _plane(grey(shared / "reference/fused" / method / "TNO" / image)), *sources


def _joined(path: Path) -> np.ndarray:
    return np.concatenate(_channels(path), axis=1)


@lru_cache(maxsize=2)
def vifb(shared: Path, image: str, method: str, joined: bool = False) -> tuple[Planes, ...]:
    """One triple of the VIFB results: a batch of the three channels, or one image with them side by side."""
    read, name = _joined if joined else _channels, f"{image}.jpg"
    sources = _sources(read, *(shared / "datasets/VIFB" / band / name for band in ("IR", "VI")))
    return _plane(read(shared / "reference/fused" / method / "VIFB" / name)), *sources


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
