"""CLDyN's closed loop: fuse, ask a frozen task network, compensate, fuse again (section 3.2, equations 2 to 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.colour import luma, recombine

from .rsc import RSC, Choice
from .vfn import VFN

if TYPE_CHECKING:
    from fusionbench.tasks.network import Target, TaskNetwork

CHROMA = "jpeg"  # the formulas of the released code


def task_image(fused: Tensor, vis: Tensor) -> Tensor:
    """What a task network sees: the fused luma ``[B,1,H,W]`` with the visible chroma, RGB in [0,1]."""
    return recombine(fused, vis, CHROMA).clamp(0, 1)


def listen(network: TaskNetwork, images: Tensor) -> Tensor:
    """The feedback of a task network on RGB images: the layer it names, without gradients."""
    with torch.no_grad():
        return network.features(_seen(network, images)).detach()


def task_loss(network: TaskNetwork, images: Tensor, targets: Sequence[Target]) -> Tensor:
    """A task network's own loss on RGB images, a scalar."""
    return network.loss(_seen(network, images), targets)


def _seen(network: TaskNetwork, images: Tensor) -> Tensor:
    return images if network.channels == 3 else luma(images)


def reward_punishment(before: Tensor, after: Tensor, penalty: float = 5.0) -> Tensor:
    """The task loss after the loop, plus ``penalty`` times what it is worse than before (section 3.2).

    Args:
        before: task loss on the plain fused image; taken as a constant.
        after: on the customised one.
        penalty: alpha; 0 is the ablation without punishment.
    """
    return after + penalty * F.relu(after - before.detach())


@dataclass
class Start:
    """What the fusion network made of a pair before any feedback.

    Attributes:
        ir: features ``[B,8,H,W]`` of the first infrared block.
        vi: of the first visible block.
        fused: the plain fused luma ``[B,1,H,W]``.
    """

    ir: Tensor
    vi: Tensor
    fused: Tensor


class ClosedLoop(nn.Module):
    """A frozen fusion network and the compensation of its features.

    Gradients reach the compensation alone, through the rest of the fusion network.

    Args:
        vfn: the fusion network.
        rsc: the compensation.
        closed: False is the ablation without a closed loop: the compensation gets no feedback from the task.
    """

    def __init__(self, vfn: VFN, rsc: RSC, closed: bool = True) -> None:
        super().__init__()
        self.vfn, self.rsc, self.closed = vfn.requires_grad_(False), rsc, closed
        self.train(False)

    def train(self, mode: bool = True) -> ClosedLoop:
        """Training mode for the compensation; the fusion network keeps its statistics."""
        super().train(mode)
        self.vfn.eval()
        return self

    @torch.no_grad()
    def start(self, ir: Tensor, vi: Tensor) -> Start:
        """Fuse infrared and visible luma ``[B,1,H,W]`` without feedback."""
        ir, vi = self.vfn.encode(0, ir, vi)
        return Start(ir, vi, self._finish(0, ir, vi))

    def feedback(self, network: TaskNetwork, image: Tensor) -> Tensor:
        """The feedback on an RGB image ``[B,3,H,W]``; a single zero where the loop is not closed."""
        return listen(network, image) if self.closed else image.new_zeros(len(image), 1, 1, 1)

    def customise(self, start: Start, feedback: Tensor) -> Tensor:
        """The fused luma for a task, from its feedback ``[B,C,h,w]``."""
        ir, vi = start.ir, start.vi
        for index in range(self.rsc.blocks):
            if index:
                ir, vi = self.vfn.encode(index, ir, vi)
            ir, vi = self.rsc(index, feedback, ir, vi)
        return self._finish(self.rsc.blocks - 1, ir, vi)

    def choices(self, start: Start, feedback: Tensor) -> list[tuple[Choice, Choice]]:
        """What each pair of A2SI blocks (infrared, visible) chooses in :meth:`customise`."""
        ir, vi, pairs = start.ir, start.vi, []
        for index in range(self.rsc.blocks):
            if index:
                ir, vi = self.vfn.encode(index, ir, vi)
            pairs.append(self.rsc.choose(index, feedback, ir, vi))
            if index + 1 < self.rsc.blocks:
                ir, vi = self.rsc(index, feedback, ir, vi)
        return pairs

    def _finish(self, index: int, ir: Tensor, vi: Tensor) -> Tensor:
        """From the features of block ``index`` to the fused luma."""
        for later in range(index + 1, self.vfn.blocks):
            ir, vi = self.vfn.encode(later, ir, vi)
        return self.vfn.decode(ir, vi)

    def run(self, network: TaskNetwork, ir: Tensor, vis: Tensor, iterations: int = 1) -> list[Tensor]:
        """Go round the loop.

        Args:
            network: the frozen task network.
            ir: ``[B,1,H,W]`` in [0,1].
            vis: RGB ``[B,3,H,W]`` in [0,1].
            iterations: how often; each listens to the image before and compensates the same first features.

        Returns:
            The plain fused luma, then that of each iteration.
        """
        start = self.start(ir, luma(vis))
        fused = [start.fused]
        for _ in range(iterations):
            fused.append(self.customise(start, self.feedback(network, task_image(fused[-1], vis))))
        return fused

    def losses(self, network: TaskNetwork, ir: Tensor, vis: Tensor, targets: Sequence[Target]) -> tuple[Tensor, Tensor]:
        """Task loss before and after one turn of the loop; the latter is differentiable in the compensation.

        Args:
            network: the frozen task network.
            ir: ``[B,1,H,W]`` in [0,1].
            vis: RGB ``[B,3,H,W]`` in [0,1].
            targets: labels of each sample.
        """
        start = self.start(ir, luma(vis))
        plain = task_image(start.fused, vis)
        with torch.no_grad():
            before = task_loss(network, plain, targets)
        after = task_loss(network, task_image(self.customise(start, self.feedback(network, plain)), vis), targets)
        return before, after


def measure(
    loop: ClosedLoop,
    network: TaskNetwork,
    batches: Sequence[tuple[Tensor, Tensor, Sequence[Target]]],
) -> tuple[float, float]:
    """Mean task loss before and after the loop, in evaluation mode and without gradients.

    Args:
        loop: with its compensation, in any mode, which is put back.
        network: the frozen task network.
        batches: infrared, visible and labels of each batch.
    """
    mode, rows = loop.training, []
    loop.eval()
    with torch.no_grad():
        for ir, vis, targets in batches:
            rows.append([float(value) for value in loop.losses(network, ir, vis, targets)])
    loop.train(mode)
    before, after = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return before, after
