"""Small recipes for the tests, and how to run them in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError
from fusionbench.training import functional
from fusionbench.training.loop import train
from fusionbench.training.options import Launch, RunOptions
from fusionbench.training.order import Step, draw, randomness, shuffled
from fusionbench.training.recipe import Recipe
from fusionbench.training.settings import Count, Positive, Presets, Settings

SAMPLES = 12


@dataclass(frozen=True, kw_only=True)
class ToySettings(Settings):
    batch: Count = 4
    lr: Positive = 0.01
    epochs: Count = 3
    save_every: Count = 2
    tensorboard: bool = False


settings = ToySettings


class Toy(Recipe[ToySettings, Any]):
    """Regression with a small convolutional net; normalisation, noise from the global generators, a schedule."""

    presets = Presets(record=ToySettings)
    noise = 0.01  # uses the global generators, so that resume must put them back

    def build(self, settings: ToySettings, device: torch.device) -> None:
        self.device, self.batch = device, settings.batch
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.GELU(), nn.Conv2d(4, 1, 3)).to(
            device
        )
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=settings.lr)
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(self.optimiser, [1, 2])
        self.images = torch.from_numpy(randomness(7).random((SAMPLES, 1, 8, 8), np.float32))
        self.rounds = 0

    def state(self) -> Mapping[str, Any]:
        return {"net": self.net, "optimiser": self.optimiser, "schedule": self.schedule}

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        return shuffled(SAMPLES, self.batch, seed, epoch)

    def load(self, step: Step, epoch: int, seed: int) -> Tensor:
        rows = [self.images[i] + float(randomness(seed, epoch, i).normal(0, 0.1)) for i in step.groups[0]]
        return torch.stack(rows)

    def names(self, step: Step) -> list[str]:
        return [f"{i:03d}.png" for group in step.groups for i in group]

    def step(self, batch: Tensor) -> Mapping[str, Any]:
        x = batch.to(self.device)
        jitter = self.noise * (torch.rand(()).item() + np.random.rand())
        self.net.train()
        with self.precision.autocast():
            loss = (self.net(x).float() - x[:, :, 2:-2, 2:-2].square()).square().mean() + jitter
        self.precision.update(loss, self.optimiser, clip=1.0)
        return {"loss": loss, "lr": self.optimiser.param_groups[0]["lr"]}

    def epoch_end(self, epoch: int) -> None:
        self.schedule.step()

    def validate(self) -> Mapping[str, float]:
        self.net.eval()
        with torch.no_grad():
            return {"score": -float(self.net(self.images.to(self.device)).square().mean()), "luck": np.random.rand()}

    def pictures(self) -> Mapping[str, np.ndarray]:
        return {"first": (self.images[0] * 255).clamp(0, 255).byte().numpy()}


class Bilevel(Toy):
    """Alternates meta steps, which train the weights of a loss, with ordinary steps on that loss."""

    noise = 0.0

    def build(self, settings: ToySettings, device: torch.device) -> None:
        super().build(settings, device)
        self.weights = nn.Conv2d(1, 2, 1).to(device)
        self.outer = torch.optim.Adam(self.weights.parameters(), lr=settings.lr)

    def state(self) -> Mapping[str, Any]:
        return {**super().state(), "weights": self.weights, "outer": self.outer}

    def batches(self, epoch: int, seed: int) -> Sequence[Step]:
        size, order = self.batch, draw(SAMPLES, 4 * self.batch, seed, epoch, 1)
        meta = [tuple(order[i : i + size]) for i in range(0, len(order), size)]
        pairs = [Step((meta[i], meta[i + 1]), "meta", salt=1) for i in (0, 2)]
        return pairs + shuffled(SAMPLES, size, seed, epoch, kind="fuse")

    def load(self, step: Step, epoch: int, seed: int) -> Any:
        return step.kind, [Toy.load(self, Step((group,)), epoch, seed) for group in step.groups]

    def proposed(self, x: Tensor, y: Tensor) -> Tensor:
        w = self.weights(x[:, :, 2:-2, 2:-2]).softmax(1)
        return (w[:, :1] * (y - x[:, :, 2:-2, 2:-2]).square() + w[:, 1:] * y.square()).mean()

    def step(self, batch: Any) -> Mapping[str, Any]:
        kind, groups = batch
        self.net.train()
        x = groups[0].to(self.device)
        if kind == "fuse":
            loss = self.proposed(x, self.net(x))
            self.precision.update(loss, self.optimiser)
            return {"loss": loss}
        with functional.second_order():
            new = functional.inner_update(self.proposed(x, self.net(x)), self.net, 0.1)
            other = groups[1].to(self.device)
            y = functional.call(self.net, new, other, checkpointed=True, keep_buffers=True)
            loss = (y - other[:, :, 2:-2, 2:-2].sqrt().nan_to_num()).square().mean()
            gradients = functional.outer_gradient(loss, self.weights.parameters())
        for parameter, gradient in zip(self.weights.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.outer.step()
        return {"loss": loss, "gradient": torch.cat([g.flatten() for g in gradients]).norm()}


class Quiet(Toy):
    """Without noise, so that several processes can be compared with one."""

    noise = 0.0


TOYS = {"toy": Toy, "bilevel": Bilevel, "quiet": Quiet}


def run(name: str, out: Path, settings: ToySettings | None = None, resume: bool = False, **options: Any) -> Any:
    """Train a toy here."""
    return train(TOYS[name](), settings or ToySettings(), out, resume=resume, options=RunOptions(**options))


def weights(out: Path) -> dict[str, Tensor]:
    """Every tensor of the newest checkpoint's state, and of its batch normalisation, by dotted name."""
    held = torch.load(out / "last.pt", weights_only=True)["state"]
    return {f"{part}.{key}": v for part in held for key, v in held[part].items() if isinstance(v, Tensor)}


# ---------------------------------------------------------------- processes

CONTEXT = multiprocessing.get_context("forkserver")
# Imported once, and not anew in each process.
CONTEXT.set_forkserver_preload([__name__, "pytest", "fusionbench.data.synth", "fusionbench.methods.tdfusion.recipe"])


def join(environment: Mapping[str, str]) -> Launch:
    """Take over what torchrun would set for a process of a group."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    names = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    rank, world, local_rank = (int(environment.get(name, usual)) for name, usual in names.items())
    return Launch(rank=rank, world=world, local_rank=local_rank)


def child(name: str, out: Path, settings: ToySettings, resume: bool, environment: Mapping[str, str]) -> None:
    """What a process of its own does."""
    try:
        run(name, out, settings, resume, launch=join(environment))
    except FusionbenchError as error:
        (out / "error.txt").write_text(str(error))
        raise SystemExit(2) from None


def start(
    name: str, out: Path, settings: ToySettings, resume: bool = False, environment: Mapping[str, str] | None = None
) -> Any:
    """Train a toy in a process of its own, which is returned running."""
    process = CONTEXT.Process(target=child, args=(name, out, settings, resume, dict(environment or {})))
    process.start()
    return process


def together(count: int) -> list[dict[str, str]]:
    """Environments of the processes of one group, as torchrun sets them, on the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo", "WORLD_SIZE": str(count)}
    return [{**where, "RANK": str(i), "LOCAL_RANK": str(i)} for i in range(count)]
