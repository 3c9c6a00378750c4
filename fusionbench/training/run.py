"""From a request to a finished run: the loop, and the weights that come out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench.errors import FusionbenchError
from fusionbench.plugins import weights
from fusionbench.plugins.registry import resolve
from fusionbench.runtime.device import check_device, computing, device_kind
from fusionbench.runtime.files import sweep
from fusionbench.training.options import RunOptions
from fusionbench.training.request import TrainRequest
from fusionbench.training.trained import convention_of, portable, recorded

if TYPE_CHECKING:
    from torch import Tensor


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
    from fusionbench.training.loop import train
    from fusionbench.training.returned import tensors

    check_device(request.device)
    tf32 = getattr(settings, "precision", "fp32") == "tf32"
    if tf32 and device_kind(request.device) != "cuda":
        raise FusionbenchError("precision=tf32: only CUDA cards have TF32; take precision=fp32, or device=cuda")
    recipe.datasets, recipe.pictures_of, recipe.start = request.opened, pictures, request.start_file
    method, name = request.training.card, request.weights_name or _entry_name(request)
    if method.kind == "method":
        recipe.adapt = resolve("method", request.name)().convert
        recipe.accepts = partial(weights.check_names, request.name)
        if any(listed.name == name for listed in method.facts.weights):
            options.note(
                f"warning: {name} is the name of released weights of {request.name}; unless this run gives the same "
                "file, it will be no entry: choose another weights_name="
            )
    for dataset in request.opened.values():
        split = getattr(settings, "split", None)
        if split and (absent := dataset.unmatched(split)):
            options.note(f"warning: {absent}")
    with computing(tf32):
        result = train(recipe, settings, request.out, resume=request.resume, device=request.device, options=options)
    if not result.finished:
        return [f"{result.checkpoint}: {result.step} steps are done; the same command with resume=True goes on"]
    if not result.first:
        return []
    save(request.weights, tensors(recipe, recipe.export()), request)
    lines = [f"{request.weights}: the weights after {result.step} steps"]
    if method.kind == "method":
        added = weights.add(request.name, request.weights, name, request.trained_on(), replace=True)
        lines.append(
            f"{request.name}[{added.name}] is an entry now: fusionbench eval --methods '{request.name}[{added.name}]'"
        )
    return lines


def _entry_name(request: TrainRequest) -> str:
    """What a trained method's weights are called, where nobody says."""
    return request.label.removeprefix(f"{request.name}-").replace("+", "-")


def save(path: Path, tensors: Mapping[str, Tensor], request: TrainRequest) -> None:
    """Write tensors with what they are: network or method, classes, dataset, settings.

    Raises:
        FusionbenchError: the file cannot be written.
    """
    from safetensors.torch import save_file

    facts: dict[str, object] = {
        "name": request.name,
        "stage": request.stage or "",
        "datasets": list(request.names),
        "trained_on": request.trained_on(),
        "on": request.entry or "",
        "config": portable(recorded(request.settings)),
    }
    if request.training.network:
        (dataset,) = request.opened.values()
        task = resolve("task", request.training.card.name)()
        facts |= {"task": task.name, "classes": list(task.classes(dataset)), "ignore_index": dataset.ignore_index}
        if convention := convention_of(request.start_file):
            facts["convention"] = convention
    if request.settings.half:
        tensors = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    sweep(path.parent)
    try:
        save_file(dict(tensors), part, {"fusionbench": json.dumps(facts, sort_keys=True, default=str)})
        os.replace(part, path)
    except OSError as error:
        raise FusionbenchError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)
