"""Trained task networks, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fusionbench.errors import FusionbenchError
from fusionbench.tasks.network import TaskNetwork
from fusionbench.tasks.task import task
from fusionbench.training.trained import facts_of, weights_file


class Made(msgspec.Struct):
    """What a file says of how its network was made."""

    classes: Annotated[tuple[str, ...], msgspec.Meta(max_length=100_000)]
    channels: Literal[1, 3]
    ignored: int | None
    convention: Annotated[str, msgspec.Meta(max_length=100)]  # "": the pictures as they are


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
        channels = facts["config"]["channels"]
        said = {"classes": facts["classes"], "channels": channels, "ignored": facts["ignore_index"]}
        said["convention"] = facts.get("convention", "")
        made = msgspec.convert(said, Made)
    except (KeyError, TypeError, AttributeError, msgspec.ValidationError):
        raise FusionbenchError(f"{file}: not a file that `fusionbench train` wrote") from None
    owner = task(str(kind))
    if not config and name not in owner.networks:  # a name from a file never chooses a config file, which is a program
        raise FusionbenchError(f"{file}: {name!r} is no network of the task {owner.name}")
    try:
        network = owner.make(config or name, made.classes, made.channels, ignore_index=made.ignored)
        network.load_state_dict(load_file(file))
    except FusionbenchError:
        raise
    except Exception as error:  # the network's code, on whatever the file says and holds
        raise FusionbenchError(f"{file}: does not fit {name}: {(str(error).splitlines() or [''])[0]}") from None
    if made.convention:
        network = owner.seeing(network, made.convention)
    return network.to(device).eval().requires_grad_(False), facts
