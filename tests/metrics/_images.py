"""Small images for tests."""

from __future__ import annotations

import torch
from torch import Tensor


def levels(rows: list[list[float]]) -> Tensor:
    """One image ``[1,1,H,W]`` in float64."""
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def noise(seed: int, *size: int) -> Tensor:
    """One random image ``[1,1,H,W]`` in uint8, smoothed so that neighbours resemble each other."""
    x = torch.randint(0, 256, (1, 1, *size), generator=torch.Generator().manual_seed(seed)).double()
    return ((x + x.roll(1, -1) + x.roll(1, -2) + x.roll((1, 1), (-2, -1))) / 4).round().to(torch.uint8)


def drawn(size: tuple[int, int], seed: int) -> dict[str, Tensor]:
    """Images ``[1,H,W]`` in float64 by what is special about them; with one seed they are related to each other."""
    g = torch.Generator().manual_seed(seed)
    h, w = size
    noise, other = (torch.randint(0, 256, (1, h, w), generator=g).double() for _ in range(2))
    smooth = ((noise + noise.roll(1, -1) + noise.roll(1, -2)) / 3).round()
    row, column = torch.arange(h)[:, None], torch.arange(w)
    black = torch.zeros(1, h, w).double()
    part = column >= 0.97 * w if w > 33 else column == w - 1
    return {
        "noise": noise,
        "other noise": other,
        "smooth": smooth,
        "inverted": 255 - smooth,
        "nearly the same": (smooth + torch.randint(-2, 3, (1, h, w), generator=g)).clamp(0, 255),
        "fractions": smooth * 0.3 + 7.7,
        "every level": (torch.arange(h * w) % 256).view(1, h, w).double(),
        "binary": (noise > 127).double() * 255,
        "chessboard": ((row + column) % 2 * 255.0)[None].double(),
        "blocks": ((row // 16 + column // 16) % 2 * 255.0)[None].double(),
        "stripes": (column % 7 == 0).double().expand(1, h, w) * 255,
        "bright point": torch.where((row == h // 2) & (column == w // 2), 255.0, (other > 127).double()),
        "dark": (other / 64).floor(),
        "black": black,
        "white": black + 255,
        "flat": black + 7,
        "flat between levels": black + 254.3,
        "flat but for a strip": torch.where(part, other, 90.0),
        "hardly any contrast": 250 + noise * 1e-3,
        "less contrast": 30 + other * 1e-5,
        "inverse of hardly any": 250 - noise * 1e-3,
    }


FLAT = ("black", "white", "flat", "flat between levels")
