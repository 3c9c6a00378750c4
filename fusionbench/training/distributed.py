"""Several processes (torchrun starts them): each takes an equal share of every batch.

The objective is the mean over processes of what each computes, so one process with the whole batch gives the same
result wherever a loss is a mean over samples. Elsewhere the loss says so:

* another divisor (positives of a detector, pixels that are not ignored): ``part_of_mean``;
* a function of means over the batch: that function of ``all_mean``;
* what looks at the batch as a whole (its largest value, a norm, a sort): ``gathered``;
* random numbers that are drawn in a step: ``drawn``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError
from fusionbench.training.generators import same_rng
from fusionbench.training.options import Launch

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def active() -> bool:
    """Whether there is a process group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process, from 0."""
    return dist.get_rank() if active() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if active() else 1


@contextmanager
def group(device: str | torch.device = "cpu", launch: Launch | None = None) -> Iterator[torch.device]:
    """Join the other processes of a run, and leave them at the end.

    Args:
        device: of this process.
        launch: which of how many it is, None for the only one; they meet where torch's ``env://`` says.

    Yields:
        This process's device: ``cuda`` becomes the GPU of its local rank, in turn where there are fewer than processes.

    Raises:
        FusionbenchError: no such GPU.
    """
    launch, own = launch or Launch(), torch.device(device)
    shared = False
    if own.type == "cuda":
        cards = torch.cuda.device_count()
        local = own.index if own.index is not None else launch.local_rank % max(1, cards)
        if local >= cards:
            raise FusionbenchError(f"device cuda:{local} is not there: {cards} GPUs are visible")
        shared = launch.local_world > (cards if own.index is None else 1)
        own = torch.device("cuda", local)
        torch.cuda.set_device(own)
    if launch.world == 1 or active():
        yield own
        return
    backend = "nccl" if own.type == "cuda" and not shared else "gloo"  # nccl takes one process a card
    dist.init_process_group(backend, rank=launch.rank, world_size=launch.world)
    try:
        yield own
    finally:
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    """Sum over processes. Its own adjoint, so it can be differentiated as often as wanted."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


_sum = cast("Callable[[Tensor], Tensor]", _Sum.apply)


def all_sum(x: Tensor) -> Tensor:
    """Sum over processes, the same in each; differentiable to any order.

    Every process must use the result alike, forward and backward: each call is one collective operation.
    """
    return _sum(x) if world() > 1 else x


def all_mean(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Mean of each tensor over processes in one operation; differentiable to any order."""
    if world() == 1 or not tensors:
        return list(tensors)
    joined = all_sum(torch.cat([t.reshape(-1) for t in tensors])) / world()
    parts = joined.split([t.numel() for t in tensors])
    return [part.view(t.shape).to(t.dtype) for part, t in zip(parts, tensors, strict=True)]


def gathered(x: Tensor) -> Tensor:
    """One tensor of the same shape from each process, ``[world,...]`` in order of rank; differentiable to any order."""
    if world() == 1:
        return x[None]
    return all_sum(torch.stack([x if number == rank() else torch.zeros_like(x) for number in range(world())]))


def part_of_mean(loss: Tensor, counted: Tensor) -> Tensor:
    """A mean over ``counted`` elements of this process, as a loss whose mean over processes is that over all elements.

    Args:
        loss: the mean, 0 where nothing counts.
        counted: how many, a scalar.
    """
    if world() == 1:
        return loss
    (mean,) = all_mean([counted.to(loss)])
    return loss * counted / mean.clamp(min=1 / world())


def drawn(draw: Callable[[], Tensor]) -> Tensor:
    """Random numbers as the first process draws them, the same in each; no other's generators move."""
    if world() == 1:
        return draw()
    with same_rng() if rank() else nullcontext():
        numbers = draw()
    dist.broadcast(numbers, 0)
    return numbers


def own_share(x: Tensor) -> Tensor:
    """Of what is there for each sample of the whole batch, that of this process's."""
    return x.chunk(world())[rank()]


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace ``.grad`` by its mean over processes, in one operation.

    A parameter that has a gradient in some processes only counts as zero in the others.
    """
    if world() == 1:
        return
    trained = [p for p in parameters if p.requires_grad]
    here = [torch.zeros((), device=p.device) + (p.grad is not None) for p in trained]
    means = all_mean([torch.zeros_like(p) if p.grad is None else p.grad for p in trained] + here)
    used = (torch.stack(means[len(trained) :]) > 0).tolist() if trained else []
    for parameter, mean, wanted in zip(trained, means, used, strict=False):
        parameter.grad = mean.clone() if wanted else None


def gather(value: Any) -> list[Any]:
    """One small Python value from every process, in order of rank."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


@torch.no_grad()
def join(modules: Iterable[nn.Module]) -> None:
    """Give all processes the first one's weights, and batch normalisation the statistics of the whole batch."""
    if world() == 1:
        return
    for module in modules:
        for value in (*module.parameters(), *module.buffers()):
            dist.broadcast(value, 0)
        for part in module.modules():
            if isinstance(part, _BATCH_NORMS) and not isinstance(part, GlobalBatchNorm):
                same: Any = part
                same.__class__ = _joined(type(same))  # the very object: its names, hooks and parameters stay


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the batches of all processes; differentiable twice.

    Input ``[B,C,...]``; in evaluation mode, and in one process, the ordinary one.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """The same shape and type."""
        own_statistics = self.training or self.running_mean is None
        if not own_statistics or world() == 1:
            return super().forward(input)
        x = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        dims, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        count = all_sum(x.new_tensor([x.numel() / x.shape[1]]))
        mean = all_sum(x.sum(dims)) / count
        centred = x - mean.view(shape)
        variance = all_sum(centred.square().sum(dims)) / count
        if self.training and self.running_mean is not None:
            self._remember(mean, variance * count / (count - 1).clamp(min=1))
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        part = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean), part)
        self.running_var.lerp_(variance.to(self.running_var), part)


def _joined(kind: type[nn.Module]) -> type[nn.Module]:
    """A kind of batch normalisation, ours or one derived from it, whose ``forward`` ends in the global one."""
    return type(f"Global{kind.__name__}", (kind, GlobalBatchNorm), {})


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of ``values`` by ``weight`` over all processes, as a loss whose mean over processes is the global one.

    Args:
        values: per-element losses of any shape.
        weight: the same shape, not negative; all zero everywhere gives 0.
    """
    total = all_sum(weight.sum().detach())
    return (values * weight).sum() * world() / torch.where(total > 0, total, torch.ones_like(total))
