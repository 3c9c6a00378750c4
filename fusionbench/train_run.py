"""From what a user asked to a finished run: settings, data, the loop, and the weights that come out."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fusionbench.errors import FusionbenchError
from fusionbench.trainable import Training, training

WEIGHTS, SOURCE = "weights.safetensors", "source.json"


@dataclass(frozen=True)
class Order:
    """One call of ``fusionbench train``; the attributes are its options."""

    name: str
    datasets: tuple[str, ...]
    stage: str | None = None
    size: str | None = None
    entry: str | None = None
    options: tuple[str, ...] = ()
    folder: Path | None = None
    resume: bool = False
    weights_name: str | None = None
    device: str = "cpu"
    data_root: Path | None = None

    @cached_property
    def training(self) -> Training:
        """The recipe.

        Raises:
            FusionbenchError: no such name or stage, or options that do not go together.
        """
        found = training(self.name, self.stage)
        if len(self.datasets) != 1 and not found.together:
            raise FusionbenchError(
                f"{self.name} is trained on one dataset; give --dataset one of: {', '.join(found.datasets)}"
            )
        if self.entry and found.network is None:
            raise FusionbenchError(f"--on is for task networks; {self.name} is trained on the source pairs")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The datasets' names, without folders."""
        return tuple(spec.partition("=")[0] for spec in self.datasets)

    @cached_property
    def config(self) -> Any:
        """The recipe's settings with size and options applied, the datasets' names, and whose pictures they are."""
        from fusionbench.training.config import load_config

        for name in self.names:
            path = self.training.config_file(name)
        if self.training.network and any(option.startswith("network=") for option in self.options):
            raise FusionbenchError(f"{self.name} is the network; for another one: fusionbench train OTHER")
        config = load_config(path, self.options, self.size, self.training.network)
        config.merge_from_dict({"datasets": list(self.names), **({"on": self.entry} if self.entry else {})})
        return config

    def settings_text(self) -> str:
        """The settings as JSON."""
        from fusionbench.training.config import config_text

        return config_text(self.config)

    @cached_property
    def label(self) -> str:
        """Name of the run's folder: ``tdfusion-fmb-tiny-seed1``."""
        parts = [self.name, *([self.stage] if self.stage else []), "+".join(self.names)]
        parts += [f"on-{self.entry}"] if self.entry else []
        parts += [self.size] if self.size else []
        seed = self.config.get("train", {}).get("seed", 0)
        return re.sub(r"[^A-Za-z0-9._+-]+", "_", "-".join([*parts, *([f"seed{seed}"] if seed else [])])).strip("_")

    @property
    def out(self) -> Path:
        """The run's folder."""
        return self.folder or Path("runs") / self.label

    @cached_property
    def opened(self) -> dict[str, Any]:
        """The datasets by name.

        Raises:
            FusionbenchError: one is not there.
        """
        from fusionbench.plan import open_dataset

        return {name: open_dataset(spec, self.data_root) for name, spec in zip(self.names, self.datasets, strict=True)}

    def trained_on(self) -> str:
        """What the weights were trained on, in a clause."""
        from fusionbench.training.config import FREE

        where = []
        for name, dataset in self.opened.items():
            made = dataset.origin
            where.append(f"generated {name} ({made['generator']}, seed {made.get('seed')})" if made else name)
        seed = self.config.get("train", {}).get("seed", 0)
        size = f", size {self.size}" if self.size else ""
        on = f", {self.entry} pictures" if self.entry else ""
        told = {"train.seed", *(f"train.{name}" for name in FREE)}  # said above, or without effect on the weights
        changed = "".join(f", {without_folder(o)}" for o in self.options if o.partition("=")[0] not in told)
        return f"{' + '.join(where)}{on}{size}, seed {seed}{changed}"


def without_folder(value: Any) -> Any:
    """Settings as they may be told to others: a file or a run's folder by name and start of SHA-256, not by its path.

    Args:
        value: a setting, a text ``key=value``, or dicts and lists of settings.
    """
    from fusionbench.weights import sha256

    if isinstance(value, Mapping):
        return {key: without_folder(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folder(each) for each in value]
    if not isinstance(value, str) or "/" not in value:
        return value
    key, equals, text = value.rpartition("=")
    path = Path(text)
    file = path / WEIGHTS if path.is_dir() else path
    told = f"{path.name}@{sha256(file)[:8]}" if file.is_file() else path.name if path.is_absolute() else text
    return f"{key}{equals}{told}"


def command_line() -> str:
    """What the user typed, for the provenance."""
    return " ".join(["fusionbench", *sys.argv[1:]])


def run(
    order: Order,
    command: str,
    note: Callable[[str], None],
    max_steps: int | None = None,
    max_seconds: float | None = None,
    pictures: Mapping[str, Path] | None = None,
    quiet: bool = False,
) -> list[str]:
    """Train, save the weights, and make a method's an entry.

    Args:
        order: what to train.
        command: for the provenance.
        note: takes remarks.
        max_steps: stop early, see :func:`fusionbench.training.loop.train`.
        max_seconds: likewise.
        pictures: fused pictures of the training split by id, for task networks; made where ``order.entry`` asks.
        quiet: no progress bar.

    Returns:
        Lines that say what came out.

    Raises:
        FusionbenchError: anything a user can mend.
    """
    chosen = order.training  # before torch is loaded, so that a wrong name is answered at once
    from fusionbench.allocator import keep_memory
    from fusionbench.cli.evaluate import check_device
    from fusionbench.training.loop import train

    keep_memory()
    recipe, config = chosen.make(), order.config
    check_device(order.device)
    recipe.datasets = order.opened
    if order.entry and pictures is None:
        from fusionbench.downstream import fused_pictures

        pictures = fused_pictures(order, note)
    if pictures is not None:
        recipe.pictures_of = pictures
    result = train(
        recipe,
        config,
        order.out,
        order.resume,
        device=order.device,
        max_steps=max_steps,
        max_seconds=max_seconds,
        command=command,
        quiet=quiet,
        note=note,
    )
    if not result.finished:
        return [f"{result.checkpoint}: {result.step} steps are done; the same command with --resume goes on"]
    return _finish(order, recipe, result) if os.environ.get("RANK", "0") == "0" else []  # its group has ended


def _finish(order: Order, recipe: Any, result: Any) -> list[str]:
    """Save the weights beside the checkpoint, and register a method's."""
    from fusionbench import weights

    path = order.out / WEIGHTS
    save(path, recipe.export(), order)
    lines = [f"{path}: the weights after {result.step} steps"]
    if order.training.card.kind == "method":
        name = order.weights_name or order.label.removeprefix(f"{order.name}-").replace("+", "-")
        added = weights.add(order.name, path, name, order.trained_on(), replace=True)
        lines.append(
            f"{order.name}[{added.name}] is an entry now: fusionbench eval --methods '{order.name}[{added.name}]'"
        )
    return lines


def save(path: Path, tensors: Mapping[str, Any], order: Order) -> None:
    """Write tensors with what they are: network or method, classes, dataset, settings.

    Raises:
        FusionbenchError: the file cannot be written.
    """
    import json

    from safetensors.torch import save_file

    from fusionbench.training.config import plain_config

    config = plain_config(order.config)
    facts = {
        "name": order.name,
        "stage": order.stage or "",
        "datasets": list(order.names),
        "trained_on": order.trained_on(),
        "on": order.entry or "",
        "config": without_folder(config),
    }
    if order.training.network:
        from fusionbench.registry import resolve

        (dataset,) = order.opened.values()
        task = resolve("task", order.training.card.name)()
        facts |= {"task": task.name, "classes": list(task.classes(dataset)), "ignore_index": dataset.ignore_index}
    if config.get("train", {}).get("half"):
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

    Raises:
        FusionbenchError: no such file, or not one of ours.
    """
    import json

    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        path = path / WEIGHTS
    if not path.is_file():
        raise FusionbenchError(f"{path}: no trained weights here; make them with `fusionbench train`")
    try:
        with safe_open(path, "pt") as file:
            return json.loads((file.metadata() or {})["fusionbench"])
    except (SafetensorError, OSError, KeyError, ValueError):
        raise FusionbenchError(f"{path}: not a file that `fusionbench train` wrote") from None


def load_network(path: Path, device: str = "cpu") -> tuple[Any, dict[str, Any]]:
    """A trained task network in evaluation mode, and what is known of it.

    Args:
        path: a run's folder, or its ``weights.safetensors``.
        device: where to.

    Returns:
        The :class:`fusionbench.tasks._base.TaskNetwork`; its facts: ``task``, ``name``, ``classes``, ``config``,
        ``trained_on``.

    Raises:
        FusionbenchError: no such file, not a task network's, or it does not fit its network.
    """
    from safetensors.torch import load_file

    from fusionbench.registry import resolve

    file = path / WEIGHTS if path.is_dir() else path
    facts = facts_of(path)
    if "task" not in facts:
        raise FusionbenchError(f"{file}: holds {facts['name']}, which is no task network")
    task = resolve("task", facts["task"])()
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
