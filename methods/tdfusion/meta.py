"""The meta step: how the task loss of a moved fusion network depends on the loss that moved it.

With theta the weights of F, w = G(a, b) the proposed weights and L the fusion loss, the step (paper, section 3) is
theta' = theta - lr dL/dtheta, and what G needs is the gradient of the task loss at theta'. The usual way, ``graph``,
keeps the graph of the inner gradient and goes back through it. But L sees theta through the fused image alone, so

    d task(theta') / dw  =  -lr d/dw < J v, dL/dF >,     v = d task / d theta',   J = dF / dtheta at theta,

and J v is one forward-mode pass of F on the inner images. The way ``product`` does that: the same numbers from first
derivatives, without a second-order graph. Either gives the gradient of the mean over processes where there are several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from fusionbench.training.distributed import all_mean
from fusionbench.training.functional import call, inner_update, outer_gradient, trainable

from .loss import FusionLoss, fusion_loss, intensity_loss

Way = Literal["product", "graph"]


def precise(x: Tensor) -> Tensor:
    """At least single precision: losses are not computed in half."""
    return x if x.dtype == torch.float64 else x.float()


@dataclass
class Inner:
    """What the inner step leaves behind.

    Attributes:
        moved: theta' by name.
        weights: w of the inner images, with the graph back to G.
        fused: F of the inner images at theta.
        loss: the fusion loss.
        pair: the inner images.
        lr: step size.
    """

    moved: dict[str, Tensor]
    weights: Tensor
    fused: Tensor
    loss: FusionLoss
    pair: tuple[Tensor, Tensor]
    lr: float


def inner_step(
    fusion: nn.Module,
    proposal: nn.Module,
    pair: tuple[Tensor, Tensor],
    lr: float,
    *,
    alpha: float = 1.0,
    way: Way = "product",
    checkpointed: bool = False,
) -> Inner:
    """Move F by the loss that G proposes. F itself is not changed.

    Args:
        fusion: F, two images ``[B,1,H,W]`` to one.
        proposal: G, the same two images to weights ``[B,2,H,W]``.
        pair: source a and source b, this process's share.
        lr: step size of plain gradient descent.
        alpha: of the gradient term.
        way: ``product``: theta' are leaves. ``graph``: theta' keep their graph; call within ``second_order()``.
        checkpointed: compute intermediate results of F again on the way back.
    """
    theta = trainable(fusion)
    weights = precise(proposal(*pair))
    fused = precise(call(fusion, theta, *pair, checkpointed=checkpointed))
    if way == "graph":
        loss = fusion_loss(fused, *pair, weights, alpha)
        return Inner(inner_update(loss.total, theta, lr), weights, fused, loss, pair, lr)
    loss = fusion_loss(fused, *pair, weights.detach(), alpha)
    gradients = all_mean(torch.autograd.grad(loss.total, list(theta.values())))
    moved = {
        name: (p.detach() - lr * g).requires_grad_() for (name, p), g in zip(theta.items(), gradients, strict=True)
    }
    return Inner(moved, weights, fused.detach(), loss, pair, lr)


def outer_step(
    fusion: nn.Module, proposal: nn.Module, inner: Inner, task: Tensor, way: Way = "product"
) -> list[Tensor]:
    """Gradient of the task loss for every parameter of G, through the inner step.

    Args:
        fusion: F, still at theta.
        proposal: G.
        inner: from :func:`inner_step`, made the same ``way``.
        task: the task loss, computed from ``inner.moved``; scalar, this process's mean.
        way: see :func:`inner_step`.
    """
    wanted = list(proposal.parameters())
    if way == "graph":
        return outer_gradient(task, wanted)
    direction = all_mean(torch.autograd.grad(task, list(inner.moved.values())))
    along = dict(zip(inner.moved, direction, strict=True))
    shift = -inner.lr * output_change(fusion, along, *inner.pair)
    fused = inner.fused.detach().requires_grad_()
    # The gradient term does not depend on the weights, so its slope takes no part.
    (slope,) = torch.autograd.grad(intensity_loss(fused, *inner.pair, inner.weights), fused, create_graph=True)
    return all_mean(torch.autograd.grad((slope * shift).sum(), wanted))


def output_change(module: nn.Module, along: Mapping[str, Tensor], *inputs: Tensor) -> Tensor:
    """Directional derivative of a module's output when its parameters move along ``along`` (by name)."""
    here = {name: p.detach() for name, p in trainable(module).items()}
    tangents = {name: along[name] for name in here}
    change: Tensor = jvp(lambda p: functional_call(module, p, inputs), (here,), (tangents,))[1]
    return change
