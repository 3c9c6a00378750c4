"""The meta step for any module: an inner update that keeps its graph, an outer gradient through it.

    new = inner_update(loss(F(x), G(x)), F, lr)            # F's parameters after one step, functions of G
    outer = task_loss(call(F, new, other))
    gradients = outer_gradient(outer, G.parameters())

Run all of it inside ``second_order()``. Nothing is copied or written: ``F`` itself is never changed. With several
processes each computes its share of both batches; the updates are means over processes, and the outer gradient is
that of the mean loss, second-order terms included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from fusionbench.training.distributed import all_mean

Parameters = Mapping[str, Tensor]


def second_order() -> AbstractContextManager[Any]:
    """Context for forward passes that are differentiated twice: attention as plain matrix products.

    The fused attention kernels have no second derivative.
    """
    return sdpa_kernel(SDPBackend.MATH)


def trainable(module: nn.Module) -> dict[str, Tensor]:
    """The parameters that are trained, by name; one of several shared names is listed."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def inner_update(
    loss: Tensor, parameters: nn.Module | Parameters, lr: float | Tensor, differentiable: bool = True
) -> dict[str, Tensor]:
    """One step of plain gradient descent whose result can be differentiated.

    Args:
        loss: scalar, this process's mean; computed from ``parameters``.
        parameters: the module, or the result of an earlier inner update for several steps in a row.
        lr: step size; a tensor may itself be learned.
        differentiable: keep the graph of the gradient; without it the new parameters are detached.

    Returns:
        ``parameter - lr * gradient`` by name, the gradient being the mean over processes. What the loss does not
        depend on is returned as it was.
    """
    old = trainable(parameters) if isinstance(parameters, nn.Module) else dict(parameters)
    gradients = torch.autograd.grad(loss, list(old.values()), create_graph=differentiable, allow_unused=True)
    if not differentiable:
        old = {name: p.detach() for name, p in old.items()}
    used = {name: g for name, g in zip(old, gradients, strict=True) if g is not None}
    means = dict(zip(used, all_mean(list(used.values())), strict=True))
    return {name: p - lr * means[name] if name in means else p for name, p in old.items()}


def call(
    module: nn.Module, parameters: Parameters, *inputs: Any, checkpointed: bool = False, keep_buffers: bool = False
) -> Any:
    """The module's output with other parameters.

    Args:
        module: not changed, except for its running statistics.
        parameters: by name; shared parameters follow.
        inputs: of ``module.forward``.
        checkpointed: keep no intermediate results and compute them again on the way back: less memory, more time. Where
            parts of the module have an attribute ``piece = True``, each of them by itself, so that never more than one
            of them is held; else the module as a whole.
        keep_buffers: leave the running statistics as they were.
    """
    values = dict(parameters)
    if keep_buffers:
        values |= {name: buffer.clone() for name, buffer in module.named_buffers()}
    tensors = _by_owner(module, values)
    if not checkpointed:
        return functional_call(module, tensors, inputs, tie_weights=False)
    pieces = {name: part for name, part in module.named_modules() if getattr(part, "piece", False)}
    if not pieces:
        return checkpoint(
            lambda *x: functional_call(module, tensors, x, tie_weights=False), *inputs, use_reentrant=False
        )
    for name, part in pieces.items():
        own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        part.forward = partial(_again, part, own)
    try:
        return functional_call(module, tensors, inputs, tie_weights=False)
    finally:
        for part in pieces.values():
            del part.forward


def _again(part: nn.Module, tensors: Parameters, *inputs: Any) -> Any:
    """A part of a module with these tensors, computed once more on the way back, where the module has its own again."""

    def once(*x: Any) -> Any:
        held = vars(part).pop("forward", None)
        try:
            return functional_call(part, dict(tensors), x, tie_weights=False)
        finally:
            if held is not None:
                part.forward = held

    return checkpoint(once, *inputs, use_reentrant=False)


def _by_owner(module: nn.Module, values: Parameters) -> dict[str, Tensor]:
    """The values under one name for each submodule that owns such a tensor.

    ``functional_call`` ties shared tensors by itself, but where one submodule is registered under two names it then
    swaps the same tensor twice and leaves the new value behind.
    """
    held = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    new = {id(held[name]): value for name, value in values.items()}
    tensors = {}
    for prefix, part in module.named_modules():
        for key, old in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
            if id(old) in new:
                tensors[f"{prefix}.{key}" if prefix else key] = new[id(old)]
    return tensors


def outer_gradient(loss: Tensor, parameters: Iterable[Tensor]) -> list[Tensor]:
    """Gradient of the mean of ``loss`` over processes; zeros for what it does not depend on."""
    wanted = list(parameters)
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    return all_mean([torch.zeros_like(p) if g is None else g for p, g in zip(wanted, gradients, strict=True)])


@contextmanager
def restored(*modules: nn.Module) -> Iterator[None]:
    """Afterwards the modules have the parameters and buffers they had before.

    Gradients through a module that is updated inside must be taken inside, too.
    """
    saved = [(value, value.detach().clone()) for m in modules for value in (*m.parameters(), *m.buffers())]
    try:
        yield
    finally:
        with torch.no_grad():
            for value, old in saved:
                value.copy_(old)
