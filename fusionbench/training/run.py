"""From a request to a finished run: the loop, and the weights that come out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fusionbench.plugins import weights
from fusionbench.training.options import RunOptions
from fusionbench.training.request import TrainRequest
from fusionbench.training.trained import save

__all__ = ["RunOptions", "run"]


def run(request: TrainRequest, options: RunOptions, pictures: Mapping[str, Path] | None = None) -> list[str]:
    """Train, save the weights, and make a method's an entry.

    Args:
        request: what to train.
        options: how.
        pictures: fused pictures of the training split by id, for task networks; None for the visible images.

    Returns:
        Lines that say what came out; none in processes other than the first.

    Raises:
        FusionbenchError: anything a user can mend.
    """
    recipe, settings = request.recipe(), request.settings
    from fusionbench.runtime.device import check_device
    from fusionbench.training.loop import train

    check_device(request.device)
    recipe.datasets, recipe.pictures_of = request.opened, pictures
    result = train(recipe, settings, request.out, resume=request.resume, device=request.device, options=options)
    if not result.finished:
        return [f"{result.checkpoint}: {result.step} steps are done; the same command with resume=True goes on"]
    if not result.first:
        return []
    save(request.weights, recipe.export(), request)
    lines = [f"{request.weights}: the weights after {result.step} steps"]
    if request.training.card.kind == "method":
        name = request.weights_name or request.label.removeprefix(f"{request.name}-").replace("+", "-")
        added = weights.add(request.name, request.weights, name, request.trained_on(), replace=True)
        lines.append(
            f"{request.name}[{added.name}] is an entry now: fusionbench eval --methods '{request.name}[{added.name}]'"
        )
    return lines
