"""What benchmarks/same_data.py trains: a run for every recipe of a method, after those whose weights it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fusionbench.plugins.trainable import Training, trainings
from fusionbench.training.recipe import Recipe

NAME = "same"  # of the dataset and of the weights


@dataclass(frozen=True)
class Job:
    """One training run.

    Attributes:
        name: of the method, or of a task's network.
        stage: of its recipe, or "".
        pairs: to be seen.
        entry: name of the weights that come out.
        start: the weights to begin with, or "".
        row: whether the weights are scored; those that only another run needs are not.
        given: settings that name other runs' folders.
        network: whether it is a task's network.
    """

    name: str
    stage: str
    pairs: int
    entry: str
    start: str = ""
    row: bool = True
    given: tuple[tuple[str, Path], ...] = ()
    network: bool = False

    @property
    def folder(self) -> Path:
        """Of the run."""
        return Path("runs") / f"{self.name}-{self.entry}"

    @property
    def ready(self) -> bool:
        """Whether what it needs is trained."""
        needed = [path for _, path in self.given] + ([Path("runs") / f"{self.name}-{self.start}"] if self.start else [])
        return all((path / "weights.safetensors").is_file() for path in needed)

    @property
    def done(self) -> bool:
        """Whether the weights are there."""
        return (self.folder / "weights.safetensors").is_file()

    def command(self) -> list[str]:
        """Arguments of ``fusionbench``."""
        words = ["train", self.name, "--datasets", NAME, "--data-root", "data", "--size", "tiny", "--resume"]
        words += ["--pairs", str(self.pairs), "--out", str(self.folder)]
        words += [] if self.network else ["--as", self.entry]
        words += ["--stage", self.stage] if self.stage else []
        words += ["--from", self.start] if self.start else []
        return [*words, *(["--cfg-options", *(f"{key}={path}" for key, path in self.given)] if self.given else [])]


def recipes() -> list[Training]:
    """Those of methods, a plugin's too."""
    return [training for training in trainings() if training.card.kind == "method"]


def earlier(last: Training) -> list[Training]:
    """The stages whose weights one needs, first to last."""
    found: list[Training] = []
    for stage in (last.after, *last.weights.values()):
        for other in recipes():
            if stage and (other.name, other.stage) == (last.name, stage):
                found += [part for part in (*earlier(other), other) if part not in found]
    return found


def networks(last: Training) -> dict[str, str]:
    """The networks of tasks that one needs, by the setting that takes their weights."""
    if not last.weights:
        return {}
    recipe = last.make()
    assert isinstance(recipe, Recipe)
    settings = recipe.presets.choose([NAME], size="tiny")
    return {key: getattr(settings, source) for key, source in last.weights.items() if hasattr(settings, source)}


def jobs(pairs: int) -> list[Job]:
    """What is to be trained, each after what it needs."""
    found: list[Job] = []
    for last in recipes():
        end = f"{NAME}-{last.stage}" if last.stage else NAME
        parts = [*earlier(last), last]
        made = {part.stage: f"{end}-after-{part.stage}" if part is not last else end for part in parts}
        for part in parts:
            needed = {key: Job(last.name, "", 0, made[s]) for key, s in part.weights.items() if s in made}
            for key, name in networks(part).items():
                if key not in needed:
                    needed[key] = Job(name, "", pairs, NAME, row=False, network=True)
                    found += [needed[key]] if needed[key] not in found else []
            given = tuple((key, job.folder) for key, job in needed.items())
            start, share = made[part.after] if part.after else "", pairs // len(parts)
            found.append(Job(last.name, part.stage, share, made[part.stage], start, part is last, given))
    return found
