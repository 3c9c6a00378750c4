"""Training CLDyN's compensation (stage ``rsc``): one bank and its A2SI blocks for all tasks at once.

Each step takes a batch of every task through the closed loop and joins the tasks' gradients by CAGrad. The fusion
network and the task networks are frozen. What the paper leaves open and is ours: an epoch is as long as the smallest
set allows, and larger ones are drawn anew each epoch; images are resized to one size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionbench.data import Dataset
from fusionbench.errors import FusionbenchError
from fusionbench.registry import resolve
from fusionbench.tasks.loading import load_network
from fusionbench.tasks.network import TaskNetwork, refuse_two_stage
from fusionbench.training.config import need_pair, need_positive, plain_config
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.distributed import all_mean
from fusionbench.training.order import Step, draw
from fusionbench.training.recipe import Recipe

from . import checkpoint
from .cagrad import cagrad, released_weights
from .loop import ClosedLoop, measure, reward_punishment, task_image
from .rsc import RSC

SOLVERS = {"cagrad": cagrad, "released": released_weights, "mean": lambda gram, c: np.full(len(gram), 1 / len(gram))}


class RSCRecipe(Recipe):
    """Settings.

    ``vfn``: checkpoint or installed weights of the fusion network. ``networks``: for each task ``network`` (a name
    that the file must fit), ``weights`` (a task network's run folder or file), ``dataset`` (on which it is trained; a
    task whose dataset is not among those given is left out), ``split`` and ``test`` (None: the dataset's own for the
    task). ``leave_out``: a task that is not trained on but measured at every validation. ``resize``: (height, width)
    or None; ``flip``. ``batch``: per task. ``lr``, ``weight_decay``, ``clip``: Adam. ``penalty``: alpha.
    ``closed_loop``: False tells the compensation nothing of the task. ``solver``: cagrad, released or mean; ``c``: its
    constant. ``learn_query``: see :class:`.rsc.A2SI`. ``limit``: pairs of each task. ``validate``: test pairs of each
    task, 0 for none.
    """

    def build(self, config: Any, device: torch.device) -> None:
        """See :meth:`Recipe.build`.

        Raises:
            FusionbenchError: a missing checkpoint, a network of another task, a dataset without a task, bad settings.
        """
        self.config, self.device = config, device
        if config["train"].get("precision", "fp32") == "fp16":
            raise FusionbenchError("train.precision=fp16: stage rsc has no loss scaling; take fp32 or bf16")
        if config["solver"] not in SOLVERS:
            raise FusionbenchError(f"solver={config['solver']}: choose one of {', '.join(SOLVERS)}")
        need_positive(config, "batch", "lr", "c", "limit")
        need_pair(config, "resize")
        vfn = checkpoint.unpack(checkpoint.find_vfn(config["vfn"])).vfn
        if vfn.blocks < 2:
            raise FusionbenchError(f"vfn={config['vfn']}: has one block; the compensation sits between two")
        wanted = plain_config(config["networks"])
        self.tasks = self._tasks(wanted)
        self.networks: dict[str, TaskNetwork] = {}
        self.about: dict[str, dict[str, Any]] = {}
        for name in self.tasks:
            self.networks[name], self.about[name] = self._network(name, wanted[name])
        self.train_on = [name for name in self.tasks if name != config["leave_out"]]
        if not self.train_on or config["leave_out"] not in ("", None, *self.tasks):
            raise FusionbenchError(
                f"leave_out={config['leave_out']}: must be one of several tasks, here {', '.join(self.tasks)}"
            )
        self._kept()
        self.loop = ClosedLoop(vfn, RSC(vfn.blocks - 1, config["learn_query"]), config["closed_loop"]).to(device)
        self.parameters = list(self.loop.rsc.parameters())
        self.optimiser = torch.optim.Adam(self.parameters, lr=config["lr"], weight_decay=config["weight_decay"])
        size = None if config["resize"] is None else (config["resize"][0], config["resize"][1])
        learn, look = Augment(size, flip=config["flip"]), Augment(size, flip=0)
        self.splits = {name: self._split(name, wanted[name], 0, learn) for name in self.tasks}
        self.held = {name: self._split(name, wanted[name], 1, look) for name in self.tasks}

    def _kept(self) -> list[str]:
        """The tasks whose networks are saved."""
        given = self.config["keep"]
        if given is None:
            return list(self.tasks)
        kept = list(given) if isinstance(given, (list, tuple)) else str(given).split(",")
        if unknown := set(kept) - self.tasks.keys():
            raise FusionbenchError(f"keep: no task {', '.join(sorted(unknown))} here, only {', '.join(self.tasks)}")
        return kept

    def _tasks(self, wanted: Mapping[str, Any]) -> dict[str, Dataset]:
        """The tasks that have a dataset, and which; a dataset serves every task that names it."""
        found = {name: self.datasets[one["dataset"]] for name, one in wanted.items() if one["dataset"] in self.datasets}
        used = {dataset.name for dataset in found.values()}
        for name in self.datasets:
            if name not in used:
                able = ", ".join(f"networks.{task}.dataset={name}" for task in wanted)
                raise FusionbenchError(f"--dataset {name}: no task of this recipe is trained on it; set one of {able}")
        return found

    def _network(self, task: str, wanted: Mapping[str, Any]) -> tuple[TaskNetwork, dict[str, Any]]:
        """A task's trained network, frozen, and how to build it again."""
        name, dataset = wanted["network"], wanted["dataset"]
        make = f"make one: fusionbench train {name} --dataset {dataset}"
        if not wanted["weights"]:
            raise FusionbenchError(
                f"networks.{task}.weights is not set: stage rsc needs a trained {name}; {make}, "
                f"then give --cfg-options networks.{task}.weights=ITS_FOLDER"
            )
        path = Path(wanted["weights"])
        if not path.exists():
            raise FusionbenchError(f"networks.{task}.weights={path}: no such file or folder; {make}")
        network, facts = load_network(path)
        if (facts["task"], facts["name"]) != (task, name):
            raise FusionbenchError(f"networks.{task}: {path} holds {facts['name']} ({facts['task']}), wanted is {name}")
        if tuple(facts["classes"]) != resolve("task", task)().classes(self.tasks[task]):
            raise FusionbenchError(f"networks.{task}: {path} was trained for other classes than those of {dataset}")
        refuse_two_stage(network)
        about = {key: facts[key] for key in ("classes", "ignore_index")}
        return network.to(self.device), {"network": name, "channels": network.channels, **about}

    def _split(self, task: str, wanted: Mapping[str, Any], held: int, augment: Augment) -> TrainingSplit:
        kind, dataset = resolve("task", task)(), self.tasks[task]
        split = wanted["test" if held else "split"] or dataset.task_splits(kind.needs)[held]
        limit = self.config["validate"] if held else self.config["limit"]
        return TrainingSplit(dataset, split, augment, [kind.needs], kind.target, limit)

    def state(self) -> Mapping[str, Any]:
        """See :meth:`Recipe.state`. What is frozen comes from its own files."""
        return {"rsc": self.loop.rsc, "optimiser": self.optimiser}

    def check(self) -> None:
        """See :meth:`Recipe.check`."""
        for name in self.train_on:
            self.splits[name].check()
            have, batch = len(self.splits[name]), self.config["batch"]
            if have < batch:
                raise FusionbenchError(
                    f"{name}: {have} training pairs are fewer than a batch of {batch}; use a smaller batch"
                )

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        """A batch of every task in each step."""
        batch = self.config["batch"]
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
        for name, one in zip(self.train_on, batch, strict=True):
            one = one.to(self.device)
            with self.precision.autocast():
                before, after = self.loop.losses(self.networks[name], one.ir, one.vis, one.targets)
                loss = reward_punishment(before, after, self.config["penalty"])
            losses.append(loss.detach())
            gradients.append(self._gradient(loss))
            values |= {f"{name}_before": before.detach(), f"{name}_after": after.detach()}
        matrix = torch.stack(gradients)
        gram = (matrix.double() @ matrix.double().T).cpu().numpy()
        shares = SOLVERS[self.config["solver"]](gram, self.config["c"])
        self._move(torch.as_tensor(shares, dtype=matrix.dtype, device=matrix.device) @ matrix)
        return {"loss": torch.stack(losses).mean(), **values, **dict(zip(self._shares(), shares.tolist(), strict=True))}

    def _shares(self) -> list[str]:
        return [f"{name}_share" for name in self.train_on]

    def _gradient(self, loss: Tensor) -> Tensor:
        """The gradient of one task's loss as a vector, the mean over processes."""
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        every = [torch.zeros_like(p) if g is None else g for p, g in zip(self.parameters, found, strict=True)]
        return torch.cat([g.flatten() for g in all_mean(every)])

    def _move(self, direction: Tensor) -> None:
        parts = direction.split([p.numel() for p in self.parameters])
        for parameter, part in zip(self.parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter).clone()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config["clip"] or float("inf"))
        self.optimiser.step()

    def validate(self) -> Mapping[str, float]:
        """Task losses before and after the loop on held-out pairs, of every task including the one left out.

        The score is minus the mean of after / before.
        """
        values: dict[str, float] = {}
        ratios = []
        for name, split in self.held.items():
            if not len(split) or not self.config["validate"]:
                continue
            one = [split.batch([i], 0, 0).to(self.device) for i in range(len(split))]
            rows = [(b.ir, b.vis, b.targets) for b in one]
            before, after = measure(self.loop, self.networks[name], rows)
            values |= {f"{name}_before": before, f"{name}_after": after}
            ratios.append(after / before)
        return {**values, "score": -sum(ratios) / len(ratios)} if ratios else {}

    @torch.no_grad()
    def pictures(self) -> Mapping[str, np.ndarray]:
        """Plain and customised RGB image of the first held-out pair of each task, uint8 ``[3,H,W]``."""
        self.loop.eval()
        found = {}
        for name, split in self.held.items():
            if len(split):
                one = split.batch([0], 0, 0).to(self.device)
                plain, customised = self.loop.run(self.networks[name], one.ir, one.vis)
                for kind, fused in (("plain", plain), ("customised", customised)):
                    image = task_image(fused, one.vis)[0]
                    found[f"{name}_{kind}"] = (image * 255).round().byte().cpu().numpy()
        return found

    def export(self) -> dict[str, Tensor]:
        """``vfn.*``, ``rsc.*``, ``task.*`` and what rebuilds the networks."""
        kept = self._kept()
        networks = {name: self.networks[name] for name in kept}
        return checkpoint.pack(self.loop, networks, {name: self.about[name] for name in kept})
