"""What a training run leaves: a safetensors file that says what it holds."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.errors import FusionbenchError
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.weights import sha256

if TYPE_CHECKING:
    from torch import Tensor

    from fusionbench.training.request import TrainRequest

WEIGHTS = "weights.safetensors"


def weights_file(path: Path) -> Path:
    """The weights of a run's folder, or the file itself."""
    return path / WEIGHTS if path.is_dir() else path


def portable(value: Any) -> Any:
    """Settings as others may see them: a file or a run's folder by name and start of SHA-256, not by its path.

    Args:
        value: a setting, a text ``key=value``, or dicts and lists of settings.
    """
    if isinstance(value, Mapping):
        return {key: portable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [portable(part) for part in value]
    if not isinstance(value, str) or "/" not in value:
        return value
    key, equals, text = value.rpartition("=")
    path = Path(text)
    file = weights_file(path)
    name = f"{path.name}@{sha256(file)[:8]}" if file.is_file() else path.name if path.is_absolute() else text
    return f"{key}{equals}{name}"


def save(path: Path, tensors: Mapping[str, Tensor], request: TrainRequest) -> None:
    """Write tensors with what they are: network or method, classes, dataset, settings.

    Raises:
        FusionbenchError: the file cannot be written.
    """
    from safetensors.torch import save_file

    facts: dict[str, Any] = {
        "name": request.name,
        "stage": request.stage or "",
        "datasets": list(request.names),
        "trained_on": request.trained_on(),
        "on": request.entry or "",
        "config": portable(asdict(request.settings)),
    }
    if request.training.network:
        (dataset,) = request.opened.values()
        task = resolve("task", request.training.card.name)()
        facts |= {"task": task.name, "classes": list(task.classes(dataset)), "ignore_index": dataset.ignore_index}
    if request.settings.half:
        tensors = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(dict(tensors), part, {"fusionbench": json.dumps(facts, sort_keys=True, default=str)})
        os.replace(part, path)
    except OSError as error:
        raise FusionbenchError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


def facts_of(path: Path) -> dict[str, Any]:
    """What :func:`save` wrote beside the tensors.

    Args:
        path: a run's folder, or its ``weights.safetensors``.

    Raises:
        FusionbenchError: no such file, or not one of ours.
    """
    from safetensors import SafetensorError, safe_open

    path = weights_file(path)
    if not path.is_file():
        raise FusionbenchError(f"{path}: no trained weights here; make them with `fusionbench train`")
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})["fusionbench"])
    except (SafetensorError, OSError, KeyError, ValueError):
        raise FusionbenchError(f"{path}: not a file that `fusionbench train` wrote") from None
    return facts
