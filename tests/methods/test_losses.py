"""Loss terms: each beside the value of the authors' function on fixed tensors (benchmarks/authors_losses.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.authors_losses import boxes, class_scores, classes, coloured, critic, fill, images, labels, slopes
from fusionbench.methods.emma.sensing import distance, moved
from fusionbench.methods.irfs import recipe as irfs
from fusionbench.methods.losses import (
    adversarial,
    attribution,
    colour,
    decomposition,
    detection,
    distillation,
    gradients,
    perceptual,
    semantic,
    structure,
)
from fusionbench.methods.lrrnet import stretched

KEPT: dict[str, float] = json.loads((Path(__file__).parent / "authors/losses.json").read_text())
FUSED, IR, VIS = (x.double() for x in images())
MEAN = (IR + VIS) / 2
LOGITS, LABELS = classes()
RAMP = torch.linspace(0, 1, 20)[:, None, None, None] * torch.linspace(0.5, 1, 112)
BASE = (torch.cat((IR, IR**2), 1), torch.cat((FUSED, FUSED**2), 1))
DETAIL = (torch.cat((VIS, 1 - VIS**3), 1), torch.cat((FUSED, 1 - FUSED**3), 1))


def mrfs() -> Tensor:
    (vis, ir), fused = coloured()
    bright, contrasted = colour.with_gamma(vis, 0.5), colour.with_contrast(ir, 1.7)
    terms = (gradients.intensity_max, gradients.signed_gradient_max)
    intensity, gradient = (term(fused, contrasted, bright) for term in terms)
    return 0.5 * intensity + 0.2 * gradient + colour.chroma_l1(fused, bright)


MATTER = tuple(attribution.class_attribution(class_scores, source, labels(), 5) for source in (IR, VIS))


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
    "ssim_by_gradient": lambda: structure.ssim_by_gradient(FUSED, IR, VIS),
    "ms_ssim_padded": lambda: structure.ms_ssim_padded(FUSED, VIS),
    "laplacian_max": lambda: gradients.laplacian_max(FUSED, IR, VIS),
    "IRFS, what is to be fused": lambda: irfs.wanted(
        *images()[1:], irfs.IRFSSettings()
    ).mean(),  # float32: it rounds to levels
    "chroma_l1 and the like": lambda: mrfs(),
    "SegMiF, first round": lambda: F.l1_loss(FUSED, MEAN) + gradients.sobel_l1(FUSED, MEAN),
    "SegMiF, later": lambda: F.mse_loss(FUSED, MEAN) + 1.1 * (1 - structure.ssim_padded(FUSED, MEAN)),
    "hard_cross_entropy": lambda: semantic.hard_cross_entropy(LOGITS, LABELS),
    "hard_cross_entropy of few": lambda: semantic.hard_cross_entropy(LOGITS, LABELS, threshold=0.001),
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
    "distance of EMMA": lambda: distance(FUSED, VIS),
    "moved": lambda: (moved(FUSED, [(-7, -7), (5, 5), (30, 30)], 3, 3) * RAMP).mean(),
    "correlation": lambda: decomposition.correlation(*BASE),
    "decomposition": lambda: decomposition.decomposition(BASE, DETAIL),
}


def test_every_value_is_compared() -> None:
    assert OURS.keys() == KEPT.keys()


@pytest.mark.parametrize("name", OURS)
def test_the_authors_value(name: str) -> None:
    assert float(OURS[name]().detach()) == pytest.approx(KEPT[name], rel=1e-4)


def test_no_pixel_that_counts_is_no_loss_and_no_nan() -> None:
    scores = torch.rand(1, 3, 4, 4, requires_grad=True)
    loss = semantic.cross_entropy(scores, torch.full((1, 4, 4), 255), 255)
    loss.backward()
    assert loss == 0
    assert scores.grad is not None
    assert torch.equal(scores.grad, torch.zeros_like(scores))
    labels = torch.arange(16).view(1, 4, 4) % 3
    assert semantic.cross_entropy(scores, labels, 255) == F.cross_entropy(scores, labels)
