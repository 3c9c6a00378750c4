"""What the tests of task networks share: second derivatives against finite differences, and learning one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fusionbench.errors import FusionbenchError
from fusionbench.tasks import openmmlab
from fusionbench.tasks.network import Target, TaskNetwork
from fusionbench.training.functional import second_order
from tests.conftest import _absent


def need(package: str) -> None:
    """Skip (or fail, where the extra is required) without mmseg or mmdet."""
    try:
        openmmlab.load(package)
    except FusionbenchError as error:
        _absent("tasks", str(error))


class Constants(TorchFunctionMode):
    """Keeps what a loss treats as constant (detached, or made without gradients) at its first values.

    Assignments, soft targets and the like move with the prediction but have no derivative; finite differences of the
    gradient only show the second derivative that autograd means when they stand still.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: list[Any] = []
        self.at: int | None = None  # None while recording

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "_set_grad_enabled" or (torch.is_grad_enabled() and name != "detach"):
            return func(*args, **(kwargs or {}))
        if self.at is None:
            self.values.append(func(*args, **(kwargs or {})))
            return self.values[-1]
        self.at += 1
        return self.values[self.at - 1]


def hessian_error(network: TaskNetwork, targets: Sequence[Target], size: tuple[int, int] = (64, 64)) -> float:
    """Largest error of the Hessian-vector product in the images, against its largest entry. Float64, evaluation mode.

    Of a few step widths the best counts: a step across a kink (ReLU, maximum) or too small a one only makes it worse.
    """
    network = network.double().eval()
    torch.manual_seed(1)
    images = torch.rand(len(targets), network.channels, *size, dtype=torch.float64)
    direction = torch.randn_like(images)
    constants = Constants()

    def gradient(x: Tensor, graph: bool = False) -> Tensor:
        x = x.detach().requires_grad_()
        with second_order(), constants:
            loss = network.loss(x, targets)
        (slope,) = torch.autograd.grad(loss, x, create_graph=graph)
        return torch.autograd.grad((slope * direction).sum(), x)[0] if graph else slope

    exact = gradient(images, graph=True)
    assert exact.abs().max() > 0
    errors = []
    for step in (1e-5, 1e-6, 1e-7, 1e-8):
        sides = []
        for signed in (step, -step):
            constants.at = 0
            sides.append(gradient(images + signed * direction))
            assert constants.at == len(constants.values), "another path through the loss"
        numeric = (sides[0] - sides[1]) / (2 * step)
        errors.append(float((exact - numeric).abs().max() / exact.abs().max()))
        if errors[-1] < 1e-5:
            break
    return min(errors)


def learn(
    network: TaskNetwork, images: Tensor, targets: Sequence[Target], steps: int, lr: float = 1e-3
) -> tuple[float, float]:
    """Loss on one batch before and after `steps` of AdamW, in training mode throughout."""
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr, weight_decay=0)
    losses = []
    for _ in range(steps):
        loss = network.loss(images, targets)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10)
        optimiser.step()
        losses.append(loss.item())
    return losses[0], min(losses[-3:])
