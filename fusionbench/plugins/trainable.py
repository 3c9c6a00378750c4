"""What can be trained: ``[[training]]`` on the cards of methods and of tasks' networks. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fusionbench.errors import FusionbenchError, PluginError, find
from fusionbench.naming import matches
from fusionbench.plugins.cards import MethodCard, TaskCard, cards
from fusionbench.plugins.records import LearntFrom, TaskFacts
from fusionbench.plugins.registry import load_module


@dataclass(frozen=True)
class Training:
    """One recipe as a card declares it.

    Attributes:
        name: what the user types: a method, or a network of a task.
        card: of the method or task.
        stage: name of the stage where training has several, else "".
        recipe: ``module:Class``, the module below the plugin's package (of a plugin in a file, beside it).
        datasets: names for which there are recipes; others get the settings that are no dataset's own.
        together: whether several datasets are trained on at once.
        after: the stage whose weights this one begins with, "" for none.
        weights: settings that name a run whose weights are needed, each with a stage of this method, or with the
            setting that names the task's network of that run.
    """

    name: str
    card: MethodCard | TaskCard
    stage: str
    recipe: str
    datasets: tuple[str, ...]
    together: bool
    after: str = ""
    weights: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def network(self) -> str | None:
        """The network's name where a task's network is trained, else None."""
        return self.name if self.card.kind == "task" else None

    def check_dataset(self, dataset: str) -> None:
        """Refuse a dataset that the recipe is not for.

        A task's network learns from any that has the task's label, and all from those whose cards say so.

        Raises:
            FusionbenchError: it has other datasets.
        """
        label = self.card.facts.needs if isinstance(self.card.facts, TaskFacts) else ""
        other = cards("dataset").get(dataset)
        labelled = label and other and (label in other.facts.layout or other.facts.generic)
        if dataset not in self.datasets and not labelled and self.learnt_from(dataset) is None:
            more = f", others with {label}" if label else ""
            known = ", ".join(self.datasets)
            raise FusionbenchError(
                f"no recipe of {self.name} for {dataset}; there are: {known}{more}, and those whose card says so under "
                "[[training]]"
            )

    def learnt_from(self, dataset: str) -> LearntFrom | None:
        """What a dataset's card says of learning this from it, or None."""
        other = cards("dataset").get(dataset)
        rules = other.facts.training if other else ()
        named = (self.name, self.card.name)
        return next((rule for name in named for rule in rules if rule.recipe == name), None)

    def make(self) -> object:
        """A new recipe.

        Raises:
            PluginError: the card names a class that cannot be imported.
        """
        module, _, name = self.recipe.partition(":")
        recipe = getattr(load_module(self.card, module), name, None)
        if recipe is None:
            raise PluginError(f"{self.card.path}: recipe {self.recipe}: {module} defines no {name!r}")
        made: object = recipe()
        return made


def trainings() -> list[Training]:
    """Everything that can be trained, by name."""
    every: list[tuple[MethodCard | TaskCard, tuple[str, ...]]] = []
    every += [(entry, (entry.name,)) for entry in cards("method").values()]
    every += [(entry, entry.facts.networks) for entry in cards("task").values()]
    return [
        Training(name, entry, rule.stage, rule.recipe, rule.datasets, rule.together, rule.after, rule.weights)
        for entry, known in every
        for rule in entry.facts.training
        for name in known
    ]


def training(name: str, stage: str | None = None) -> Training:
    """The recipe a user means.

    Raises:
        FusionbenchError: no such name or stage, or a stage must be chosen.
    """
    every = trainings()
    titles = {t.name: (t.card.title,) for t in every if t.network is None}
    name = find(name, [t.name for t in every], "nothing to train is called", titles)
    recipes = [training for training in every if training.name == name]
    stages = [training.stage for training in recipes]
    if stage is None and len(recipes) > 1:
        raise FusionbenchError(f"{name} is trained in stages: say {' or '.join(f'stage={stage}' for stage in stages)}")
    if stage is None:
        return recipes[0]
    found = matches(stage, [known for known in stages if known])
    if len(found) != 1:
        have = f"its stages are {', '.join(stages)}" if any(stages) else "it has no stages"
        raise FusionbenchError(f"{name} has no stage {stage!r}; {have}")
    return recipes[stages.index(found[0])]
