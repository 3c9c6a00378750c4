"""Request-driven semantic compensation (RSC) of CLDyN: a bank of basis vectors, and A2SI blocks that turn a task's
feedback into convolutions of a chosen structure with predicted kernels. Names are those of the released state dicts.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import fast
from .vfn import SLOPE, WIDTH

STRUCTURES = ((1, 1), (3, 1), (3, 2), (3, 3))  # kernel size and dilation of each prototype, in the bank's order
EMBED = 256  # of a basis vector
VECTORS = 32  # of each sub-bank
BRANCHES = 4  # M
PROTOTYPE = 16  # dimension of a prototype
TEMPERATURE = 0.5  # of the Gumbel-softmax
SEQUENCE = 1 << 15  # values of a task feature that are read at a time where no gradients are kept


class Choice(NamedTuple):
    """What an A2SI block decided for each sample and branch.

    Attributes:
        structure: int64 ``[B,M]``, index into :data:`STRUCTURES`.
        entry: int64 ``[B,M]``, which vector of that sub-bank.
        vector: ``[B,M,256]``, the vector itself, differentiable.
    """

    structure: Tensor
    entry: Tensor
    vector: Tensor


def _perceptron(into: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(into, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, out))


def _sequence(width: int) -> nn.Sequential:
    """Convolutions over a task feature flattened to one sequence ``[B,1,N]``; read by :func:`sequence_mean`."""
    first = nn.Conv1d(1, width // 2, 3, padding=1, bias=False)
    return nn.Sequential(first, nn.LeakyReLU(SLOPE), nn.Conv1d(width // 2, width, 3, padding=1, bias=False))


def sequence_mean(layers: nn.Sequential, task: Tensor) -> Tensor:
    """The mean over the sequence of what the layers make of it, ``[B,width]``.

    The last layer is linear, so the mean goes first: its taps see sums of the same values, but for one at either end.
    """
    first, last = (cast(nn.Conv1d, layers[i]) for i in (0, 2))
    sequence = F.pad(task.flatten(1), (1, 1))
    count = sequence.shape[1] - 2
    length = count if torch.is_grad_enabled() else SEQUENCE
    total = head = tail = task.new_zeros(())
    for start in range(0, count, length):
        # A convolution with one input channel as a matrix product: many times faster on a processor.
        hidden = F.leaky_relu(sequence[:, start : start + length + 2].unfold(1, 3, 1) @ first.weight[:, 0].T, SLOPE)
        total, tail = total + hidden.sum(1), hidden[:, -1]
        head = head if start else hidden[:, 0]
    sums = torch.stack((total - tail, total, total - head), 2) / count
    return torch.einsum("bck,ock->bo", sums, last.weight)


def _seen(layers: nn.Sequential, image: Tensor) -> Tensor:
    """The mean over pixels of what the layers make of features ``[B,8,H,W]``."""
    return fast.mean_of(layers, image) if fast.possible(layers, image) else layers(image).flatten(1)


def _normalised(into: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.LeakyReLU(SLOPE)]


class Query(nn.Module):
    """What a task and an image ask of the bank: ``[B,256]``."""

    def __init__(self) -> None:
        super().__init__()
        self.p_task_f = _sequence(EMBED // 2)
        self.p_img_f = nn.Sequential(
            *_normalised(WIDTH, EMBED // 4), *_normalised(EMBED // 4, EMBED // 2), nn.AdaptiveAvgPool2d(1)
        )
        self.mlp = _perceptron(EMBED, EMBED // 4, EMBED)

    def forward(self, task: Tensor, image: Tensor) -> Tensor:
        """Feedback ``[B,C,h,w]`` and features ``[B,8,H,W]`` to the query; the feedback's scale does not matter."""
        task = task / (task.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-8)
        out: Tensor = self.mlp(torch.cat((sequence_mean(self.p_task_f, task), _seen(self.p_img_f, image)), 1))
        return out


class A2SI(nn.Module):
    """Architecture-adaptive semantic injection into the features of one modality (CLDyN section 3.3, eqs. 6 to 9).

    In training the structures are drawn by hard Gumbel-softmax from the global generator, in evaluation mode the
    likeliest are taken. All samples and branches with the same structure go through one grouped convolution.

    Args:
        learn_query: hand the vectors' gradient on to the query by a softmax over the similarities. False is the
            released code, in which no gradient reaches the layers of ``bv_f``. Outputs are the same.
    """

    orthogonal_convolutional_prototypes: Tensor

    def __init__(self, learn_query: bool = True) -> None:
        super().__init__()
        self.learn_query = learn_query
        prototypes = nn.init.orthogonal_(torch.empty(len(STRUCTURES), PROTOTYPE))
        self.register_buffer("orthogonal_convolutional_prototypes", prototypes)
        self.bv_f = Query()
        self.p_task_f = _sequence(PROTOTYPE // 2)
        self.p_img_f = nn.Sequential(*_normalised(WIDTH, PROTOTYPE // 2), nn.AdaptiveAvgPool2d(1))
        self.a_task_img = _perceptron(PROTOTYPE, BRANCHES // 2 * PROTOTYPE, BRANCHES * PROTOTYPE)
        self.mlp_1x1 = _perceptron(EMBED, EMBED // 4, WIDTH * WIDTH)
        self.mlp_3x3 = _perceptron(EMBED, EMBED // 4, 9 * WIDTH * WIDTH)
        self.B_LR = nn.Sequential(nn.BatchNorm2d(WIDTH), nn.LeakyReLU(SLOPE))
        self.zc = nn.Conv2d(WIDTH, WIDTH, 1)
        nn.init.zeros_(self.zc.weight)
        assert self.zc.bias is not None
        nn.init.zeros_(self.zc.bias)

    def structures(self, task: Tensor, image: Tensor) -> Tensor:
        """The selection matrix S, one-hot ``[B,M,4]``; in training with the gradient of its softmax."""
        request = self.a_task_img(torch.cat((sequence_mean(self.p_task_f, task), _seen(self.p_img_f, image)), 1))
        request = F.normalize(request.view(-1, PROTOTYPE, BRANCHES), dim=1, eps=1e-8)
        prototypes = F.normalize(self.orthogonal_convolutional_prototypes, dim=1, eps=1e-8)
        likeness = (prototypes @ request).transpose(1, 2)
        if self.training:
            return F.gumbel_softmax(likeness, TEMPERATURE, hard=True)
        return F.one_hot(likeness.argmax(2), len(STRUCTURES)).to(likeness.dtype)

    def choose(self, bank: Tensor, task: Tensor, image: Tensor) -> Choice:
        """Structures and basis vectors.

        The branches of a sample that chose the same sub-bank take its most similar vectors, best first.

        Args:
            bank: ``[4,32,256]``.
            task: feedback ``[B,C,h,w]``.
            image: features ``[B,8,H,W]``.
        """
        chosen = self.structures(task, image)
        structure = chosen.argmax(2)
        query = F.normalize(self.bv_f(task, image), dim=1)
        likeness = torch.einsum("bd,tvd->btv", query, F.normalize(bank.detach(), dim=2))
        rank = (structure[:, :, None] == structure[:, None, :]).tril(-1).sum(2)
        best = likeness.detach().topk(BRANCHES, 2).indices
        rows = torch.arange(len(task), device=task.device)[:, None]
        entry = best[rows, structure, rank]
        vector = bank[structure, entry]
        if torch.is_grad_enabled():
            vector = torch.einsum("bmt,tbmd->bmd", chosen, bank[:, entry])  # the same values, with S in the graph
            if self.learn_query:
                share = F.softmax(likeness / TEMPERATURE, 2)[rows, structure]
                soft = torch.einsum("bmv,bmvd->bmd", share, bank.detach()[structure])
                vector = vector + (soft - soft.detach())
        return Choice(structure, entry, vector)

    def kernels(self, choice: Choice) -> list[Tensor]:
        """Predicted kernels ``[8,8,k,k]`` of each branch, sample after sample."""
        small = self.mlp_1x1(choice.vector).view(-1, WIDTH, WIDTH, 1, 1)
        large = self.mlp_3x3(choice.vector).view(-1, WIDTH, WIDTH, 3, 3)
        sizes = [STRUCTURES[number][0] for number in choice.structure.flatten().tolist()]
        return [(small if size == 1 else large)[branch] for branch, size in enumerate(sizes)]

    def convolve(self, image: Tensor, choice: Choice) -> Tensor:
        """The chosen convolutions with their predicted kernels: ``[B,8,H,W]`` to ``[B,M,8,H,W]``."""
        kernels, structure = self.kernels(choice), choice.structure.flatten().tolist()
        results: list[Tensor] = [image] * len(structure)
        for number, (size, dilation) in enumerate(STRUCTURES):
            alike = [branch for branch, own in enumerate(structure) if own == number]
            if alike:
                weight = torch.cat([kernels[branch] for branch in alike])
                x = image[[branch // BRANCHES for branch in alike]].view(1, -1, *image.shape[2:])
                y = F.conv2d(x, weight, padding=(size - 1) // 2 * dilation, dilation=dilation, groups=len(alike))
                for branch, result in zip(alike, y.view(-1, *image.shape[1:]), strict=True):
                    results[branch] = result
        branches: Tensor = torch.stack(results).unflatten(0, (-1, BRANCHES))
        return branches

    def forward(self, bank: Tensor, task: Tensor, image: Tensor) -> Tensor:
        """Compensated features ``[B,8,H,W]``; see :meth:`choose` for the arguments."""
        return self.compensate(image, self.choose(bank, task, image))

    def compensate(self, image: Tensor, choice: Choice) -> Tensor:
        """Features ``[B,8,H,W]`` with a choice carried out on them."""
        if fast.possible(self, image):
            kernels = self.kernels(choice)
            dilations = [[STRUCTURES[i][1] for i in row] for row in choice.structure.tolist()]
            parts = [
                fast.branches(image[b : b + 1], kernels[BRANCHES * b : BRANCHES * (b + 1)], own, self.B_LR)
                for b, own in enumerate(dilations)
            ]
            mean = torch.cat(parts)
        else:
            branches = self.convolve(image, choice)
            mean = self.B_LR(branches.flatten(0, 1)).unflatten(0, (-1, BRANCHES)).mean(1)
        compensated: Tensor = image + self.zc(mean)
        return compensated


class Branch(nn.Module):
    """The A2SI blocks ``a2si0``, ``a2si1``... of one modality."""

    def __init__(self, blocks: int, learn_query: bool = True) -> None:
        super().__init__()
        for index in range(blocks):
            setattr(self, f"a2si{index}", A2SI(learn_query))

    def block(self, index: int) -> A2SI:
        """A block by number."""
        block: A2SI = getattr(self, f"a2si{index}")
        return block


class RSC(nn.Module):
    """The bank and both modalities' A2SI blocks; 462,696 trainable parameters with one block each (L = 2).

    Args:
        blocks: L - 1.
        learn_query: see :class:`A2SI`.
    """

    def __init__(self, blocks: int = 1, learn_query: bool = True) -> None:
        super().__init__()
        self.blocks = blocks
        vectors = nn.init.orthogonal_(torch.empty(len(STRUCTURES) * VECTORS, EMBED))
        self.bank = nn.Parameter(vectors.view(len(STRUCTURES), VECTORS, EMBED))
        self.ir, self.vi = Branch(blocks, learn_query), Branch(blocks, learn_query)

    def choose(self, index: int, task: Tensor, ir: Tensor, vi: Tensor) -> tuple[Choice, Choice]:
        """What block ``index`` of either modality would do."""
        ir_block, vi_block = self.ir.block(index), self.vi.block(index)
        return ir_block.choose(self.bank, task, ir), vi_block.choose(self.bank, task, vi)

    def forward(self, index: int, task: Tensor, ir: Tensor, vi: Tensor) -> tuple[Tensor, Tensor]:
        """Block ``index`` on the features of both modalities, each ``[B,8,H,W]``; feedback ``[B,C,h,w]``."""
        return self.ir.block(index)(self.bank, task, ir), self.vi.block(index)(self.bank, task, vi)
