"""Training CLDyN's compensation (stage ``rsc``): one bank and its A2SI blocks for all tasks at once.

Each step takes a batch of every task through the closed loop and joins the tasks' gradients by CAGrad. The fusion
network and the task networks are frozen. What the paper leaves open and is ours: an epoch is as long as the smallest
set allows, and larger ones are drawn anew each epoch; images are resized to one size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.data import Dataset
from fusionbench.errors import FusionbenchError
from fusionbench.registry import resolve
from fusionbench.tasks.loading import load_network
from fusionbench.tasks.network import TaskNetwork, refuse_two_stage
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.distributed import all_mean
from fusionbench.training.order import Step, draw
from fusionbench.training.recipe import Recipe, Stateful
from fusionbench.training.settings import Count, Natural, NotNegative, Positive, Presets, Probability, Settings, Size

from . import checkpoint
from .cagrad import cagrad, released_weights
from .loop import ClosedLoop, measure, reward_punishment, task_image
from .rsc import RSC

SOLVERS = {"cagrad": cagrad, "released": released_weights, "mean": lambda gram, c: np.full(len(gram), 1 / len(gram))}
TASKS = ("detection", "segmentation", "saliency")


@dataclass(frozen=True, kw_only=True)
class TaskChoice:
    """The settings of one task, see :class:`RSCSettings`."""

    network: str
    weights: str | None
    dataset: str
    split: str | None
    test: str | None


@dataclass(frozen=True, kw_only=True)
class RSCSettings(Settings):
    """Three tasks. Values are the paper's and the released ones, where not said otherwise.

    A task is trained when its dataset is among those of the run, so a run on m3fd and fmb leaves saliency out
    altogether; ``leave_out`` leaves a task out of training but measures it. The only dataset of a run, where no task
    names it, serves every task whose labels it has.
    """

    vfn: str | None = None  # a checkpoint or run of stage vfn, or the name of installed weights of cldyn; needed
    detection_network: str = "yolov5-s"  # by name; the file must hold this one
    detection_weights: str | None = None  # run folder or weights of the trained network; needed
    detection_dataset: str = "m3fd"
    detection_split: str | None = None  # None: the dataset's own training split for the task
    detection_test: str | None = None  # None: the dataset's own test split for the task
    segmentation_network: str = "segformer-b2"
    segmentation_weights: str | None = None  # as for detection, and so on
    segmentation_dataset: str = "fmb"
    segmentation_split: str | None = None  # None: the dataset's own
    segmentation_test: str | None = None  # None: the dataset's own
    saliency_network: str = "ctdnet-18"
    saliency_weights: str | None = None  # as for detection, and so on
    saliency_dataset: str = "vt5000"
    saliency_split: str | None = None  # None: the dataset's own
    saliency_test: str | None = None  # None: the dataset's own
    leave_out: str = ""  # a task that is not trained on but measured at every validation; "": no task
    keep: tuple[str, ...] | None = None  # tasks whose networks, and so loops, go into the saved weights; None: all
    penalty: NotNegative = 5.0  # alpha, of what the loop makes worse; 0: the ablation without punishment
    closed_loop: bool = True  # False: the ablation without feedback
    solver: Literal["cagrad", "released", "mean"] = "cagrad"  # of the paper, of the released code, or the plain mean
    c: Positive = 0.5  # CAGrad's constant
    learn_query: bool = True  # False: no gradient reaches the query's layers, as in the released code
    resize: Size | None = (480, 640)  # (height, width) of all images; None: as they are; ours
    flip: Probability = 0.5  # probability of mirroring left and right; ours
    batch: Count = 4  # pairs of each task in a step
    lr: Positive = 1e-2  # of Adam
    weight_decay: NotNegative = 1e-4  # of Adam
    clip: NotNegative | None = 1.0  # largest norm of the whole gradient; None or 0: any
    limit: Count | None = None  # only the first so many pairs of each task
    validate: Natural = 50  # test pairs of each task, 0 for none; ours
    epochs: Count = 50
    workers: Natural = 4  # ours
    save_every: Count = 100  # ours
    log_every: Count = 10  # ours
    picture_every: Natural = 5  # ours

    def of(self, task: str) -> TaskChoice:
        """The settings of one task."""
        names = ("network", "weights", "dataset", "split", "test")
        return TaskChoice(**{name: getattr(self, f"{task}_{name}") for name in names})


PRESETS = Presets(
    record=RSCSettings,
    # For two processor cores, images of 128x160 and the small task networks.
    sizes={
        "tiny": {
            "detection_network": "yolov5-tiny",
            "segmentation_network": "segformer-tiny",
            "saliency_network": "ctdnet-tiny",
            "resize": None,
            "batch": 2,
            "validate": 8,
            "epochs": 10,
            "workers": 0,
            "save_every": 50,
            "log_every": 1,
        }
    },
)


class RSCRecipe(Recipe[RSCSettings, list[Batch]]):
    """An epoch is as long as the smallest set of a task allows; each step takes a batch of every task."""

    presets = PRESETS

    def build(self, settings: RSCSettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`.

        Raises:
            FusionbenchError: a missing checkpoint, a network of another task, a dataset without a task, bad settings.
        """
        self.settings, self.device = settings, device
        if settings.precision == "fp16":
            raise FusionbenchError("precision=fp16: stage rsc has no loss scaling; take fp32 or bf16")
        vfn = checkpoint.unpack(checkpoint.find_vfn(settings.vfn)).vfn
        if vfn.blocks < 2:
            raise FusionbenchError(f"vfn={settings.vfn}: has one block; the compensation sits between two")
        self.tasks = self._tasks()
        self.networks: dict[str, TaskNetwork] = {}
        self.about: dict[str, dict[str, Any]] = {}
        for name in self.tasks:
            self.networks[name], self.about[name] = self._network(name)
        self.train_on = [name for name in self.tasks if name != settings.leave_out]
        if not self.train_on or (settings.leave_out and settings.leave_out not in self.tasks):
            raise FusionbenchError(
                f"leave_out={settings.leave_out}: must be one of several tasks, here {', '.join(self.tasks)}"
            )
        self._saved()
        self.loop = ClosedLoop(vfn, RSC(vfn.blocks - 1, settings.learn_query), settings.closed_loop).to(device)
        self.parameters = list(self.loop.rsc.parameters())
        self.optimiser = torch.optim.Adam(self.parameters, lr=settings.lr, weight_decay=settings.weight_decay)
        training, test = Augment(settings.resize, flip=settings.flip), Augment(settings.resize, flip=0)
        self.splits = {name: self._split(name, 0, training) for name in self.tasks}
        self.held_out = {name: self._split(name, 1, test) for name in self.tasks}

    def _saved(self) -> list[str]:
        """The tasks whose networks are saved."""
        if self.settings.keep is None:
            return list(self.tasks)
        if unknown := set(self.settings.keep) - self.tasks.keys():
            raise FusionbenchError(f"keep: no task {', '.join(sorted(unknown))} here, only {', '.join(self.tasks)}")
        return list(self.settings.keep)

    def _tasks(self) -> dict[str, Dataset]:
        """The tasks that have a dataset, and which; a dataset serves every task that names it, see the settings."""
        wanted = {task: self.settings.of(task).dataset for task in TASKS}
        if len(self.datasets) == 1 and not self.datasets.keys() & set(wanted.values()):
            ((only, dataset),) = self.datasets.items()
            wanted = {task: only for task in TASKS if dataset.layout.has(resolve("task", task)().needs)}
        tasks = {task: self.datasets[name] for task, name in wanted.items() if name in self.datasets}
        used = {dataset.name for dataset in tasks.values()}
        for name in self.datasets:
            if name not in used:
                able = ", ".join(f"{task}_dataset={name}" for task in TASKS)
                raise FusionbenchError(f"dataset={name}: no task of this recipe is trained on it; set one of {able}")
        return tasks

    def _network(self, task: str) -> tuple[TaskNetwork, dict[str, Any]]:
        """A task's trained network, frozen, and how to build it again."""
        wanted = self.settings.of(task)
        name, dataset = wanted.network, self.tasks[task].name
        make = f"make one: fusionbench train {name} --datasets {dataset}"
        if not wanted.weights:
            raise FusionbenchError(
                f"{task}_weights is not set: stage rsc needs a trained {name}; {make}, then set "
                f"{task}_weights=ITS_FOLDER"
            )
        path = Path(wanted.weights)
        if not path.exists():
            raise FusionbenchError(f"{task}_weights={path}: no such file or folder; {make}")
        network, facts = load_network(path)
        if (facts["task"], facts["name"]) != (task, name):
            raise FusionbenchError(f"{task}_weights={path}: holds {facts['name']} ({facts['task']}), wanted is {name}")
        if tuple(facts["classes"]) != resolve("task", task)().classes(self.tasks[task]):
            raise FusionbenchError(f"{task}_weights={path}: was trained for other classes than those of {dataset}")
        refuse_two_stage(network)
        about = {key: facts[key] for key in ("classes", "ignore_index")}
        return network.to(self.device), {"network": name, "channels": network.channels, **about}

    def _split(self, task: str, held_out: int, augment: Augment) -> TrainingSplit:
        """A task's training pairs (0), or those held out (1)."""
        kind, dataset, wanted = resolve("task", task)(), self.tasks[task], self.settings.of(task)
        split = (wanted.split, wanted.test)[held_out] or dataset.task_splits(kind.needs)[held_out]
        limit = self.settings.validate if held_out else self.settings.limit
        return TrainingSplit(dataset, split, augment, [kind.needs], kind.target, limit)

    def state(self) -> Mapping[str, Stateful]:
        """See :meth:`Recipe.state`. What is frozen comes from its own files."""
        return {"rsc": self.loop.rsc, "optimiser": self.optimiser}

    def check(self) -> None:
        """See :meth:`Recipe.check`."""
        for name in self.train_on:
            self.splits[name].check()
            have, batch = len(self.splits[name]), self.settings.batch
            if have < batch:
                raise FusionbenchError(
                    f"{name}: {have} training pairs are fewer than a batch of {batch}; use a smaller batch"
                )

    def reads(self) -> Sequence[TrainingSplit]:
        """See :meth:`Recipe.reads`."""
        return [self.splits[name] for name in self.train_on]

    def divisible(self) -> Sequence[nn.Module]:
        """See :meth:`Recipe.divisible`."""
        return [self.loop.rsc]

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """A batch of every task in each step."""
        batch = self.settings.batch
        count = min(len(self.splits[name]) for name in self.train_on) // batch
        order = [draw(len(self.splits[n]), count * batch, seed, epoch, i) for i, n in enumerate(self.train_on)]
        return [Step(tuple(tuple(o[i * batch : (i + 1) * batch]) for o in order)) for i in range(count)]

    def names(self, step: Step) -> list[str]:
        """Ids, each with its dataset."""
        pairs = zip(self.train_on, step.groups, strict=True)
        return [f"{self.splits[n].dataset.name} {i}" for n, group in pairs for i in self.splits[n].names(group)]

    def load(self, step: Step, epoch: int, seed: int) -> list[Batch]:
        """A batch of each task."""
        return [self.splits[n].batch(g, seed, epoch) for n, g in zip(self.train_on, step.groups, strict=True)]

    def step(self, batch: list[Batch]) -> Mapping[str, Tensor | float]:
        """See :meth:`Recipe.step`."""
        self.loop.train()
        values: dict[str, Tensor | float] = {}
        losses, gradients = [], []
        for name, part in zip(self.train_on, batch, strict=True):
            part = part.to(self.device)
            with self.precision.autocast():
                before, after = all_mean(self.loop.losses(self.networks[name], part.ir, part.vis, part.targets))
                loss = reward_punishment(before, after, self.settings.penalty)
            losses.append(loss.detach())
            gradients.append(self.task_gradient(loss))
            values |= {f"{name}_before": before.detach(), f"{name}_after": after.detach()}
        matrix = torch.stack(gradients)
        gram = (matrix.double() @ matrix.double().T).cpu().numpy()
        shares = SOLVERS[self.settings.solver](gram, self.settings.c)
        self._move(torch.as_tensor(shares, dtype=matrix.dtype, device=matrix.device) @ matrix)
        return {"loss": torch.stack(losses).mean(), **values, **dict(zip(self._shares(), shares.tolist(), strict=True))}

    def _shares(self) -> list[str]:
        return [f"{name}_share" for name in self.train_on]

    def task_gradient(self, loss: Tensor) -> Tensor:
        """The gradient of one task's loss as a vector, the mean over processes."""
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        filled = [torch.zeros_like(p) if g is None else g for p, g in zip(self.parameters, gradients, strict=True)]
        return torch.cat([g.flatten() for g in all_mean(filled)])

    def _move(self, direction: Tensor) -> None:
        parts = direction.split([p.numel() for p in self.parameters])
        for parameter, part in zip(self.parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter).clone()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip or float("inf"))
        self.optimiser.step()

    def validate(self) -> Mapping[str, float]:
        """Task losses before and after the loop on held-out pairs, of every task including the one left out.

        The score is minus the mean of after / before.
        """
        values: dict[str, float] = {}
        ratios = []
        for name, split in self.held_out.items():
            if not len(split) or not self.settings.validate:
                continue
            batches = [split.batch([i], 0, 0).to(self.device) for i in range(len(split))]
            rows = [(b.ir, b.vis, b.targets) for b in batches]
            before, after = measure(self.loop, self.networks[name], rows)
            values |= {f"{name}_before": before, f"{name}_after": after}
            ratios.append(after / before)
        return {**values, "score": -sum(ratios) / len(ratios)} if ratios else {}

    @torch.no_grad()
    def pictures(self) -> Mapping[str, np.ndarray]:
        """Plain and customised RGB image of the first held-out pair of each task, uint8 ``[3,H,W]``."""
        self.loop.eval()
        shown = {}
        for name, split in self.held_out.items():
            if len(split):
                batch = split.batch([0], 0, 0).to(self.device)
                plain, customised = self.loop.run(self.networks[name], batch.ir, batch.vis)
                for kind, fused in (("plain", plain), ("customised", customised)):
                    image = task_image(fused, batch.vis)[0]
                    shown[f"{name}_{kind}"] = (image * 255).round().byte().cpu().numpy()
        return shown

    def export(self) -> dict[str, Tensor]:
        """``vfn.*``, ``rsc.*``, ``task.*`` and what rebuilds the networks."""
        saved = self._saved()
        networks = {name: self.networks[name] for name in saved}
        return checkpoint.pack(self.loop, networks, {name: self.about[name] for name in saved})
