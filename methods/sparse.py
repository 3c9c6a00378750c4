"""Fusion of patches by their sparse codes, and methods whose approximations are fused so.

Yang, Li, "Multifocus image fusion and restoration with sparse representation", IEEE Transactions on Instrumentation and
Measurement 59(4), 2010: of two patches without their means that one is taken whose code over a dictionary has the
larger sum of magnitudes, with its mean; overlapping patches are averaged. Codes by orthogonal matching pursuit up to an
error. Patches, their distance and the error as in the toolbox of Liu, Liu, Wang, Information Fusion 24, 2015.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.method import NetworkMethod, strict

SIDE, STRIDE, ATOMS = 8, 2, 256
ERROR = 0.1  # of a code, in levels 0..255
TINY = 1e-14  # square of a correlation, or of what an atom adds to those before, that counts as none
CHUNK = 128  # patches at once: what is computed on stays in a processor's cache


class Dictionary(nn.Module):
    """Atoms ``[64,256]``, one a column, pixels of a patch column by column; cosines until another one is loaded."""

    atoms: Tensor

    def __init__(self) -> None:
        super().__init__()
        wave = torch.cos(torch.arange(SIDE, dtype=torch.float64)[:, None] * torch.arange(16) * math.pi / 16)
        wave[:, 1:] -= wave[:, 1:].mean(0)
        self.register_buffer("atoms", torch.kron(wave, wave))

    def forward(self) -> Tensor:
        """The atoms, of length one."""
        return F.normalize(self.atoms, dim=0)


class SparseMethod(NetworkMethod):
    """Base of methods with a dictionary in the place of weights."""

    network: Dictionary

    def make(self) -> Dictionary:
        """See :meth:`NetworkMethod.make`."""
        return Dictionary()

    def convert(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """From the released file, where it is called D.

        Raises:
            ValueError: it holds something else, or an atom of length zero.
        """
        tensors = strict({"atoms": state["D"]} if set(state) == {"D"} else state, self.network)
        if not bool((tensors["atoms"].norm(dim=0) > 0).all()):
            raise ValueError("an atom of the dictionary is zero throughout")
        return tensors

    def base(self, a: Tensor, b: Tensor) -> Tensor:
        """Fuse approximations ``[B,1,H,W]`` in levels 0..255; pixels that no patch covers are averaged."""
        if min(a.shape[-2:]) < SIDE:
            return (a + b) / 2
        atoms, images = self.network(), [*a[:, 0], *b[:, 0]]
        codes: list[tuple[Tensor, Tensor]] = []
        for image in images:  # one that came before, as grey infrared of a colour image's channels, has its code
            before = next((i for i in range(len(codes)) if torch.equal(images[i], image)), None)
            codes.append(_patches(image, atoms) if before is None else codes[before])
        fused = []
        for one, two in ((i, i + len(a)) for i in range(len(a))):
            take = (codes[one][1] < codes[two][1])[:, None]
            patches = torch.where(take, codes[two][0], codes[one][0])
            fused.append(_averaged(patches, (images[one] + images[two]) / 2))
        return torch.stack(fused)[:, None]


def pursued(x: Tensor, atoms: Tensor, error: float) -> tuple[Tensor, Tensor]:
    """Orthogonal matching pursuit.

    Args:
        x: ``[P,n]``, a signal a row.
        atoms: ``[n,N]``, of length one.
        error: pursued until the rest is no longer than this.

    Returns:
        what the code of each signal stands for, ``[P,n]``, and the sum of the code's magnitudes, ``[P]``.
    """
    count, size = x.shape
    basis, amounts = x.new_zeros(count, size, size), x.new_zeros(count, size)
    triangle = torch.eye(size, dtype=x.dtype, device=x.device).repeat(count, 1, 1)
    taken = torch.zeros(count, atoms.shape[1], dtype=torch.bool, device=x.device)
    rest, going = x.clone(), torch.ones(count, dtype=torch.bool, device=x.device)
    for step in range(size):
        correlation, best = (rest @ atoms).abs().max(1)
        going &= (rest.square().sum(1) > error**2) & (correlation.square() >= TINY)
        going &= ~taken.gather(1, best[:, None])[:, 0]
        atom = atoms.T[best]
        shares = (basis[:, :step] @ atom[..., None])[..., 0]
        left = 1 - shares.square().sum(1)
        going &= left > TINY
        if not going.any():
            break
        taken.scatter_(1, best[:, None], True)
        length = left.clamp_min(TINY).sqrt()
        new = (atom - (shares[:, None] @ basis[:, :step])[:, 0]) / length[:, None] * going[:, None]
        amount = (new * rest).sum(1)
        rest = rest - amount[:, None] * new
        basis[:, step], amounts[:, step] = new, amount
        triangle[:, :step, step] = shares * going[:, None]
        triangle[:, step, step] = torch.where(going, length, 1.0)
    code = torch.linalg.solve_triangular(triangle, amounts[..., None], upper=True)
    return x - rest, code.abs().sum((1, 2))


def _patches(image: Tensor, atoms: Tensor) -> tuple[Tensor, Tensor]:
    """Of ``[H,W]``: patches as their codes give them, with their means, ``[P,64]``, and the codes' sums ``[P]``."""
    columns = F.unfold(image.mT[None, None], SIDE, stride=STRIDE)[0].T
    means = columns.mean(1, keepdim=True)
    found = [pursued(x, atoms, ERROR) for x in (columns - means).split(CHUNK)]
    parts, sums = (torch.cat(which) for which in zip(*found, strict=True))
    return parts + means, sums


def _averaged(patches: Tensor, otherwise: Tensor) -> Tensor:
    """Patches in their places, averaged where they overlap; ``otherwise`` ``[H,W]`` where there is none."""
    size = otherwise.mT.shape
    sums = (F.fold(x.T[None], size, SIDE, stride=STRIDE)[0, 0].mT for x in (patches, torch.ones_like(patches)))
    total, covered = sums
    return torch.where(covered > 0, total / covered.clamp_min(1), otherwise)
