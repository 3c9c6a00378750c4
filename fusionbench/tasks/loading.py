"""Trained task networks, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusionbench.errors import FusionbenchError
from fusionbench.tasks.network import TaskNetwork
from fusionbench.tasks.task import task
from fusionbench.training.trained import facts_of, weights_file


def load_network(path: Path, device: str = "cpu", config: str = "") -> tuple[TaskNetwork, dict[str, Any]]:
    """A trained task network in evaluation mode, and what is known of it.

    Args:
        path: a run's folder, or its ``weights.safetensors``.
        device: where to.
        config: the OpenMMLab config that the user named for it, which is run; "" for the name in the file.

    Returns:
        The network; its facts: ``task``, ``name``, ``classes``, ``config``, ``trained_on``.

    Raises:
        FusionbenchError: no such file, not a task network's, or it does not fit its network.
    """
    from safetensors.torch import load_file

    file, facts = weights_file(path), facts_of(path)
    try:
        name, kind = str(facts["name"]), facts.get("task")
        if not kind:
            raise FusionbenchError(f"{file}: holds {name}, which is no task network")
        classes, channels, ignored = tuple(facts["classes"]), facts["config"]["channels"], facts["ignore_index"]
    except (KeyError, TypeError, AttributeError):
        raise FusionbenchError(f"{file}: not a file that `fusionbench train` wrote") from None
    owner = task(str(kind))
    if not config and name not in owner.networks:  # a name from a file never chooses a config file, which is a program
        raise FusionbenchError(f"{file}: {name!r} is no network of the task {owner.name}")
    network = owner.make(config or name, classes, channels, ignore_index=ignored)
    try:
        network.load_state_dict(load_file(file))
    except RuntimeError as error:
        raise FusionbenchError(f"{file}: does not fit {name}: {str(error).splitlines()[0]}") from None
    return network.to(device).eval().requires_grad_(False), facts
