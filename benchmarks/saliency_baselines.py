"""What maps that look at no picture score on a dataset's saliency masks: what a network has to beat.

python benchmarks/saliency_baselines.py vt5000=DIR
"""

from __future__ import annotations

import sys

import torch

from fusionbench.data import open_spec
from fusionbench.tasks.network import Prediction
from fusionbench.tasks.saliency import SaliencyTally, target


def maps(height: int, width: int) -> dict[str, torch.Tensor]:
    """All salient, and a bump in the middle whose deviation is a quarter of each side: float ``[1,H,W]`` in 0..1."""
    y, x = (torch.linspace(-0.5, 0.5, size, dtype=torch.float64) for size in (height, width))
    bump = torch.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * 0.25**2))
    return {"all of it": torch.ones(1, height, width), "the middle": bump[None].float()}


def main() -> None:
    data = open_spec(sys.argv[1], None)
    tallies: dict[str, SaliencyTally] = {}
    ids = data.ids("test")
    for ident in ids:
        truth = target(data.read("test", ident))
        assert truth.saliency is not None
        for name, found in maps(*truth.saliency.shape[-2:]).items():
            tallies.setdefault(name, SaliencyTally()).update(Prediction(saliency=found), truth)
    for name, tally in tallies.items():
        scores = tally.compute()
        print(f"{name}, {len(ids)} pairs: " + ", ".join(f"{s} {scores[s]:.3f}" for s in ("f@mean", "s@all", "mae@all")))


if __name__ == "__main__":
    main()
