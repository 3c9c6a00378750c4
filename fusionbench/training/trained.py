"""What a training run leaves, a safetensors file with facts in its header, as others find it; written by ``run``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fusionbench.errors import FusionbenchError, did_you_mean
from fusionbench.plugins.weights import installed, sha256
from fusionbench.training.settings import Settings

WEIGHTS = "weights.safetensors"
# Came after tables were published: how images come is in no record; the other only where it is not the default.
UNRECORDED, LATER = ("cache",), {"accumulate": 1, "resident": False}


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


def recorded(settings: Settings) -> dict[str, Any]:
    """The settings as they stand in records and are hashed."""
    return {n: v for n, v in asdict(settings).items() if n not in UNRECORDED and LATER.get(n) != v}


def settings_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 of settings as others may see them, the same before and after they stood in a file."""
    text = json.dumps(portable(settings), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def facts_of(path: Path) -> dict[str, Any]:
    """What a run wrote beside the tensors.

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


def convention_of(path: Path | None) -> str:
    """How the network of a file sees pictures, see :meth:`fusionbench.tasks.task.Task.seeing`; "" for as they are.

    Args:
        path: a run's folder or any checkpoint; None for none.
    """
    try:
        return str(facts_of(path).get("convention", "")) if path else ""
    except FusionbenchError:  # another program's
        return ""


def start_file(given: str, method: str | None) -> Path:
    """The file that a user means by weights to start from.

    Args:
        given: a checkpoint, a run's folder, or the name of weights of the method.
        method: whose weights go by name; None for networks of tasks.

    Raises:
        FusionbenchError: there is none.
    """
    path = weights_file(Path(given))
    if path.is_file():
        return path
    known = {weights.name: weights.path for weights in installed(method)} if method else {}
    name = given.removeprefix(f"{method}[").removesuffix("]")
    if name not in known:
        near = f"; {did_you_mean(name, known)}" if known else ""
        raise FusionbenchError(f"from={given}: no such file, run or weights{near}")
    return known[name]
