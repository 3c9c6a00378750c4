"""What a recipe's methods return, looked at before it is used: a recipe is somebody's own program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from fusionbench.errors import PluginError
from fusionbench.training.data import TrainingSplit
from fusionbench.training.order import Step
from fusionbench.training.recipe import Recipe, Stateful

NEEDED = ("build", "state", "batches", "load", "step", "export")


def missing(recipe: Recipe[Any, Any]) -> list[str]:
    """Methods that every recipe has to write, and this one has not."""
    return [name for name in NEEDED if getattr(type(recipe), name) is getattr(Recipe, name)]


def scalars(recipe: Recipe[Any, Any], method: str, values: object) -> Mapping[str, Tensor | float]:
    """Numbers by name.

    Raises:
        PluginError: something else.
    """
    if not isinstance(values, Mapping):
        raise _wrong(recipe, method, type(values).__name__, "numbers by name")
    for name, value in values.items():
        if not isinstance(name, str) or not _is_number(value):
            raise _wrong(recipe, method, f"{_kind(value)} for {name!r}", "numbers by name")
    return values


def objects(recipe: Recipe[Any, Any], values: object) -> Mapping[str, Stateful]:
    """Modules, optimisers and the like by name.

    Raises:
        PluginError: something else.
    """
    what = "objects with state_dict and load_state_dict by name"
    if not isinstance(values, Mapping):
        raise _wrong(recipe, "state", type(values).__name__, what)
    for name, value in values.items():
        if not isinstance(name, str) or not all(hasattr(value, part) for part in ("state_dict", "load_state_dict")):
            raise _wrong(recipe, "state", f"{_kind(value)} for {name!r}", what)
    return values


def steps(recipe: Recipe[Any, Any], values: object) -> list[Step]:
    """The steps of an epoch.

    Raises:
        PluginError: something else.
    """
    if not isinstance(values, Sequence) or not all(isinstance(step, Step) for step in values):
        kinds = {type(step).__name__ for step in values} if isinstance(values, Sequence) else {type(values).__name__}
        raise _wrong(recipe, "batches", ", ".join(sorted(kinds)), "a sequence of Steps")
    return list(values)


def splits(recipe: Recipe[Any, Any], values: object) -> list[TrainingSplit]:
    """What a recipe reads.

    Raises:
        PluginError: something else.
    """
    if not isinstance(values, Sequence) or not all(isinstance(split, TrainingSplit) for split in values):
        raise _wrong(recipe, "reads", _kind(values), "a sequence of TrainingSplits")
    return list(values)


def tensors(recipe: Recipe[Any, Any], values: object) -> dict[str, Tensor]:
    """What training was for.

    Raises:
        PluginError: no tensors by name.
    """
    if not isinstance(values, Mapping):
        raise _wrong(recipe, "export", type(values).__name__, "tensors by name")
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise _wrong(recipe, "export", f"{_kind(value)} for {name!r}", "tensors by name")
    return dict(values)


def _is_number(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex()
    return hasattr(value, "__float__") and getattr(value, "ndim", 0) == 0


def _kind(value: object) -> str:
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _wrong(recipe: Recipe[Any, Any], method: str, what: str, needed: str) -> PluginError:
    return PluginError(f"{type(recipe).__name__}.{method} returned {what}; it has to return {needed}")
