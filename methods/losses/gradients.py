"""Terms of intensities and of gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.training.distributed import all_mean, gathered, world

_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def sobel_pair(x: Tensor) -> Tensor:
    """Horizontal and vertical (upwards) Sobel response ``[B,2,H,W]``, the border padded with zeros."""
    kernel = torch.tensor(_SOBEL, dtype=x.dtype, device=x.device)
    return F.conv2d(x, torch.stack((kernel, -kernel.T))[:, None], padding=1)


def sobel(x: Tensor) -> Tensor:
    """Sum of the sizes of both Sobel responses, ``[B,1,H,W]`` (SeAFusion, CDDFuse, SwinFusion)."""
    return sobel_pair(x).abs().sum(1, keepdim=True)


def spatial_gradient(x: Tensor) -> Tensor:
    """Both Sobel responses divided by 8, the edge repeated (kornia's ``SpatialGradient``), ``[B,2,H,W]``."""
    kernel = torch.tensor(_SOBEL, dtype=x.dtype, device=x.device) / 8
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), torch.stack((kernel, kernel.T))[:, None])


def laplacian(x: Tensor) -> Tensor:
    """A pixel beside its eight neighbours, the border mirrored (kornia's ``laplacian``), ``[B,1,H,W]``."""
    kernel = x.new_ones(1, 1, 3, 3)
    kernel[..., 1, 1] = -8
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel / 16)


def laplacian_max(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """L1 distance of the size of the Laplacian to the larger one of the sources (IRFS)."""
    of_fused, *of_sources = (laplacian(x).abs() for x in (fused, ir, vis))
    return F.l1_loss(of_fused, torch.maximum(*of_sources))


def intensity_max(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """L1 distance to the larger source at each pixel (SeAFusion equation 4)."""
    return F.l1_loss(fused, torch.maximum(ir, vis))


def gradient_max(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """L1 distance of the Sobel response to the larger one of the sources (SeAFusion equation 5)."""
    return F.l1_loss(sobel(fused), torch.maximum(sobel(ir), sobel(vis)))


def sobel_l1(image: Tensor, target: Tensor) -> Tensor:
    """L1 distance of the Sobel responses of two images (SegMiF)."""
    return F.l1_loss(sobel(image), sobel(target))


def signed_gradient_max(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """L1 distance of both signed Sobel responses of each colour to the larger ones of the sources (MRFS)."""
    of_fused, *of_sources = (sobel_pair(x.flatten(0, 1)[:, None]) for x in (fused, ir, vis))
    return F.l1_loss(of_fused, torch.maximum(*of_sources))


def gradient_of_means(fused: Tensor, ir: Tensor, vis: Tensor) -> Tensor:
    """DATFuse's gradient term as released: signed responses are averaged over the batch, then compared."""
    of_fused, *of_sources = all_mean([2 * sobel_pair(x).mean() for x in (fused, ir, vis)])
    return (of_fused - torch.maximum(*of_sources)).abs()


def gradient_l1(image: Tensor, target: Tensor) -> Tensor:
    """L1 distance of spatial gradients (DIDFuse, CDDFuse, EMMA)."""
    return F.l1_loss(spatial_gradient(image), spatial_gradient(target))


def frequency(x: Tensor, radius: int = 5) -> Tensor:
    """Squared steps to the left and the upper neighbour, summed over a window (YDTR); beyond the border is zero."""
    left, above = (x - F.pad(x, side)[..., : x.shape[-2], : x.shape[-1]] for side in ((1, 0), (0, 0, 1, 0)))
    window = torch.ones(1, 1, 2 * radius + 1, 2 * radius + 1, dtype=x.dtype, device=x.device)
    return F.conv2d(left**2 + above**2, window, padding=radius)


def frequency_norm(fused: Tensor, source: Tensor) -> Tensor:
    """Euclidean norm, over the whole batch, of the difference of both spatial frequencies (YDTR)."""
    norm: Tensor = (frequency(fused) - frequency(source)).norm()  # its slope at zero is zero
    return norm if world() == 1 else gathered(norm).norm()
