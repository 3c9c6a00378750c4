"""One pair through a method and its output rule."""

from __future__ import annotations

from typing import Any


def fuse_pair(
    method: Any, rule: Any, ir: Any, vis: Any, device: str = "cpu", ident: str = "", dataset: str = "", split: str = ""
) -> Any:
    """Fuse one pair and apply the output rule.

    Args:
        method: a built method.
        rule: its :class:`fusionbench.pixels.output_rule.OutputRule`.
        ir: uint8 ``[1,H,W]``.
        vis: uint8 ``[3,H,W]``.

    Returns:
        The 8-bit picture, uint8 ``[1 or 3,H,W]``.

    Raises:
        ValueError: when the network returns another size or values that are not finite.
    """
    import torch

    from fusionbench.pixels.output_rule import render
    from fusionbench.plugins.method import Context

    with torch.inference_mode():
        a = torch.from_numpy(ir)[None].to(device, torch.float32) / 255
        b = torch.from_numpy(vis)[None].to(device, torch.float32) / 255
        fused = method.fuse(a, b, Context([ident], dataset, split))
        if fused.shape[0] != 1 or fused.shape[1] not in (1, 3) or fused.shape[-2:] != a.shape[-2:]:
            raise ValueError(
                f"fuse returned {list(fused.shape)} for a pair of {list(a.shape[-2:])}; "
                "expected [1,1,H,W] or [1,3,H,W] of the same size"
            )
        return render(fused, b, rule)[0].cpu().numpy()
