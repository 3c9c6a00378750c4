"""What a stored number depends on besides pictures, options and weights: the code, ours and the plugins'."""

from __future__ import annotations

from functools import cache

from fusionbench.plugins.cards import card
from fusionbench.plugins.fingerprint import HARNESS, closure, code_hash, combined

PIXELS = ("fusionbench.evaluation.fusing", "fusionbench.pixels.images", "fusionbench.pixels.output_rule")
SCORES = ("fusionbench.evaluation.scoring", "fusionbench.pixels.images")
LABELS = ("fusionbench.pixels.images", "fusionbench.data.labels", "fusionbench.data.masks")
TRAINING = ("fusionbench.training.loop", "fusionbench.tasks.recipe")
# Plans and stores decide what is computed, not its value.
_BESIDE = (
    *(package for package in HARNESS if package not in ("fusionbench.evaluation", "fusionbench.data")),
    *(f"fusionbench.evaluation.{name}" for name in ("plan", "protocol", "entries", "runner")),
)


@cache
def harness_hash(modules: tuple[str, ...]) -> str:
    """SHA-256 over parts of the harness and what they import, its plans and stores left out."""
    return combined(closure(modules, None, _BESIDE))


def task_code(name: str) -> str:
    """Hash of everything a task's numbers depend on besides settings and pictures."""
    return combined(
        {"task": code_hash(card("task", name)), "training": harness_hash(TRAINING), "labels": harness_hash(LABELS)}
    )
