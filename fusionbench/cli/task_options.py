"""The options of ``fusionbench eval`` on downstream tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import Comma, names
from fusionbench.errors import FusionbenchError, did_you_mean
from fusionbench.naming import matches
from fusionbench.plugins.cards import card, cards

if TYPE_CHECKING:
    from fusionbench.evaluation.plan import Plan
    from fusionbench.evaluation.task_plan import TaskRequest


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Which task networks are trained and scored."""

    tasks: Annotated[
        tuple[str, ...],
        click.option(
            "--tasks",
            type=Comma(),
            default=(),
            shell_complete=names("task"),
            help="Downstream tasks, e.g. detection.",
        ),
    ]
    task_networks: Annotated[
        tuple[str, ...],
        click.option(
            "--task-networks", type=Comma(), default=(), help="Other networks than the recipes', e.g. yolox-s."
        ),
    ]
    task_protocols: Annotated[
        tuple[str, ...],
        click.option(
            "--task-protocols", type=Comma(), default=("retrained", "frozen"), help="retrained, frozen [both]."
        ),
    ]
    task_size: Annotated[
        str | None,
        click.option("--task-size", help="Size of the task networks' recipes, e.g. tiny; without it, full."),
    ]
    task_options: Annotated[
        tuple[str, ...],
        click.option(
            "--task-options",
            type=Comma(),
            default=(),
            help="Changed settings of those recipes, e.g. epochs=5; `fusionbench train ... --show-config` lists them.",
        ),
    ]
    seeds: Annotated[
        int,
        click.option(
            "--seeds", type=click.IntRange(1), default=3, show_default=True, help="Training runs per task network."
        ),
    ]
    frozen_on: Annotated[
        str,
        click.option(
            "--frozen-on", default="visible", show_default=True, help="Entry that frozen networks are trained on."
        ),
    ]
    frozen: Annotated[
        tuple[Path, ...],
        click.option(
            "--frozen",
            multiple=True,
            type=click.Path(path_type=Path),
            help="A trained task network to score with: a run of `train`, the name of one that `weights add` keeps, or "
            "with --network a file of mmsegmentation or mmdetection.",
        ),
    ]
    start: Annotated[
        Path | None,
        click.option(
            "--task-from",
            "start",
            type=click.Path(path_type=Path),
            metavar="NETWORK",
            help="With --folds: a network to start from, a run of `train` or the name of one that `weights add` keeps.",
        ),
    ]
    folds: Annotated[
        int,
        click.option(
            "--folds",
            type=click.IntRange(0, 100),
            default=0,
            help="Train the network of --task-from on each entry's pictures in folds of the table's split: each "
            "pair is tested by a network that has not seen it.",
        ),
    ]
    network: Annotated[
        str | None,
        click.option(
            "--network",
            metavar="NAME",
            help="What a --frozen file of another program holds: a network's name, or its OpenMMLab config, a .py "
            "file, which is Python that is run.",
        ),
    ]

    def request(self, plan: Plan, out: Path) -> TaskRequest | None:
        """The options as the library takes them; None without --tasks.

        Args:
            plan: whose dataset a network of another program was trained for.
            out: where its weights are kept.

        Raises:
            FusionbenchError: a task, protocol, network or file that does not exist or fit.
        """
        if not self.tasks:
            others = (self.task_networks, self.frozen, self.task_size, self.task_options, self.network, self.start)
            if any(others) or self.folds:
                raise click.UsageError("say which tasks: --tasks segmentation,detection,saliency")
            return None
        from fusionbench.evaluation.task_plan import PROTOCOLS, TaskRequest

        tasks = tuple(dict.fromkeys(card("task", name).name for name in self.tasks))
        protocols = [_one_of(name, PROTOCOLS, f"--task-protocols {name}: ") for name in self.task_protocols]
        networks = self._networks(tasks)
        frozen = self._adopted(plan, out, tasks)
        self._check_frozen(tasks, frozen)
        start = self._start(tasks)
        config = self.network if self.network and self.network.endswith(".py") else ""
        return TaskRequest(
            tasks=tasks,
            networks=networks,
            protocols=tuple(dict.fromkeys(protocols)),
            seeds=tuple(range(self.seeds)),
            size=self.task_size,
            frozen_on=self.frozen_on,
            frozen=tuple(frozen),
            configs={path: config for path in frozen if config and out / "given" in path.parents},
            options=self.task_options,
            start=start,
            folds=self.folds,
        )

    def _start(self, tasks: tuple[str, ...]) -> Path | None:
        """Where the network lies that folds start from."""
        from fusionbench.evaluation.known_networks import called

        if bool(self.start) != bool(self.folds) or self.folds == 1:
            raise click.UsageError("--folds N, of 2 or more, and --task-from NETWORK go together")
        if self.start is None:
            return None
        if len(tasks) != 1:
            raise click.UsageError("--folds: one task at a time")
        path = self.start if self.start.exists() else called(str(self.start), "--task-from") or self.start
        self._check_frozen(tasks, [path], "--task-from")
        return path

    def _networks(self, tasks: tuple[str, ...]) -> dict[str, str]:
        """Task to the network that was chosen for it."""
        task_of = {network: name for name, c in cards("task").items() for network in c.facts.networks}
        known = [network for network, task in task_of.items() if task in tasks]
        what = "no network of these tasks; "
        named = [_one_of(name, known, f"--task-networks {name}: {what}") for name in self.task_networks]
        chosen = {task_of[name]: name for name in named}
        if len(chosen) < len(self.task_networks):
            raise FusionbenchError(f"--task-networks {','.join(self.task_networks)}: one network of a task at a time")
        return chosen

    def _adopted(self, plan: Plan, out: Path, tasks: tuple[str, ...]) -> list[Path]:
        """The frozen networks, those of other programs brought into the form of ours."""
        from fusionbench.evaluation.adopted import adopt, is_ours
        from fusionbench.evaluation.known_networks import called

        if self.network and not self.frozen:
            raise click.UsageError("--network says what a --frozen file holds; give that too")
        frozen = [path if path.exists() else called(str(path)) or path for path in self.frozen]
        foreign = [path for path in frozen if path.exists() and not is_ours(path)]
        if not foreign:
            return frozen
        if not self.network:
            raise FusionbenchError(
                f"--frozen {foreign[0]}: not a file that `fusionbench train` wrote; for one of mmsegmentation or "
                "mmdetection say --network NAME, or --network CONFIG.py, which is Python that is run"
            )
        if len(plan.sources) != 1:
            raise FusionbenchError(f"--network {self.network}: with one dataset at a time, whose classes it tells")
        dataset = plan.sources[0].dataset
        return [
            adopt(path, self.network, dataset, tasks, out / "given") if path in foreign else path for path in frozen
        ]

    @staticmethod
    def _check_frozen(tasks: tuple[str, ...], frozen: list[Path], option: str = "--frozen") -> None:
        from fusionbench.training.trained import facts_of

        for path in frozen:
            if (task := facts_of(path).get("task")) not in tasks:
                raise FusionbenchError(
                    f"{option} {path}: holds {task or 'no task'} network; --tasks are {', '.join(tasks)}"
                )


def _one_of(name: str, known: Sequence[str], what: str) -> str:
    """The one of these names that is meant."""
    found = matches(name, known)
    if len(found) != 1:
        raise FusionbenchError(what + did_you_mean(name, found or known))
    return found[0]
