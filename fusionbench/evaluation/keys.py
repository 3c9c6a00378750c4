"""What a stored number depends on besides pictures, options and weights: the code, ours and the plugins'."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from fusionbench.plugins.cards import card
from fusionbench.plugins.fingerprint import HARNESS, Closure, code_hash, combined, home_of

if TYPE_CHECKING:
    from fusionbench.data.dataset import Dataset

READING = ("fusionbench.pixels.images", "fusionbench.data.pairs")
PLUGINS = ("fusionbench.plugins.method", "fusionbench.plugins.network_method")
PIXELS = ("fusionbench.evaluation.fusing", "fusionbench.pixels.output_rule", *PLUGINS, *READING)
BATCHES = ("fusionbench.evaluation.batches",)  # besides those, where several pairs are fused at once
SCORES = ("fusionbench.evaluation.scoring", *READING)
LABELS = ("fusionbench.pixels.images", "fusionbench.data.labels", "fusionbench.data.masks", "fusionbench.data.dataset")
TESTING = ("fusionbench.evaluation.task_scores", "fusionbench.tasks.testing")
TRAINING = ("fusionbench.training.run", "fusionbench.training.loop", "fusionbench.tasks.recipe")
# Plans and stores decide what is computed, not its value.
_BESIDE = (
    *(package for package in HARNESS if package not in ("fusionbench.evaluation", "fusionbench.data")),
    *(f"fusionbench.evaluation.{name}" for name in ("plan", "source", "protocol", "entries", "runner")),
    "fusionbench.data.pairing",  # which files are a pair; their bytes are in its hash
)


@cache
def harness_hash(modules: tuple[str, ...]) -> str:
    """SHA-256 over parts of the harness and what they import, its plans and stores left out."""
    return combined(Closure(leave_out=_BESIDE).follow(modules, lookups=False).digests)


def task_code(name: str, dataset: Dataset) -> str:
    """Hash of what the scores of a given network depend on besides pictures and labels' files.

    The code of the task, of testing and of reading labels; and what the dataset's card and its own code say of them.
    """
    testing = combined(Closure(leave_out=(*_BESIDE, "fusionbench.data")).follow(TESTING, lookups=False).digests)
    parts = {"task": code_hash(card("task", name)), "testing": testing, "labels": harness_hash(LABELS)}
    return combined({**parts, "dataset": labels_said(dataset)})


def labels_said(dataset: Dataset) -> str:
    """Hash of what a dataset's card says of its labels, and of an adapter's own way to read them."""
    facts = dataset.card.facts
    said = [msgspec.to_builtins(facts.classes), facts.ignore_index, facts.conditions, dataset.own_code]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def training_code(name: str) -> str:
    """Hash of the code that trains a task's networks: the task's with its recipes, and the engine's."""
    entry = card("task", name)
    recipes = [f"{entry.module}.{rule.recipe.partition(':')[0]}" for rule in entry.facts.training]
    own = Closure([home_of(entry)], HARNESS).follow(recipes).digests
    return combined({"task": code_hash(entry), "recipes": combined(own), "training": harness_hash(TRAINING)})
