"""Terms of a student that learns from the sources and from what a teacher made of them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fusionbench.methods.losses.gradients import gradient_max


def student_intensity(fused: Tensor, ir: Tensor, vis: Tensor, teacher: Tensor | None) -> Tensor:
    """Squared distances to visible, infrared and the teacher's image, 3 : 2 : 4 (SAGE); without one the first two."""
    own = 3 * F.mse_loss(fused, vis) + 2 * F.mse_loss(fused, ir)
    return own if teacher is None else own + 4 * F.mse_loss(fused, teacher)


def student_gradient(fused: Tensor, ir: Tensor, vis: Tensor, teacher: Tensor | None) -> Tensor:
    """Distances of Sobel responses to the larger of the sources and to the teacher's, 9 : 3 (SAGE)."""
    own = 9 * gradient_max(fused, ir, vis)
    return own if teacher is None else own + 3 * gradient_max(fused, teacher, teacher)
