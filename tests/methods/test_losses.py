"""Loss terms: each beside the value of the authors' function on fixed tensors (benchmarks/authors_losses.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.authors_losses import boxes, classes, critic, images, labels, slopes
from fusionbench.methods.losses import (
    adversarial,
    attribution,
    decomposition,
    detection,
    distillation,
    gradients,
    structure,
)

KEPT: dict[str, float] = json.loads((Path(__file__).parent / "authors/losses.json").read_text())
FUSED, IR, VIS = (x.double() for x in images())
BASE = (torch.cat((IR, IR**2), 1), torch.cat((FUSED, FUSED**2), 1))
DETAIL = (torch.cat((VIS, 1 - VIS**3), 1), torch.cat((FUSED, 1 - FUSED**3), 1))
MATTER = tuple(attribution.class_attribution(classes, source, labels(), 5) for source in (IR, VIS))
OURS: dict[str, Callable[[], Tensor]] = {
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
    "gradient_size": lambda: adversarial.gradient_size(VIS).mean(),
    "divergence": lambda: adversarial.divergence(critic, IR, FUSED, slopes().double()),
    "ms_ssim_l1": lambda: adversarial.ms_ssim_l1(FUSED, VIS),
    "class_attribution": lambda: MATTER[0].mean() / 15,
    "attributed_distance": lambda: attribution.attributed_distance(FUSED, (IR, VIS), (MATTER[0], MATTER[1])),
    "student_intensity": lambda: distillation.student_intensity(FUSED, IR, VIS, VIS.sqrt()),
    "student_gradient": lambda: distillation.student_gradient(FUSED, IR, VIS, VIS.sqrt()),
    "object_content": lambda: detection.object_content(FUSED, IR, VIS, boxes()),
    "correlation": lambda: decomposition.correlation(*BASE),
    "decomposition": lambda: decomposition.decomposition(BASE, DETAIL),
}


def test_every_value_is_compared() -> None:
    assert OURS.keys() == KEPT.keys()


@pytest.mark.parametrize("name", OURS)
def test_the_authors_value(name: str) -> None:
    assert float(OURS[name]().detach()) == pytest.approx(KEPT[name], rel=1e-4)
