"""A method, ready to fuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fusionbench.errors import FusionbenchError, PluginError, WeightsError
from fusionbench.plugins.cards import MethodCard
from fusionbench.plugins.misfit import misfit
from fusionbench.plugins.records import Value
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.weights import Weights, verify
from fusionbench.runtime.flushing import flushing

if TYPE_CHECKING:
    from fusionbench.plugins.method import Method
    from fusionbench.runtime.arithmetic import Arithmetic


def built(
    card: MethodCard,
    options: Mapping[str, Value],
    weights: Weights | None,
    device: str,
    arithmetic: Arithmetic,
    name: str,
    untrained: bool = False,
) -> Method:
    """Instantiate a method, load its weights, move it to a device; with weights, have its networks compute as asked.

    An untrained one loads none, and its networks stay as they were drawn.

    Raises:
        PluginError: when the plugin fails to start; it begins with ``name``.
        WeightsError: when the checkpoint is damaged.
    """
    path = verify(weights) if weights else None
    try:
        # networks draw weights before they load theirs; torch's threads that begin here go on flushing
        with same_random(), flushing():
            method: Method = resolve("method", card.name)(**options)
            if not untrained:
                method.load(path)
            method.to(device)
            if weights or untrained:
                method.compute(arithmetic)
    except (FusionbenchError, OSError):
        raise
    except Exception as error:
        if weights and (differences := misfit(str(error))):
            raise WeightsError(
                f"{weights.path}: does not fit {card.name}: {differences}; the network was changed "
                "since, or it is another's checkpoint: take the code that it was trained with, or train it again"
            ) from None
        raise PluginError(f"{name}: {card.source}: {type(error).__name__}: {error}") from error
    return method


@contextmanager
def same_random() -> Iterator[None]:
    """Inside, torch's CPU generator may be used; outside it goes on as if it had not been."""
    import torch

    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)
