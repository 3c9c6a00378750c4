"""fusionbench: benchmark and evaluation toolkit for infrared-visible image fusion.

>>> import fusionbench
>>> table = fusionbench.evaluate(methods=["average", "maximum"], datasets=["msrs"])  # doctest: +SKIP
>>> print(table)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionbench import methods, metrics, results
    from fusionbench.api import evaluate, fuse

    __version__: str

__all__ = ["__version__", "evaluate", "fuse", "methods", "metrics", "results"]


def __getattr__(name: str) -> object:
    # Lazily: importing fusionbench must not import torch.
    if name in ("evaluate", "fuse"):
        return getattr(importlib.import_module("fusionbench.api"), name)
    if name in ("methods", "metrics", "results"):
        return importlib.import_module(f"fusionbench.{name}")
    if name == "__version__":
        return importlib.import_module("fusionbench.results.provenance").version()
    raise AttributeError(f"module 'fusionbench' has no attribute {name!r}")
