"""Loss terms: each beside the value of the authors' function on fixed tensors (benchmarks/authors_losses.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.authors_losses import fill, images
from fusionbench.methods.losses import decomposition, gradients, perceptual, structure
from fusionbench.methods.lrrnet import stretched

KEPT: dict[str, float] = json.loads((Path(__file__).parent / "authors/losses.json").read_text())
FUSED, IR, VIS = (x.double() for x in images())
BASE = (torch.cat((IR, IR**2), 1), torch.cat((FUSED, FUSED**2), 1))
DETAIL = (torch.cat((VIS, 1 - VIS**3), 1), torch.cat((FUSED, 1 - FUSED**3), 1))


def features(image: Tensor) -> list[Tensor]:
    network = perceptual.VGG16()
    fill(network)
    return network(image.float())


OURS: dict[str, Callable[[], Tensor]] = {
    "vgg16": lambda: F.mse_loss(features(FUSED)[0], features(VIS)[0]),
    "gram_distance": lambda: perceptual.gram_distance(features(FUSED)[3], features(IR)[3]),
    "stretched": lambda: (stretched(255 * FUSED, 1e-5) * IR).mean(),
    "intensity_max": lambda: gradients.intensity_max(FUSED, IR, VIS),
    "gradient_max": lambda: gradients.gradient_max(FUSED, IR, VIS),
    "gradient_of_means": lambda: gradients.gradient_of_means(FUSED * torch.linspace(0, 1, 112), IR, VIS),
    "gradient_l1": lambda: gradients.gradient_l1(FUSED, VIS),
    "frequency_norm": lambda: gradients.frequency_norm(FUSED, IR),
    "ssim": lambda: structure.ssim(FUSED, IR),
    "ssim of 0..255": lambda: structure.ssim(255 * FUSED, 255 * VIS),
    "ssim from -1": lambda: structure.ssim(2 * FUSED - 1.2, VIS),
    "ssim_padded": lambda: structure.ssim_padded(VIS, FUSED),
    "dssim": lambda: structure.dssim(VIS, FUSED),
    "ms_ssim": lambda: structure.ms_ssim(FUSED, VIS),
    "ms_ssim of 0..255": lambda: structure.ms_ssim(255 * FUSED, 255 * IR),
    "correlation": lambda: decomposition.correlation(*BASE),
    "decomposition": lambda: decomposition.decomposition(BASE, DETAIL),
}


def test_every_value_is_compared() -> None:
    assert OURS.keys() == KEPT.keys()


@pytest.mark.parametrize("name", OURS)
def test_the_authors_value(name: str) -> None:
    assert float(OURS[name]()) == pytest.approx(KEPT[name], rel=1e-4)
