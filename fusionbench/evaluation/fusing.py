"""One pair through a method and its output rule."""

from __future__ import annotations

import numpy as np
import torch

from fusionbench.pixels.output_rule import OutputRule, render
from fusionbench.plugins.method import Context, Method
from fusionbench.runtime.device import computing, turn
from fusionbench.runtime.flushing import flushing


def fuse_pair(
    method: Method,
    rule: OutputRule,
    ir: np.ndarray,
    vis: np.ndarray,
    device: str = "cpu",
    context: Context | None = None,
) -> np.ndarray:
    """Fuse one pair and apply the output rule.

    Args:
        method: a built method.
        rule: makes the picture from what the method returns.
        ir: uint8 ``[1,H,W]``.
        vis: uint8 ``[3,H,W]``.
        device: where the method is.
        context: name and origin of the pair; one without a name by default.

    Returns:
        The 8-bit picture, uint8 ``[1 or 3,H,W]``.

    Raises:
        ValueError: when the network returns another size or values that are not finite.
    """
    with turn(device), computing(), flushing(), torch.inference_mode():
        # bytes go to the device and become numbers there; in one call a processor would copy four times as much
        a, b = (torch.from_numpy(x)[None].to(device).to(torch.float32).div_(255) for x in (ir, vis))
        fused = method.fuse(a, b, context or Context([""]))
        if fused.shape[0] != 1 or fused.shape[1] not in (1, 3) or fused.shape[-2:] != a.shape[-2:]:
            raise ValueError(
                f"fuse returned {list(fused.shape)} for a pair of {list(a.shape[-2:])}; "
                "expected [1,1,H,W] or [1,3,H,W] of the same size"
            )
        picture: np.ndarray = render(fused, b, rule)[0].cpu().numpy()
        return picture
