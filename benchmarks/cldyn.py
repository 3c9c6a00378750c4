"""CLDyN's closed loop on a CPU: A2SI batched against looped in one run, and where the loop's time goes.

    python benchmarks/cldyn.py [--size 480x640] [--batch 4] [--runs 3] [--threads 1]

The looped form (tests/methods/_cldyn_looped.py) goes sample by sample and branch by branch, as the method is described
and released; both forms have the same weights, images, threads and allocator settings. Times depend on sizes alone, so
the weights are random. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fusionbench.methods.cldyn.loop import ClosedLoop, listen, task_image
from fusionbench.methods.cldyn.rsc import RSC
from fusionbench.methods.cldyn.vfn import VFN
from fusionbench.pixels.colour import luma
from fusionbench.plugins.registry import resolve
from fusionbench.results import provenance
from fusionbench.runtime.allocator import keep_memory
from fusionbench.tasks.network import TaskNetwork

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "methods"))
import _cldyn_looped as looped

NETWORKS = {"detection": ("yolov5-s", 6), "segmentation": ("segformer-b2", 15), "saliency": ("ctdnet-18", 1)}
PAPER = "0.46 M, 174.06 G (image size not stated)"


def median(work: Callable[[], object], runs: int) -> float:
    """Seconds, after one run that does not count."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def network(task: str) -> TaskNetwork:
    name, classes = NETWORKS[task]
    names = tuple(map(str, range(classes)))
    return resolve("task", task)().make(name, names).eval().requires_grad_(False)


def blocks(rsc: RSC, shapes: dict[str, tuple[int, ...]], size: tuple[int, int], batch: int, runs: int) -> None:
    """A2SI of one modality, whole and its loops alone: vectors chosen, kernels predicted, convolutions made."""
    print(f"\nA2SI of one modality, batch of {batch}, milliseconds\n")
    print("| feedback of | its shape | part | looped | batched | x faster | largest difference |")
    print("|---|---|---|--:|--:|--:|--:|")
    block, image = rsc.ir.a2si0, torch.randn(batch, 8, *size)
    for task, shape in shapes.items():
        feedback = torch.randn(batch, *shape[1:])
        choice = block.choose(rsc.bank, feedback, image)
        query = block.bv_f(feedback, image)

        def loops(choice=choice, query=query) -> Tensor:
            vector = looped.vectors(query, rsc.bank, choice.structure)
            made = looped.convolutions(block, image, choice.structure, vector)
            return image + block.zc(block.B_LR(made.flatten(0, 1)).unflatten(0, (batch, -1)).mean(1))

        parts: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
            "whole block": (
                lambda feedback=feedback: looped.a2si(block, rsc.bank, feedback, image),
                lambda feedback=feedback: block(rsc.bank, feedback, image),
            ),
            "branches alone": (loops, lambda choice=choice: block.compensate(image, choice)),
        }
        for part, (one, two) in parts.items():
            difference = float((one() - two()).abs().max())
            slow, fast = median(one, runs), median(two, runs)
            print(
                f"| {NETWORKS[task][0]} | {'x'.join(map(str, shape[1:]))} | {part} | {slow * 1e3:.0f} | "
                f"{fast * 1e3:.0f} | {slow / fast:.1f} | {difference:.0e} |",
                flush=True,
            )


def flops(work: Callable[[], object]) -> float:
    """Multiplications and additions, in thousand millions."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", default="480x640")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    height, width = (int(x) for x in options.size.split("x"))
    torch.set_num_threads(options.threads)
    keep_memory()
    torch.manual_seed(0)
    loop = ClosedLoop(VFN(), RSC()).requires_grad_(False)
    for branch in (loop.rsc.ir, loop.rsc.vi):
        torch.nn.init.normal_(branch.a2si0.zc.weight)
    ir, vis = torch.rand(1, 1, height, width), torch.rand(1, 3, height, width)
    print(f"{provenance.hardware().cpu}, {options.threads} thread(s), torch {torch.__version__}")
    with torch.no_grad():
        networks = {task: network(task) for task in NETWORKS}
        start = loop.start(ir, luma(vis))
        plain = task_image(start.fused, vis)
        heard = {task: listen(net, plain) for task, net in networks.items()}
        shapes = {task: tuple(feedback.shape) for task, feedback in heard.items()}
        blocks(loop.rsc, shapes, (height, width), options.batch, options.runs)
        print(f"\nOne turn of the loop for a pair of {options.size}, milliseconds and shares\n")
        print("| task network | fusion network, twice | task network | compensation |\n|---|--:|--:|--:|")
        fusing = median(lambda: loop.start(ir, luma(vis)), options.runs)
        fusing += median(lambda: loop._finish(0, start.ir, start.vi), options.runs)
        for task, net in networks.items():
            asking = median(lambda net=net: listen(net, plain), options.runs)
            helping = median(lambda task=task: loop.rsc(0, heard[task], start.ir, start.vi), options.runs)
            total = fusing + asking + helping
            cells = [f"{part * 1e3:.0f} ({part / total:.0%})" for part in (fusing, asking, helping)]
            print(f"| {NETWORKS[task][0]} | {' | '.join(cells)} |", flush=True)
        count = sum(p.numel() for p in loop.rsc.parameters())
        print(f"\nCompensation: {count:,} parameters; for a pair of {options.size} (the paper: {PAPER}), GFLOP\n")
        print("| feedback of | as described (looped) | ours |\n|---|--:|--:|")
        for task, feedback in heard.items():
            pairs = ((loop.rsc.ir.a2si0, start.ir), (loop.rsc.vi.a2si0, start.vi))
            plainly = flops(lambda: [looped.a2si(b, loop.rsc.bank, feedback, x) for b, x in pairs])  # noqa: B023
            ours = flops(lambda: loop.rsc(0, feedback, start.ir, start.vi))  # noqa: B023
            print(f"| {NETWORKS[task][0]} | {plainly:.1f} | {ours:.1f} |")


if __name__ == "__main__":
    main()
