"""fusionbench: benchmark and evaluation toolkit for infrared-visible image fusion.

>>> import fusionbench
>>> table = fusionbench.evaluate(methods=["average", "maximum"], datasets=["msrs"])  # doctest: +SKIP
>>> print(table)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["evaluate", "fuse", "metrics", "methods"]


def __getattr__(name: str) -> Any:
    # Lazily: importing fusionbench must not import torch.
    if name in ("evaluate", "fuse"):
        return getattr(importlib.import_module("fusionbench.api"), name)
    if name in ("metrics", "methods"):
        return importlib.import_module(f"fusionbench.{name}")
    raise AttributeError(f"module 'fusionbench' has no attribute {name!r}")
