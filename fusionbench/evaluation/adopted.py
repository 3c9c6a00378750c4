"""Checkpoints of task networks that other programs trained, brought into the form of our own runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fusionbench.data import Dataset
from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.plugins.tensors import fitting, read_tensors
from fusionbench.plugins.weights import sha256
from fusionbench.runtime.files import check_regular
from fusionbench.runtime.reasons import reason
from fusionbench.tasks.loading import load_network
from fusionbench.tasks.openmmlab.checkpoints import fit_inner
from fusionbench.tasks.task import Task, task, task_of
from fusionbench.training.trained import WEIGHTS, facts_of, weights_file

if TYPE_CHECKING:
    from torch import Tensor


def is_ours(path: Path) -> bool:
    """Whether `fusionbench train` wrote a file, or a run's folder."""
    if path.is_dir():
        return True
    try:
        facts_of(path)
    except FusionbenchError:
        return False
    return True


def adopt(path: Path, network: str, dataset: Dataset, tasks: tuple[str, ...], folder: Path) -> Path:
    """Write another program's checkpoint as a run of ours, from which it is scored.

    Args:
        path: the checkpoint; nothing in it is executed.
        network: a name of a task's card, or the path of an OpenMMLab config, **which is Python that is run**.
        dataset: whose classes the network tells, in the dataset's order.
        tasks: those asked for; with a config there is one.
        folder: gets a folder for it.

    Returns:
        That folder.

    Raises:
        FusionbenchError: no such file or network, or tensors that are not this network's, in one line.
    """
    check_regular_file(path)
    owner = _owner(network, tasks)
    built = owner.build(network, dataset)
    what = f"{Path(network).name} with {len(owner.classes(dataset))} classes of {dataset.name}"
    state, remark = fitting(read_tensors(path), path, what, lambda tensors: fit_inner(built, tensors))
    facts: dict[str, object] = {
        "name": network if network in owner.networks else Path(network).stem,
        "task": owner.name,
        "classes": list(owner.classes(dataset)),
        "ignore_index": dataset.ignore_index,
        "datasets": [dataset.name],
        "config": {"channels": built.channels},
        "trained_on": f"{path.name} of another program" + (" (averaged)" if remark else ""),
    }
    home = folder / f"{owner.name}-{dataset.name}-{sha256(path)[:12]}"
    write(home / WEIGHTS, {**built.state_dict(), **state}, facts)
    return home


def narrowed(path: Path, dataset: Dataset, folder: Path) -> Path:
    """A network that tells other classes, kept as one that tells a dataset's: the rows of these classes stay.

    Args:
        path: of a run of ours, or of one that was added.
        dataset: whose classes to tell; rows of a class that the network does not know begin at random.
        folder: below which it is kept.

    Returns:
        The run's folder; `path` itself where the classes are the same.

    Raises:
        FusionbenchError: not a network of ours, no class is shared, or it cannot be written.
    """
    from safetensors.torch import load_file

    network, facts = load_network(path)
    owner, trained = task(facts["task"]), tuple(facts["classes"])
    if trained == owner.classes(dataset):
        return path
    places = owner.places(trained, dataset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        own = owner.build(facts["name"], dataset, network.channels).state_dict()
    tensors = load_file(weights_file(path))
    for name, value in own.items():
        given = tensors[name]
        if given.shape != value.shape:
            if (len(given), given.shape[1:]) != (len(trained), value.shape[1:]):
                raise WeightsError(f"{path}: {name} has no row for each of {len(trained)} classes")
            tensors[name] = torch.stack([given[i] if i >= 0 else value[n] for n, i in enumerate(places)])
    home = folder / f"{owner.name}-{dataset.name}-{sha256(weights_file(path))[:12]}"
    write(home / WEIGHTS, tensors, {**facts, "classes": list(owner.classes(dataset)), "datasets": [dataset.name]})
    return home


def check_regular_file(path: Path) -> None:
    """Refuse what is no file.

    Raises:
        FusionbenchError: it is not there, or a pipe or device.
    """
    if not path.exists() or path.is_dir():
        raise FusionbenchError(f"{path}: no such file")
    check_regular(path, "the checkpoint")


def _owner(network: str, tasks: tuple[str, ...]) -> Task:
    if not network.endswith(".py"):
        owner = task_of(network)
        if owner.name not in tasks:
            raise FusionbenchError(f"network={network}: is of {owner.name}, which is not among tasks={','.join(tasks)}")
        return owner
    if len(tasks) != 1:
        raise FusionbenchError(f"network={network}: a config goes with one task at a time, not with {', '.join(tasks)}")
    return task(tasks[0])


def write(path: Path, tensors: Mapping[str, Tensor], facts: dict[str, object]) -> None:
    """Write tensors and facts as a run of ours.

    Raises:
        FusionbenchError: it cannot be written.
    """
    from safetensors.torch import save_file

    from fusionbench.pixels.images import atomic

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as part:
            whole = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
            save_file(whole, part, {"fusionbench": json.dumps(facts, sort_keys=True)})
    except OSError as error:
        raise FusionbenchError(f"{path}: cannot be written ({reason(path, error)})") from None
