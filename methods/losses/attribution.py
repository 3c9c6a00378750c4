"""How much an image matters to a segmentation network, class by class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fusionbench.training.distributed import all_sum, gather, world

from .semantic import cross_entropy

Scores = Callable[[Tensor], Tensor]  # images [B,1,h,w] to scores of classes [B,C,h,w]


def class_attribution(network: Scores, image: Tensor, labels: Tensor, steps: int) -> Tensor:
    """Integrated gradients of each class's mean score, summed over its pixels and spread over them (UAAFusion).

    Args:
        network: whose scores are explained; its weights get no gradients.
        image: ``[B,1,h,w]``; the path to it begins at black.
        labels: ``[B,h,w]`` class ids; a class counts once in the whole batch.
        steps: along the path.

    Returns:
        ``[B,1,h,w]``, 0 where it is negative.
    """
    total = torch.zeros_like(image)
    with torch.enable_grad():
        for share in range(1, steps + 1):
            scaled = (image * share / steps).detach().requires_grad_()
            scores = network(scaled)
            for label in sorted(set().union(*gather(labels.unique().tolist()))):
                inside = (labels == label)[:, None]
                seen = _share(scores[:, label : label + 1], inside)
                (slope,) = torch.autograd.grad(seen, scaled, retain_graph=True)
                total = total + all_sum(_share(slope * image, inside)) * inside
    return total.relu() / steps


def _share(values: Tensor, inside: Tensor) -> Tensor:
    """This process's part of the mean over the pixels inside, which all parts add up to."""
    found = values[inside]
    return found.mean() if world() == 1 else found.sum() / all_sum(inside.sum())


def attributed_distance(fused: Tensor, sources: tuple[Tensor, Tensor], matter: tuple[Tensor, Tensor]) -> Tensor:
    """Squared distance to both sources, each weighted at each pixel by its share of what matters (UAAFusion).

    Args:
        fused: ``[B,1,h,w]``.
        sources: two of the same shape.
        matter: of each source, :func:`class_attribution`.
    """
    a, b = (m.detach() + 1e-8 for m in matter)
    weights = (a / (a + b), b / (a + b))
    terms = [(w * (source - fused)).square().mean() for w, source in zip(weights, sources, strict=True)]
    return terms[0] + terms[1]


def labelled(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of scores ``[B,C,h,w]`` and class ids ``[B,h,w]``; class 0 does not count (UAAFusion)."""
    return cross_entropy(scores, labels, ignore_index=0)
