"""What a fusion method is to the harness."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from fusionbench.plugins.records import Value
from fusionbench.runtime.arithmetic import Arithmetic


@dataclass
class Context:
    """What a method may know about the images of a batch besides their pixels.

    Attributes:
        ids: names of the images, in the order of the batch.
        dataset: name of the data set, empty for loose files.
        split: its split, empty for loose files.
        feedback: for methods steered by a task: whatever that task hands back. None otherwise.
    """

    ids: list[str] = field(default_factory=list)
    dataset: str = ""
    split: str = ""
    feedback: object | None = None


class Method:
    """Base of all fusion methods. A subclass must have :meth:`fuse`; the rest works as it is.

    The harness builds a method with the options of its card, calls :meth:`load` once, then :meth:`to`, then (of methods
    with weights) :meth:`compute`, then :meth:`fuse` for every pair, under ``torch.inference_mode`` and possibly from
    several threads at once.
    """

    def __init__(self, **options: Value) -> None:
        self.options = options
        self.device = torch.device("cpu")

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Turn a released checkpoint, as read, into the tensors that :meth:`load` expects; as it is by default.

        Raises:
            ValueError: when it is no checkpoint of this method.
        """
        return state

    @classmethod
    def rows(cls, weights: Path) -> list[dict[str, Value]]:
        """The options under which a checkpoint makes a row each, where the card says ``several_rows = true``."""
        return [{}]

    def load(self, weights: Path | None) -> None:
        """Read a checkpoint, a safetensors file; methods without weights get None and need not override this."""

    def to(self, device: str | torch.device) -> Method:
        """Move every network among the attributes to ``device``; returns the method itself."""
        self.device = torch.device(device)
        for value in vars(self).values():
            if isinstance(value, nn.Module):
                value.to(self.device)
        return self

    def compute(self, arithmetic: Arithmetic) -> None:
        """Every network among the attributes computes so from now on, where it is called as ``self.network(...)``.

        Args:
            arithmetic: what ``--precision`` and ``--compile`` ask for.
        """
        for value in list(vars(self).values()):
            if isinstance(value, nn.Module):
                arithmetic.apply(value, self.device.type)

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """Fuse a batch of pairs; must not change its arguments.

        Args:
            ir: infrared, float32 ``[B,1,H,W]`` in [0,1].
            vis: visible, red-green-blue, float32 ``[B,3,H,W]`` in [0,1].
            context: names of the images and what else is known about them.

        Returns:
            The fused luma ``[B,1,H,W]`` or the fused colours ``[B,3,H,W]``, of the same height and width. What lies
            outside [0,1] is the output rule's business.
        """
        raise NotImplementedError

    @classmethod
    def at_once(cls, height: int, width: int) -> int:
        """Pixels that lie in memory at once of a picture of a size: all, but of a method that goes part by part."""
        return height * width

    def views(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> dict[str, Tensor]:
        """What the method shows of its inside for one pair, for ``fusionbench figure view``.

        The card says what belongs together: ``[views]``, with a view's name and the names of its maps.

        Args:
            ir: float32 ``[1,1,H,W]`` in [0,1].
            vis: float32 ``[1,3,H,W]`` in [0,1].
            context: names of the images and what else is known about them.

        Returns:
            maps by name, ``[1 or 3,H,W]`` in [0,1]; none by default.

        Raises:
            ValueError: these weights have no such thing; its text is one line.
        """
        return {}
