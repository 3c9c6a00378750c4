"""Fusion metrics: a function and a class per card, imported when first asked for.

``fusionbench.metrics.vif(fused, ir, vis)`` is the function, ``fusionbench.metrics.VIF`` its accumulating class (the
function's name in capitals without underscores). Importing the package reads nothing; listing it reads the cards.

Images are tensors or numpy arrays, ``[B,1,H,W]``, ``[B,H,W]`` or, for one, ``[H,W]``. Levels are 0..255, others are
refused; every metric takes ``levels=1.0`` for float images of 0..1, which scales them. A float batch that never exceeds
1 is refused until that is said, or ``levels=255`` that it is so dark; whole values of 0 and 1 alone pass, as so look
pictures that are nearly black. Everything is computed in float64; float32 and narrower images get float32 values. A
metric has one value per image, NaN where it is undefined and where a pixel of the three images is NaN or infinite.

For metrics of your own: ``aligned`` wraps the three images of a metric in ``Planes``, ``planes`` a single batch;
``per_image`` makes a function keep these rules.
The examples in the docstrings take ``torch`` and the metric for imported. ``__init__.pyi`` beside this file tells type
checkers the names.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_HELPERS = {"MeanOverImages": "_stateful", "as_on_a_device": "_device"} | dict.fromkeys(
    ("Planes", "aligned", "per_image", "planes"), "_planes"
)


@cache
def _modules() -> dict[str, str]:
    """Module of every function and class, from the cards."""
    names: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        card = tomllib.loads(path.read_text(encoding="utf-8"))
        if card.get("kind") == "metric":
            module = card.get("module", path.stem)
            names |= {card["object"]: module, card["object"].replace("_", "").upper(): module}
    return names


def __getattr__(name: str) -> object:
    module = _HELPERS.get(name) or (None if name.startswith("_") else _modules().get(name))
    if module is None:
        raise AttributeError(f"fusionbench.metrics has no {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*_modules(), *_HELPERS})


class _Package(ModuleType):
    """Keeps a function in place when the import system puts the submodule of the same name here."""

    def __setattr__(self, name: str, value: object) -> None:
        function = getattr(value, name, None) if isinstance(value, ModuleType) else None
        super().__setattr__(name, function if callable(function) else value)


sys.modules[__name__].__class__ = _Package
