"""From what a network returns to the 8-bit picture that is saved and scored.

Released codes differ here: some stretch every picture to the full range (which alone raises contrast metrics), some
round and some truncate, and each has its own way of putting the visible colours back. The rule of each release is on
its card; ``clip-round`` is the common one without any stretch, for comparing networks and not savers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fusionbench.pixels.colour import VARIANTS, recombine

CHOICES = {
    "stretch": ("none", "luma", "rgb", "luma+rgb"),
    "quantise": ("round", "truncate"),
    "chroma": ("none", *VARIANTS),
}


@dataclass(frozen=True)
class OutputRule:
    """How a fused image becomes a picture.

    Attributes:
        stretch: ``none``; ``luma``: min-max of a one-channel result before the colours return; ``rgb``: min-max over
            the finished picture, all channels together; ``luma+rgb``: both. Always image by image.
        quantise: ``round`` (half to even) or ``truncate`` to whole levels.
        chroma: whose YCbCr formulas put the visible chroma back (see :mod:`fusionbench.pixels.colour`), or ``none``: a
            one-channel result is saved grey. With ``opencv8`` the luma becomes whole levels before, as ``quantise``
            says, and the colours are rounded.

    Raises:
        ValueError: for a value that does not exist.
    """

    stretch: str = "none"
    quantise: str = "round"
    chroma: str = "opencv"

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"output rule: {name} is {value!r}; it must be one of {', '.join(allowed)}")


RULES = {"clip-round": OutputRule("none", "round", "opencv")}


def _stretch(x: Tensor) -> Tensor:
    """Each image to [0,1]; one without any contrast stays as it is."""
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low), x)


def _levels(x: Tensor, quantise: str) -> Tensor:
    """Whole levels 0..255 of values in [0,1]; what lies outside becomes 0 or 255."""
    x = x.clamp(0, 1) * 255
    return x.round() if quantise == "round" else x.trunc()


def render(fused: Tensor, vis: Tensor, rule: OutputRule) -> Tensor:
    """Apply an output rule.

    Args:
        fused: what a method returned, ``[B,1,H,W]`` (luma) or ``[B,3,H,W]`` (colours; they keep their own chroma, and
            a ``luma`` stretch leaves them alone).
        vis: the visible images, float ``[B,3,H,W]`` in [0,1].
        rule: the rule.

    Returns:
        uint8 ``[B,C,H,W]``. C is 1 for a one-channel result with chroma ``none`` or visible images that are all
        grey, else 3.

    Raises:
        ValueError: values that are not finite, or shapes that do not fit.
    """
    if fused.ndim != 4 or fused.shape[1] not in (1, 3) or vis.shape != (len(fused), 3, *fused.shape[-2:]):
        raise ValueError(f"cannot render a fused image {list(fused.shape)} beside a visible one {list(vis.shape)}")
    if bad := int((~fused.isfinite()).sum()):
        raise ValueError(f"{bad} of {fused.numel()} fused values are not finite (NaN or infinity)")
    x = fused.float()
    if x.shape[1] == 1:
        if "luma" in rule.stretch:
            x = _stretch(x)
        if rule.chroma != "none" and not torch.equal(vis, vis[:, :1].expand_as(vis)):
            if rule.chroma == "opencv8":
                x = _levels(x, rule.quantise) / 255
                rule = replace(rule, quantise="round")
            x = recombine(x, vis.float(), rule.chroma)
    x = x.clamp(0, 1)
    if "rgb" in rule.stretch:
        x = _stretch(x)
    return _levels(x, rule.quantise).to(torch.uint8)
