"""What is to be trained, as a plain record: recipe, datasets, settings, folder. Nothing is read or run here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fusionbench.data import Dataset, open_spec
from fusionbench.data.layout import DEFAULT
from fusionbench.data.pairing import Reading
from fusionbench.errors import FusionbenchError, PluginError
from fusionbench.naming import matches
from fusionbench.plugins.cards import cards
from fusionbench.plugins.trainable import Training, training
from fusionbench.plugins.weights import NAME, sha256
from fusionbench.training.recipe import Recipe
from fusionbench.training.settings import FREE, Settings, flat, flat_name, settings_text
from fusionbench.training.trained import WEIGHTS, portable, start_file


def _known_spec(spec: str) -> str:
    """``name`` or ``name=folder`` with the dataset's own name; as it is where there is none, which recipes refuse."""
    name, equals, text = spec.partition("=")
    known = cards("dataset")
    found = matches(name, known, {n: (c.title,) for n, c in known.items()})
    return (found[0] if len(found) == 1 else name) + equals + text


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """One training run.

    Attributes:
        name: a method, or a network of a task.
        datasets: ``name`` or ``name=folder`` of each.
        stage: of methods that are trained in stages.
        size: a size of the recipe, or None for the published one.
        entry: the entry whose fused pictures a task network is trained on, or None for the visible images.
        file: values of a config file, flat or in sections, which replace the recipe's.
        options: ``key=value`` changes of the settings, applied after the file's.
        folder: of the run, or None for one below ``runs``.
        resume: go on from the newest checkpoint.
        weights_name: of the entry that a trained method becomes.
        device: ``cpu``, ``cuda``, ``cuda:1``...
        data_root: where the datasets lie.
        start: weights to start from: a checkpoint, a run's folder, or the name of weights of the method; "" for none.
        reading: how the datasets' files are read and paired, where no card says it.
    """

    name: str
    datasets: tuple[str, ...]
    stage: str | None = None
    size: str | None = None
    entry: str | None = None
    file: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options: tuple[str, ...] = ()
    folder: Path | None = None
    resume: bool = False
    weights_name: str | None = None
    device: str = "cpu"
    data_root: Path | None = None
    start: str = ""
    reading: Reading = DEFAULT

    @cached_property
    def start_file(self) -> Path | None:
        """The file to start from.

        Raises:
            FusionbenchError: there is none.
        """
        return start_file(self.start, None if self.training.network else self.name) if self.start else None

    def canonical(self) -> TrainRequest:
        """The same request with every name as it is, however it was typed.

        Raises:
            FusionbenchError: no such name, stage, dataset or size, or several that may be meant; or a name that no
                weights can have.
        """
        if self.weights_name is not None and not NAME.fullmatch(self.weights_name):
            raise FusionbenchError(f"weights_name={self.weights_name}: take letters, digits, dot, - and _")
        chosen = training(self.name, self.stage)
        request = replace(
            self,
            name=chosen.name,
            stage=chosen.stage if self.stage else None,
            datasets=tuple(_known_spec(spec) for spec in self.datasets),
        )
        if self.size is None:
            return request
        return replace(request, size=request.recipe().presets.size(self.size))

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
        chosen = self.chosen
        if len(self.datasets) != 1 and not chosen.together:
            raise FusionbenchError(
                f"{self.name} is trained on one dataset; give dataset= one of: {', '.join(chosen.datasets)}"
            )
        for name in self.names:
            chosen.check_dataset(name)
        if self.entry and chosen.network is None:
            raise FusionbenchError(
                f"{self.name} is trained on the source pairs; only task networks are trained on an entry's pictures"
            )
        return chosen

    @property
    def names(self) -> tuple[str, ...]:
        """The datasets' names, without folders."""
        return tuple(spec.partition("=")[0] for spec in self.datasets)

    def recipe(self) -> Recipe[Any, Any]:
        """A new recipe.

        Raises:
            PluginError: the card names something that is none.
        """
        recipe = self.training.make()
        if not isinstance(recipe, Recipe) or not hasattr(recipe, "presets"):
            raise PluginError(f"{self.training.card.path}: {self.training.recipe} is no Recipe with presets")
        from fusionbench.training.returned import missing

        if lacking := missing(recipe):
            raise PluginError(f"{self.training.card.path}: {self.training.recipe} has no {', '.join(lacking)}")
        return recipe

    @cached_property
    def settings(self) -> Settings:
        """The recipe's settings with size, file and options applied, the datasets, and whose pictures they are.

        Raises:
            FusionbenchError: no such recipe, size or setting, or a value that does not fit.
        """
        network = self.training.network
        keys = [key for key, _ in flat(self.file)] + [option.partition("=")[0] for option in self.options]
        if network and any(matches(flat_name(key), ("network",)) for key in keys):
            raise FusionbenchError(f"{self.name} is the network; for another one: fusionbench train OTHER")
        rules = {name: rule for name in self.names if (rule := self.training.learnt_from(name))}
        settings: Settings = self.recipe().presets.choose(
            self.names,
            network=network,
            size=self.size,
            on=self.entry,
            file=self.file,
            options=self.options,
            like={name: rule.like for name, rule in rules.items() if rule.like},
            own={key: value for rule in rules.values() for key, value in rule.settings.items()},
        )
        return settings

    def settings_text(self) -> str:
        """The settings as JSON."""
        return settings_text(self.settings)

    @cached_property
    def label(self) -> str:
        """Name of the run's folder: ``tdfusion-fmb-tiny-seed1``."""
        parts = [self.name, *([self.stage] if self.stage else []), "+".join(self.names)]
        parts += [f"on-{self.entry}"] if self.entry else []
        parts += [self.size] if self.size else []
        seed = self.settings.seed
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
        specs = zip(self.names, self.datasets, strict=True)
        return {name: open_spec(spec, self.data_root, self.reading) for name, spec in specs}

    def trained_on(self) -> str:
        """What the weights were trained on, in a clause."""
        where = []
        for name, dataset in self.opened.items():
            where.append(f"generated {name} ({dataset.origin.source})" if dataset.origin else name)
        size = f", size {self.size}" if self.size else ""
        on = f", {self.entry} pictures" if self.entry else ""
        silent = {"seed", *FREE}  # stated anyway, or without effect on the weights
        options = [*(f"{key}={value}" for key, value in flat(self.file)), *self.options]
        shown = (portable(option) for option in options if not matches(flat_name(option.partition("=")[0]), silent))
        changes = "".join(f", {option}" for option in shown)
        start = f", from {self.start_file.name}@{sha256(self.start_file)[:8]}" if self.start_file else ""
        return f"{' + '.join(where)}{on}{size}, seed {self.settings.seed}{changes}{start}"
