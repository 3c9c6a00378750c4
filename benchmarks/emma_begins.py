"""How flat the pictures of EMMA's fusion network are at first, and for how long, whatever it learns.

python benchmarks/emma_begins.py [--steps 200] [--lr 1e-3]

Prints the deviation of what each part takes in and gives out with initial weights (a mean over channels), then that of
its picture while it learns from windows of generated pairs by a plain loss: L1 and gradient beside the larger source.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from fusionbench.colour import grey
from fusionbench.data import open_dataset
from fusionbench.data.synth import synth
from fusionbench.methods.emma.network import EMMANet, Unit
from fusionbench.methods.emma.sensing import distance
from fusionbench.training.data import Augment, TrainingSplit


def spread(x: Tensor) -> float:
    """Deviation within a channel, a mean over channels."""
    return float(x.detach().std((0, 2, 3)).mean())


def watched(net: nn.Module, name: str) -> None:
    """Print a part's deviation, in and out."""

    def say(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        print(f"{name}: {spread(torch.cat(given, 1)):.4f} to {spread(out):.4f}")

    net.register_forward_hook(say)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--lr", type=float, default=1e-3)
    asked = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        synth("msrs", Path(scratch), 24, 1, (128, 160), 7)
        split = TrainingSplit(
            open_dataset("msrs", Path(scratch), exact=True), "train", Augment(crop=(32, 32), flip=0.0)
        )
        net = EMMANet()
        for step in range(asked.steps):
            batch = split.batch(torch.randperm(24)[:4].tolist(), 0, step)
            ir, vis = batch.ir, grey(batch.vis)
            if not step:
                first = EMMANet()
                first.load_state_dict(net.state_dict())
                for name, part in first.named_modules():
                    if isinstance(part, Unit) or name == "last":
                        watched(part, name)
                first(ir, vis)
                optimiser = torch.optim.Adam(net.parameters(), lr=asked.lr)
            fused = net(ir, vis)
            loss = distance(fused, torch.maximum(ir, vis))
            if step % 25 == 0 or step == asked.steps - 1:
                print(f"step {step}: loss {loss.item():.3f}, deviation {spread(fused):.4f}", flush=True)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()


if __name__ == "__main__":
    main()
