"""LPIPS and NIQE through the package pyiqa (IQA-PyTorch), which also fetches their weights when first used.

Not run here: pyiqa brings some thirty packages, and its weights come from the network. What is tested is this file
and its cards, with a stand-in for the package (tests/harness/test_pyiqa.py). pyiqa takes RGB of 0..1; metrics here are
given grey planes of 0..255, so the plane stands three times. Each image goes by itself, in a batch too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from fusionbench.errors import FusionbenchError
from fusionbench.metrics import Planes, per_image


@per_image
def lpips(fused: Planes, ir: Planes, vis: Planes, *, network: str = "lpips") -> Tensor:
    """Learned perceptual distance of the fused image to each source, averaged over the two.

    From 0 (a copy of both) up; lower is better. Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255, at least 64 x 64 (otherwise NaN).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.
        network: pyiqa's name: ``lpips`` (AlexNet) or ``lpips-vgg``.

    Returns:
        ``[B]``.

    Raises:
        FusionbenchError: pyiqa is not installed, or has no such metric.
    """
    if fused.smaller(64):
        return fused.undefined()
    return (values(network, fused, ir) + values(network, fused, vis)) / 2


@per_image
def niqe(fused: Planes, ir: Planes, vis: Planes) -> Tensor:
    """Distance of the fused image's statistics from those of natural pictures; the sources are not used.

    From 0 up; lower is better. Made for visible pictures: infrared is none. Mittal, Soundararajan and Bovik, IEEE
    Signal Processing Letters 20(3), 2013.

    Args:
        fused: ``[B,1,H,W]`` or ``[B,H,W]``, levels 0..255, at least 192 x 192 (otherwise NaN).
        ir: infrared source, same shape.
        vis: grey visible source, same shape.

    Returns:
        ``[B]``.

    Raises:
        FusionbenchError: pyiqa is not installed.
    """
    return fused.undefined() if fused.smaller(192) else values("niqe", fused)


def values(name: str, *images: Planes) -> Tensor:
    """What a metric of pyiqa gives of each image, ``[B]`` in float64."""
    measure = metric(name, str(images[0].x.device))
    pictures = [(p.x / 255).float().unsqueeze(1).expand(-1, 3, -1, -1) for p in images]
    with torch.no_grad():
        each = [measure(*(x[i : i + 1] for x in pictures)) for i in range(len(pictures[0]))]
    return torch.stack([value.double().reshape(()) for value in each])


@lru_cache(maxsize=4)
def metric(name: str, device: str) -> Callable[..., Tensor]:
    """A metric of pyiqa, loaded once.

    Raises:
        FusionbenchError: the package is not installed, or has no such metric.
    """
    try:
        import pyiqa
    except ImportError:
        raise FusionbenchError(f"{name} is computed by pyiqa, which is not installed: pip install pyiqa") from None
    if name not in pyiqa.list_models():
        raise FusionbenchError(f"pyiqa has no metric {name!r}")
    made: Callable[..., Tensor] = pyiqa.create_metric(name, device=torch.device(device))
    return made
