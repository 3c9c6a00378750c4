"""Trained task networks, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusionbench.errors import FusionbenchError
from fusionbench.plugins.registry import resolve
from fusionbench.tasks.network import TaskNetwork
from fusionbench.training.trained import facts_of, weights_file


def load_network(path: Path, device: str = "cpu") -> tuple[TaskNetwork, dict[str, Any]]:
    """A trained task network in evaluation mode, and what is known of it.

    Args:
        path: a run's folder, or its ``weights.safetensors``.
        device: where to.

    Returns:
        The network; its facts: ``task``, ``name``, ``classes``, ``config``, ``trained_on``.

    Raises:
        FusionbenchError: no such file, not a task network's, or it does not fit its network.
    """
    from safetensors.torch import load_file

    file, facts = weights_file(path), facts_of(path)
    if "task" not in facts:
        raise FusionbenchError(f"{file}: holds {facts['name']}, which is no task network")
    task = resolve("task", facts["task"])()
    if facts["name"] not in task.networks:  # a name from a file never chooses a config file, which is a program
        raise FusionbenchError(f"{file}: {facts['name']!r} is no network of the task {task.name}")
    network = task.make(
        facts["name"],
        tuple(facts["classes"]),
        facts["config"]["channels"],
        ignore_index=facts["ignore_index"],
    )
    try:
        network.load_state_dict(load_file(file))
    except RuntimeError as error:
        raise FusionbenchError(f"{file}: does not fit {facts['name']}: {str(error).splitlines()[0]}") from None
    return network.to(device).eval().requires_grad_(False), facts
