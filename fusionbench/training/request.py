"""What is to be trained, as a plain record: recipe, datasets, settings, folder. Nothing is read or run here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fusionbench.data import Dataset, open_spec
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.trainable import Training, training
from fusionbench.training.config import FREE, config_text, load_config
from fusionbench.training.trained import WEIGHTS, portable


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """One training run.

    Attributes:
        name: a method, or a network of a task.
        datasets: ``name`` or ``name=folder`` of each.
        stage: of methods that are trained in stages.
        size: a size of the recipe, or None for the published one.
        entry: the entry whose fused pictures a task network is trained on, or None for the visible images.
        options: ``key=value`` changes of the settings.
        folder: of the run, or None for one below ``runs``.
        resume: go on from the newest checkpoint.
        weights_name: of the entry that a trained method becomes.
        device: ``cpu``, ``cuda``, ``cuda:1``...
        data_root: where the datasets lie.
    """

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
    def chosen(self) -> Training:
        """The recipe, by name and stage.

        Raises:
            FusionbenchError: no such name or stage.
        """
        return training(self.name, self.stage)

    @cached_property
    def training(self) -> Training:
        """The recipe, for these datasets.

        Raises:
            FusionbenchError: no such name or stage, or options that do not go together.
        """
        found = self.chosen
        if len(self.datasets) != 1 and not found.together:
            raise FusionbenchError(
                f"{self.name} is trained on one dataset; give --dataset one of: {', '.join(found.datasets)}"
            )
        if self.entry and found.network is None:
            raise FusionbenchError(
                f"{self.name} is trained on the source pairs; only task networks are trained on an entry's pictures"
            )
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The datasets' names, without folders."""
        return tuple(spec.partition("=")[0] for spec in self.datasets)

    @cached_property
    def config(self) -> Any:
        """The recipe's settings with size and options applied, the datasets' names, and whose pictures they are."""
        for name in self.names:
            path = self.training.config_file(name)
        if self.training.network and any(option.startswith("network=") for option in self.options):
            raise FusionbenchError(f"{self.name} is the network; for another one: fusionbench train OTHER")
        config = load_config(path, self.options, self.size, self.training.network)
        config.merge_from_dict({"datasets": list(self.names), **({"on": self.entry} if self.entry else {})})
        return config

    def settings_text(self) -> str:
        """The settings as JSON."""
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

    @property
    def weights(self) -> Path:
        """Where the trained weights will lie."""
        return self.out / WEIGHTS

    @cached_property
    def opened(self) -> dict[str, Dataset]:
        """The datasets by name.

        Raises:
            FusionbenchError: one is not there.
        """
        return {name: open_spec(spec, self.data_root) for name, spec in zip(self.names, self.datasets, strict=True)}

    def trained_on(self) -> str:
        """What the weights were trained on, in a clause."""
        where = []
        for name, dataset in self.opened.items():
            where.append(f"generated {name} ({dataset.origin.source})" if dataset.origin else name)
        seed = self.config.get("train", {}).get("seed", 0)
        size = f", size {self.size}" if self.size else ""
        on = f", {self.entry} pictures" if self.entry else ""
        said = {"train.seed", *(f"train.{name}" for name in FREE)}  # said above, or without effect on the weights
        changed = "".join(f", {portable(o)}" for o in self.options if o.partition("=")[0] not in said)
        return f"{' + '.join(where)}{on}{size}, seed {seed}{changed}"
