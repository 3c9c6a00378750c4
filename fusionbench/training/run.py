"""From a request to a finished run: the loop, and the weights that come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fusionbench.plugins import weights
from fusionbench.training.request import TrainRequest
from fusionbench.training.trained import save


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is done, which no weight depends on.

    Attributes:
        command: for the provenance.
        note: takes remarks, a line each.
        max_steps: stop early, see :func:`fusionbench.training.loop.train`.
        max_seconds: likewise.
        quiet: no progress bar.
    """

    command: str = ""
    note: Callable[[str], None] = lambda text: None
    max_steps: int | None = None
    max_seconds: float | None = None
    quiet: bool = False


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
    chosen = request.training  # before torch is loaded, so that a wrong name is answered at once
    from fusionbench.runtime.allocator import keep_memory
    from fusionbench.runtime.device import check_device
    from fusionbench.training.loop import train

    keep_memory()
    recipe, config = chosen.make(), request.config
    check_device(request.device)
    recipe.datasets = request.opened
    if pictures is not None:
        recipe.pictures_of = pictures
    result = train(
        recipe,
        config,
        request.out,
        request.resume,
        device=request.device,
        max_steps=options.max_steps,
        max_seconds=options.max_seconds,
        command=options.command,
        quiet=options.quiet,
        note=options.note,
    )
    if not result.finished:
        return [f"{result.checkpoint}: {result.step} steps are done; the same command with --resume goes on"]
    if not result.first:
        return []
    save(request.weights, recipe.export(), request)
    lines = [f"{request.weights}: the weights after {result.step} steps"]
    if chosen.card.kind == "method":
        name = request.weights_name or request.label.removeprefix(f"{request.name}-").replace("+", "-")
        added = weights.add(request.name, request.weights, name, request.trained_on(), replace=True)
        lines.append(
            f"{request.name}[{added.name}] is an entry now: fusionbench eval --methods '{request.name}[{added.name}]'"
        )
    return lines
