"""Mixed precision, and the ordinary update of one optimiser."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from fusionbench.training.distributed import average_gradients

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """How forward passes are computed; weights and optimisers stay float32.

    Args:
        name: ``fp32``, ``tf32`` (a switch of the whole run), ``bf16`` or ``fp16``. fp16 scales the loss; the scale is
            part of a checkpoint.
        device: where.
    """

    def __init__(self, name: str = "fp32", device: torch.device | str = "cpu") -> None:
        self.name, self.device = name, torch.device(device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Context for forward passes and losses."""
        kind = TYPES.get(self.name)
        return torch.autocast(self.device.type, dtype=kind, enabled=kind is not None)

    def update(
        self, loss: Tensor, optimiser: torch.optim.Optimizer, clip: float | None = None, each: bool = False
    ) -> None:
        """Backward pass, mean of the gradients over all processes, optimiser step.

        Args:
            loss: scalar, a mean over this process's share of the batch.
            optimiser: its parameters are moved; all their gradients are set anew.
            clip: largest norm of the whole gradient; None or 0 for any.
            each: the largest norm of each of the optimiser's groups by itself.
        """
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        average_gradients(parameters)
        if clip:
            self.scaler.unscale_(optimiser)
            for part in [group["params"] for group in optimiser.param_groups] if each else [parameters]:
                torch.nn.utils.clip_grad_norm_(part, clip)
        self.scaler.step(optimiser)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The loss scale and its history; empty without fp16."""
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put it back."""
        if state:
            self.scaler.load_state_dict(state)
