"""CLDyN's A2SI written out sample by sample and branch by branch, as its paper describes it: what the batched form is
compared with. Evaluation mode, or training with the structures given.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.methods.cldyn.rsc import A2SI, BRANCHES, STRUCTURES, WIDTH, Query


def request(layers: nn.Sequential, task: Tensor) -> Tensor:
    """A task feature as one sequence through both convolutions, then its mean."""
    return layers(task.flatten(1)[:, None]).mean(2)


def query(layers: Query, task: Tensor, image: Tensor) -> Tensor:
    """What task and image ask of the bank, ``[B,256]``."""
    scaled = task / (task.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-8)
    return layers.mlp(torch.cat((request(layers.p_task_f, scaled), layers.p_img_f(image).flatten(1)), 1))


def structures(block: A2SI, task: Tensor, image: Tensor) -> Tensor:
    """The likeliest structure of each sample and branch, ``[B,M]``."""
    both = block.a_task_img(torch.cat((request(block.p_task_f, task), block.p_img_f(image).flatten(1)), 1))
    both = F.normalize(both.view(len(task), -1, BRANCHES), dim=1)
    return (F.normalize(block.orthogonal_convolutional_prototypes, dim=1) @ both).argmax(1)


def vectors(query: Tensor, bank: Tensor, structure: Tensor) -> Tensor:
    """The basis vectors of each sample and branch, ``[B,M,256]``."""
    found = torch.empty(*structure.shape, bank.shape[2], dtype=bank.dtype)
    for b in range(len(structure)):
        for t in structure[b].unique().tolist():
            places = (structure[b] == t).nonzero().flatten()
            likeness = F.normalize(query[b : b + 1].expand(len(places), -1), dim=1) @ F.normalize(bank[t], dim=1).T
            best = likeness.max(0).values.topk(len(places)).indices
            found[b, places] = bank[t][best]
    return found


def convolutions(block: A2SI, image: Tensor, structure: Tensor, vector: Tensor) -> Tensor:
    """One convolution after the other, ``[B,M,8,H,W]``."""
    samples = []
    for b in range(len(image)):
        branches = []
        for m in range(BRANCHES):
            size, dilation = STRUCTURES[int(structure[b, m])]
            predict = block.mlp_1x1 if size == 1 else block.mlp_3x3
            kernel = predict(vector[b : b + 1, m]).view(WIDTH, WIDTH, size, size)
            padding = (size - 1) // 2 * dilation
            branches.append(F.conv2d(image[b : b + 1], kernel, padding=padding, dilation=dilation))
        samples.append(torch.cat(branches))
    return torch.stack(samples)


def a2si(block: A2SI, bank: Tensor, task: Tensor, image: Tensor, structure: Tensor | None = None) -> Tensor:
    """The whole block: ``[B,8,H,W]`` to the same shape."""
    if structure is None:
        structure = structures(block, task, image)
    vector = vectors(query(block.bv_f, task, image), bank, structure)
    branches = convolutions(block, image, structure, vector)
    return image + block.zc(block.B_LR(branches.flatten(0, 1)).unflatten(0, (-1, BRANCHES)).mean(1))
