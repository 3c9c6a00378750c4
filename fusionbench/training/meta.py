"""The meta step of a network that a learned loss moves: an inner update, and the outer loss's gradient through it.

With theta the parameters of a network F, w the proposed weights (maps that depend on the parameters of G) and L(F, w)
the loss, the inner update is theta' = theta - lr dL/dtheta, and what G needs is the gradient of an outer loss at
theta'. The usual way, ``graph``, keeps the graph of the inner gradient and goes back through it. But L sees theta
through F's output alone, so

    d outer(theta') / dw  =  -lr d/dw < J v, dL/dF >,     v = d outer / d theta',   J = dF / dtheta at theta,

and J v is one forward-mode pass of F on the inner images. The way ``product`` does that: the same numbers from first
derivatives, without a second-order graph. Either gives the gradient of the mean over processes where there are several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from fusionbench.training.distributed import all_mean
from fusionbench.training.functional import call, inner_update, outer_gradient, second_order, trainable

Way = Literal["product", "graph"]
Loss = Callable[[Tensor, Tensor], Tensor]  # of F's output and of w, a scalar


@dataclass(kw_only=True)
class Inner:
    """What the inner update leaves behind.

    Attributes:
        moved: theta' by name.
        output: F of the inner images at theta.
        weights: w, with the graph back to G.
        loss: L, a scalar.
        inputs: the inner images.
        lr: step size.
        slope: the part of L that depends on w.
        way: how the gradient goes back.
    """

    moved: dict[str, Tensor]
    output: Tensor
    weights: Tensor
    loss: Tensor
    inputs: tuple[Tensor, ...]
    lr: float
    slope: Loss
    way: Way


def differentiated(way: Way) -> AbstractContextManager[Any]:
    """Context of all forward passes of a meta step: those of ``graph`` are differentiated twice."""
    return second_order() if way == "graph" else nullcontext()


def precise(x: Tensor) -> Tensor:
    """At least single precision: losses are not computed in half."""
    return x if x.dtype == torch.float64 else x.float()


def inner_step(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    weights: Tensor,
    loss: Loss,
    lr: float,
    *,
    slope: Loss | None = None,
    way: Way = "product",
    checkpointed: bool = False,
) -> Inner:
    """Move F by the proposed loss. F itself is not changed.

    Args:
        module: F.
        inputs: of F, this process's share.
        weights: w of these inputs, with their graph.
        loss: L, a mean over this process's share.
        lr: step size of plain gradient descent.
        slope: the part of ``loss`` that depends on w, where the rest need not be computed again.
        way: ``product``: theta' are leaves. ``graph``: theta' keep their graph.
        checkpointed: compute intermediate results of F again on the way back: less memory, more time.
    """
    theta, weights = trainable(module), precise(weights)
    output = precise(call(module, theta, *inputs, checkpointed=checkpointed))
    value = loss(output, weights if way == "graph" else weights.detach())
    if way == "graph":
        moved = inner_update(value, theta, lr)
    else:
        gradients = all_mean(torch.autograd.grad(value, list(theta.values())))
        moved = {
            name: (p.detach() - lr * g).requires_grad_() for (name, p), g in zip(theta.items(), gradients, strict=True)
        }
    return Inner(
        moved=moved,
        output=output.detach(),
        weights=weights,
        loss=value.detach(),
        inputs=inputs,
        lr=lr,
        slope=slope or loss,
        way=way,
    )


def outer_step(module: nn.Module, inner: Inner, outer: Tensor, parameters: Iterable[Tensor]) -> list[Tensor]:
    """Gradient of an outer loss for the parameters of G, through the inner update.

    Args:
        module: F, still at theta.
        inner: from :func:`inner_step`.
        outer: the outer loss, computed from ``inner.moved``; scalar, this process's mean.
        parameters: of G.
    """
    wanted = list(parameters)
    if inner.way == "graph":
        return outer_gradient(outer, wanted)
    direction = all_mean(torch.autograd.grad(outer, list(inner.moved.values())))
    along = dict(zip(inner.moved, direction, strict=True))
    shift = -inner.lr * output_change(module, along, *inner.inputs)
    output = inner.output.detach().requires_grad_()
    (slope,) = torch.autograd.grad(inner.slope(output, inner.weights), output, create_graph=True)
    return all_mean(torch.autograd.grad((slope * shift).sum(), wanted))


def output_change(module: nn.Module, along: Mapping[str, Tensor], *inputs: Tensor) -> Tensor:
    """Directional derivative of a module's output when its parameters move along ``along`` (by name)."""
    here = {name: p.detach() for name, p in trainable(module).items()}
    tangents = {name: along[name] for name in here}
    change: Tensor = jvp(lambda p: functional_call(module, p, inputs), (here,), (tangents,))[1]
    return change
