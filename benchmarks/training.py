"""TDFusion's meta step beside the released way of doing it, in one run: time, peak memory, agreement.

    python benchmarks/training.py [--network segformer-b0] [--crop 256] [--size 300x400] [--steps 3] [--device cuda]

Both sides have the same networks, images, labels, threads and allocator settings (freed memory is kept), each in a
process of its own, and both move G through one step of F. The released way was written here from its description:
leaf copies of the parameters, the inner gradient kept with its graph, one backward pass into everything, and the
networks' states saved to and loaded from disk in every step. Ours is what `fusionbench train tdfusion` runs.
`error` is the relative distance of the gradient of G from the released way's, over all of G.
Prints Markdown. Seconds are medians; memory is the process's peak (on a GPU: of allocated memory).
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusionbench.methods.refusion.modules import LossProposal
from fusionbench.methods.refusion.network import ReFusionNet
from fusionbench.methods.tdfusion.loss import fusion_loss, intensity_loss
from fusionbench.runtime.allocator import keep_memory
from fusionbench.tasks.network import Target
from fusionbench.tasks.task import task_of
from fusionbench.training.functional import call, restored, trainable
from fusionbench.training.meta import Way, differentiated, inner_step, outer_step

LR = 1e-4
SIDES = {
    "released": "as released",
    "ours": "ours",
    "ours+checkpointing": "ours, checkpointing",
    "ours+graph": "ours, second-order graph kept",
    "ours+graph+checkpointing": "ours, graph and checkpointing",
    "ours+bf16": "ours, bf16",
    "ours+compile": "ours, torch.compile",
}


class Scene:
    """Networks and one meta step's data, the same on every side."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.device = torch.device(options.device)
        height, width = options.size
        task = task_of(options.network)
        classes = tuple(f"class {i}" for i in range(15 if task.needs == "mask" else 6))
        self.fusion, self.proposal = ReFusionNet().to(self.device), LossProposal().to(self.device)
        self.network: Any = task.make(options.network, classes, 1).to(self.device).train()
        for part in self.network.modules():
            if "Drop" in type(part).__name__:
                part.eval()  # the sides would draw different random numbers
        self.adam = torch.optim.Adam(self.network.parameters(), lr=LR)
        self.crops = self.images(options.crop, options.crop)
        self.train, self.test = self.images(height, width), self.images(height, width)
        if task.needs == "mask":
            mask = torch.randint(0, 15, (2 * height, 2 * width), device=self.device)
            self.targets = [Target(mask=mask)] * 2
        else:
            boxes = torch.tensor([[0.1, 0.2, 0.4, 0.6], [0.5, 0.3, 0.8, 0.9]]) * torch.tensor([width, height] * 2)
            self.targets = [Target(boxes=boxes, labels=torch.tensor([0, 1])).to(self.device)] * 2

    def images(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """A pair and the pair swapped, smooth with a little noise."""
        coarse = torch.rand(2, 1, max(2, height // 16), max(2, width // 16))
        a, b = nn.functional.interpolate(coarse, (height, width), mode="bilinear")[:, None] * 0.9
        a, b = (x + 0.1 * torch.rand_like(x) for x in (a, b))
        return torch.cat((a, b)).to(self.device), torch.cat((b, a)).to(self.device)

    def move(self, gradients: list[Tensor]) -> None:
        largest = max(g.abs().max() for g in gradients)
        with torch.no_grad():
            for parameter, gradient in zip(self.proposal.parameters(), gradients, strict=True):
                parameter.sub_(LR * gradient / largest)


def as_released(scene: Scene, scratch: Path) -> list[Tensor]:
    """One meta step the released way."""
    torch.save(scene.fusion.state_dict(), scratch / "fusion.pt")
    torch.save(scene.network.state_dict(), scratch / "task.pt")
    clone = copy.deepcopy(scene.fusion)
    clone.load_state_dict(torch.load(scratch / "fusion.pt", weights_only=True))
    loss = fusion_loss(clone(*scene.crops), *scene.crops, scene.proposal(*scene.crops)).total
    gradients = torch.autograd.grad(loss, list(clone.parameters()), create_graph=True)
    places = [(part, name, p) for part in clone.modules() for name, p in part.named_parameters(recurse=False)]
    for (part, name, value), gradient in zip(places, gradients, strict=True):
        del part._parameters[name]
        setattr(part, name, value - LR * gradient)

    fused = scene.fusion(*scene.train)
    scene.adam.zero_grad()
    scene.network.loss(fused.detach(), scene.targets).backward()
    scene.adam.step()

    scene.adam.zero_grad()
    scene.proposal.zero_grad()
    scene.network.loss(clone(*scene.test), scene.targets).backward()
    found = [p.grad.clone() for p in scene.proposal.parameters() if p.grad is not None]
    scene.move(found)
    scene.network.load_state_dict(torch.load(scratch / "task.pt", weights_only=True))
    return found


def ours(scene: Scene, options: set[str]) -> list[Tensor]:
    """One meta step as the recipe has it."""
    way: Way = "graph" if "graph" in options else "product"
    checkpointed, pair = "checkpointing" in options, scene.crops
    fast = nullcontext() if "bf16" not in options else torch.autocast(scene.device.type, torch.bfloat16)
    fusion = scene.fusion if "compile" not in options else compiled(scene.fusion)
    with differentiated(way), restored(scene.network):
        with fast:
            inner = inner_step(
                fusion,
                pair,
                call(scene.proposal, trainable(scene.proposal), *pair, checkpointed=checkpointed),
                lambda fused, weights: fusion_loss(fused, *pair, weights).total,
                LR,
                slope=lambda fused, weights: intensity_loss(fused, *pair, weights),
                way=way,
                checkpointed=checkpointed,
            )
            with torch.no_grad():
                fused = fusion(*scene.train).float()
            loss = scene.network.loss(fused, scene.targets)
        scene.adam.zero_grad()
        loss.backward()
        scene.adam.step()
        with fast:
            moved = call(fusion, inner.moved, *scene.test, checkpointed=checkpointed).float()
            task = scene.network.loss(moved, scene.targets)
        if fusion is not scene.fusion:  # forward mode goes through the plain module
            inner.moved = {name.removeprefix("_orig_mod."): value for name, value in inner.moved.items()}
        found = outer_step(scene.fusion, inner, task, scene.proposal.parameters())
    scene.move(found)
    return [g.detach() for g in found]


_compiled: list[nn.Module] = []


def compiled(module: nn.Module) -> nn.Module:
    if not _compiled:
        _compiled.append(torch.compile(module, dynamic=False))  # type: ignore[arg-type]
    return _compiled[0]


def child(options: argparse.Namespace) -> None:
    """One side: prints its numbers and leaves its first gradient."""
    torch.set_num_threads(options.threads)
    keep_memory()
    scene, side = Scene(options), set(options.side.split("+"))
    before = peak(scene.device)
    times = []
    with tempfile.TemporaryDirectory() as scratch:
        step: Callable[[], list[Tensor]] = (
            (lambda: as_released(scene, Path(scratch))) if "released" in side else (lambda: ours(scene, side))
        )
        torch.save([g.cpu() for g in step()], options.gradient)
        for _ in range(options.steps):
            start = time.perf_counter()
            step()
            if scene.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(times), "peak": peak(scene.device), "before": before}))


def peak(device: torch.device) -> float:
    """GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--network", default="segformer-b0")
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--size", default="300x400", type=lambda t: tuple(int(x) for x in t.split("x")))
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--gradient", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        child(options)
        return
    height, width = options.size
    print(
        f"{options.network}, fusion loss on {options.crop}x{options.crop}, task loss on {width}x{height}, "
        f"a pair and the same swapped; {options.device}, {options.threads} thread(s), "
        f"torch {torch.__version__}\n"
    )
    print("| meta step | seconds | x faster | peak GiB | of released | error |\n|---|--:|--:|--:|--:|--:|")
    base: dict[str, Any] = {}
    before = None
    with tempfile.TemporaryDirectory() as folder:
        for side in options.sides.split(","):
            file = Path(folder, f"{side}.pt")
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--gradient", str(file)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                why = [f"exit status {done.returncode}", *done.stderr.strip().splitlines()][-1]
                print(f"| {SIDES[side]} | fails: {why[:100]} | | | | |", flush=True)
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            gradient = torch.cat([g.flatten().double() for g in torch.load(file)])
            before = found["before"]
            if side == "released":
                base = {**found, "gradient": gradient}
            ratios = ["", "", ""]
            if base:
                error = float((gradient - base["gradient"]).norm() / base["gradient"].norm())
                ratios = [
                    f"{base['seconds'] / found['seconds']:.2f}",
                    f"{found['peak'] / base['peak']:.2f}",
                    f"{error:.1e}",
                ]
            faster, share, error_ = ratios
            print(
                f"| {SIDES[side]} | {found['seconds']:.2f} | {faster} | {found['peak']:.2f} | {share} | {error_} |",
                flush=True,
            )
    if before is not None:
        print(f"\nBefore the first step a process holds {before:.2f} GiB (libraries, networks).")


if __name__ == "__main__":
    main()
