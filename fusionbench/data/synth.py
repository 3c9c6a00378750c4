"""Generated trees: scenes written in the official layout of a dataset, through its own adapter.

The dataset's card says how: ``[scenes]`` names the generator's preset, ``[scenes.masks]`` and ``[scenes.boxes]`` map
the generator's classes to the names of the layout.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.data import ORIGIN, Boxes, Dataset, Sample
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import card, cards
from fusionbench.plugins.registry import resolve
from fusionbench.results.store import storage_error
from fusionbench.scenes import CLASSES, CONDITIONS, Scene, scene

SPLITS = ("train", "test")
STRIDE = 1_000_003  # between the seeds of the two splits, so that they share no scene
DARK = ("dusk", "night")


def synth(
    like: str,
    out: Path,
    train: int,
    test: int,
    size: tuple[int, int],
    seed: int,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Write a generated dataset.

    Args:
        like: name of the dataset whose layout and classes to use.
        out: the dataset's folder; must be empty or not exist.
        train, test: number of pairs.
        size: (height, width) in pixels.
        seed: same seed, same bytes.
        progress: called as (what, done, total).

    Returns:
        What lies in the tree's origin file: generator, seed, size, counts, and the condition of every image.

    Raises:
        FusionbenchError: when the dataset has no mapping, the folder is in use, or too many pairs are asked.
    """
    entry = card("dataset", like)
    rules = entry.data.get("scenes")
    if not rules:
        able = [n for n, c in cards("dataset").items() if "scenes" in c.data]
        raise FusionbenchError(f"--like {like}: scenes have no such layout; there are: {', '.join(able)}")
    if train + test < 1:
        raise FusionbenchError("--train 0 --test 0: nothing to draw; ask for at least one pair")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            why = "not empty" if out.is_dir() else "a file, not a folder"
            raise FusionbenchError(f"{out}: {why}; name a new folder, nothing is overwritten")
    except OSError as error:
        raise storage_error(out, error) from None
    dataset: Dataset = resolve("dataset", like)(out, entry)
    counts = {"train": train, "test": test}
    conditions: dict[str, dict[str, str]] = {}
    done = 0
    try:
        for number, split in enumerate(SPLITS):
            ids = names(dataset, split, counts[split])
            conditions[split] = {}
            for index, ident in enumerate(ids):
                picture = scene(
                    seed * 2 * STRIDE + number * STRIDE + index, size, _condition(ident, index), rules["preset"]
                )
                dataset.write(sample(picture, ident, split, dataset, rules), split)
                conditions[split][ident] = picture.condition
                done += 1
                progress(f"drawing scenes like {entry.title}", done, train + test)
        origin = {
            "generator": "scenes",
            "like": like,
            "seed": seed,
            "size": list(size),
            "counts": counts,
            "conditions": conditions,
        }
        (out / ORIGIN).write_text(json.dumps(origin, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise storage_error(out, error) from None
    return origin


def names(dataset: Dataset, split: str, count: int) -> list[str]:
    """Ids for `count` images: the first of the split's own list where there is one, else numbers.

    Raises:
        FusionbenchError: when the list is shorter.
    """
    listed = dataset.split(split).ids
    if listed is None:
        return [f"{split[:2]}{i:05d}" for i in range(count)]
    if count > len(listed):
        raise FusionbenchError(f"split {split} of {dataset.name} has {len(listed)} ids, {count} were asked")
    return list(listed[:count])


def _condition(ident: str, index: int) -> str:
    """All conditions in turn, except that names which tell day from night (MSRS: 00004N) are kept true."""
    if ident[-1:] in ("D", "N") and ident[:-1].isdigit():
        group = [c for c in CONDITIONS if (c in DARK) == (ident[-1] == "N")]
        return group[index % len(group)]
    return CONDITIONS[index % len(CONDITIONS)]


def sample(picture: Scene, ident: str, split: str, dataset: Dataset, rules: dict[str, Any]) -> Sample:
    """A scene with the labels of the target layout, in its class names."""
    found = Sample(ident, split, picture.ir[None], np.ascontiguousarray(picture.vis.transpose(2, 0, 1)))
    if masks := rules.get("masks"):
        table = np.zeros(len(CLASSES), np.uint8)
        for index, name in enumerate(CLASSES):
            if name in masks:
                table[index] = dataset.classes.index(masks[name])
        found.mask = table[picture.classes]
    if boxes := rules.get("boxes"):
        seen = [i for i in picture.instances if i.cls in boxes]
        found.boxes = Boxes.of([i.box for i in seen], [dataset.box_classes.index(boxes[i.cls]) for i in seen])
    if rules.get("saliency"):
        found.saliency = picture.saliency
    return found
