"""CLDyN: a closed-loop dynamic network for multi-task fusion (CVPR 2026)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.colour import luma
from fusionbench.errors import FusionbenchError
from fusionbench.method import Arithmetic, Context, Method

from . import checkpoint
from .fast import without_norms
from .loop import ClosedLoop, task_image
from .rsc import STRUCTURES, Choice
from .vfn import VFN

TASKS = ("none", "detection", "segmentation", "saliency")


class CLDyN(Method):
    """Luma of both images in, fused luma in [0,1] out; needs a checkpoint.

    Args:
        task: whose frozen network customises the image (eqs. 2 to 5); ``none`` is the fusion network alone.
        iterations: how often the loop is gone round.
    """

    vfn: VFN
    loop: ClosedLoop | None
    network: Any

    def __init__(self, task: str = "none", iterations: int = 1) -> None:
        super().__init__(task=task, iterations=iterations)
        if task not in TASKS:
            raise FusionbenchError(f"cldyn: task={task}: choose one of {', '.join(TASKS)}")
        if iterations < 1:
            raise FusionbenchError(f"cldyn: iterations={iterations}: must be at least 1")
        self.task, self.iterations = task, iterations
        self.vfn, self.loop, self.network = VFN().eval().requires_grad_(False), None, None

    @classmethod
    def rows(cls, weights: Path) -> list[dict[str, Any]]:
        """The fusion network alone, and one row for each task whose loop the checkpoint holds."""
        return [{}, *({"task": name} for name in checkpoint.loops(weights))]

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :func:`.checkpoint.convert`."""
        return checkpoint.convert(state)

    def load(self, weights: Path | None) -> None:
        """Read a converted checkpoint (safetensors), strictly.

        Raises:
            ValueError: no file, or tensors of something else.
            FusionbenchError: it has no closed loop for the task.
        """
        if weights is None:
            raise ValueError("cldyn needs weights: fusionbench weights add cldyn FILE")
        from safetensors.torch import load_file

        parts = checkpoint.unpack(load_file(weights))
        self.vfn = parts.vfn.eval().requires_grad_(False)
        if self.task != "none":
            self.network = parts.network(self.task)
            assert parts.rsc is not None  # or there were no network
            closed = parts.about[self.task].get("told", True)
            self.loop = ClosedLoop(self.vfn, parts.rsc.requires_grad_(False), closed)

    def compute(self, arithmetic: Arithmetic) -> None:
        """See :meth:`fusionbench.method.Method.compute`; of the loop the fusion network alone.

        What the task network says and what is chosen by it stays float32, as a choice may tip over at the last bit.
        """
        kind = self.device.type
        if arithmetic.plain(kind):
            return
        vfn = without_norms(self.vfn)
        if self.loop is None:
            self.vfn = vfn
            return arithmetic.apply(vfn, kind)
        self.vfn = self.loop.vfn = vfn
        for part in vfn.parts():
            arithmetic.apply(part, kind)

    @torch.no_grad()
    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """See :meth:`fusionbench.method.Method.fuse`; the fused luma."""
        if self.loop is None:
            fused: Tensor = self.vfn(ir, luma(vis))
            return fused
        return self.loop.run(self.network, ir, vis, self.iterations)[-1]

    # ------------------------------------------------------------ what the loop did

    @torch.no_grad()
    def changes(self, ir: Tensor, vis: Tensor, iterations: int = 8) -> list[float]:
        """Mean absolute change of the fused luma from each iteration to the next; it settles where they vanish.

        Feedback acts only by what it selects, so the image stands still as soon as the choices repeat.
        """
        fused = self._looped().run(self.network, ir, vis, iterations)
        return [float((after - before).abs().mean()) for before, after in pairwise(fused)]

    @torch.no_grad()
    def kernels_chosen(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> dict[str, list[str]]:
        """The convolutions of each branch in the last iteration, for one pair.

        Returns:
            By modality and block (``ir0``, ``vis0``), as ``3x3 dilation 2, vector 17``.
        """
        return {
            name: [
                f"{STRUCTURES[s][0]}x{STRUCTURES[s][0]} dilation {STRUCTURES[s][1]}, vector {v}"
                for s, v in zip(choice.structure[0].tolist(), choice.entry[0].tolist(), strict=True)
            ]
            for name, choice in self._choices(ir, vis).items()
        }

    @torch.no_grad()
    def views(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> dict[str, Tensor]:
        """What the loop did to one pair, as pictures in [0,1].

        Args:
            ir: ``[1,1,H,W]``.
            vis: ``[1,3,H,W]``.
            context: not used.

        Returns:
            ``plain`` and ``customised``, the fused luma ``[1,H,W]``; ``difference`` ``[3,H,W]``: red where the loop
            made it brighter, blue darker, full colour at the largest change; ``kernels`` ``[3,H,W]``: the taps of each
            chosen kernel, infrared in the upper row and visible in the lower.
        """
        fused = self._looped().run(self.network, ir, vis, self.iterations)
        change = (fused[-1] - fused[0])[0, 0]
        strength = change / change.abs().max().clamp(min=1 / 255)
        difference = torch.stack((1 + strength.clamp(max=0), 1 - strength.abs(), 1 - strength.clamp(min=0)))
        return {
            "plain": fused[0][0].clamp(0, 1),
            "customised": fused[-1][0].clamp(0, 1),
            "difference": difference.clamp(0, 1),
            "kernels": _taps(list(self._choices(ir, vis).values())[:2], tuple(ir.shape[2:])),
        }

    def _looped(self) -> ClosedLoop:
        if self.loop is None:
            raise FusionbenchError("cldyn: nothing to see of the closed loop with task=none; choose a task")
        return self.loop

    def _choices(self, ir: Tensor, vis: Tensor) -> dict[str, Choice]:
        loop = self._looped()
        before = loop.run(self.network, ir, vis, self.iterations - 1)[-1]
        feedback = loop.feedback(self.network, task_image(before, vis))
        choices: dict[str, Choice] = {}
        for number, pair in enumerate(loop.choices(loop.start(ir, luma(vis)), feedback)):
            choices |= {f"ir{number}": pair[0], f"vis{number}": pair[1]}
        return choices


def _taps(rows: list[Choice], size: tuple[int, ...]) -> Tensor:
    """A picture ``[3,H,W]`` of kernels: a row per modality, a 9x9 cell per branch, white where the kernel reads."""
    cells = []
    for choice in rows:
        row = []
        for number in choice.structure[0].tolist():
            kernel, dilation = STRUCTURES[number]
            cell, reach = torch.full((9, 9), 0.15), (kernel - 1) // 2 * dilation
            cell[4 - reach : 5 + reach : dilation, 4 - reach : 5 + reach : dilation] = 1
            row.append(cell)
        cells.append(torch.cat(row, 1))
    return F.interpolate(torch.cat(cells)[None, None], size, mode="nearest")[0].repeat(3, 1, 1)
