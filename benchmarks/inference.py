"""The fusion network of ReFusion and TDFusion: as released, and our ways; on a CPU also a 4K pair.

    python benchmarks/inference.py [--size 480x640] [--large 2160x3840] [--runs 3] [--threads 1]
    python benchmarks/inference.py --device cuda --batch 8 --runs 20
    python benchmarks/inference.py --passes

Each row is a process of its own with the same random weights and images. "As released" normalises the way the authors'
network does, on [pixels, channels] with a copy there and back; it was written here from the description. Prints
Markdown: median seconds of a pair, peak memory of the process (of the card), and the largest difference from the first
row's output. TF32 is off but where a row says so. ``--passes`` runs the forms for GPUs once on the processor and counts
what a card would have to do: operations on maps of full size, and the bytes that these read and write.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fusionbench.method import Arithmetic
from fusionbench.methods.refusion.fast import fuse
from fusionbench.methods.refusion.folded import FoldedNet
from fusionbench.methods.refusion.network import EPS, ReFusionNet
from fusionbench.runtime.allocator import keep_memory

WAYS = {
    "released": "as released",
    "released+kept": "as released, our allocator settings",
    "layers+kept": "ours, layer by layer",
    "rows+kept": "ours (`fusionbench fuse`)",
}
ON_CARD = {
    "released": "as released",
    "layers": "ours, layer by layer",
    "layers+bf16": "the same, bf16",
    "folded": "ours (`fusionbench fuse`)",
    "folded+tf32": "the same, tf32",
    "folded+bf16": "the same, bf16",
    "folded+compile": "the same, `--compile`",
    "folded+compile+bf16": "the same, `--compile`, bf16",
}


class ReleasedNorm(nn.Module):
    """Layer normalisation on ``[B,HW,C]``."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[B,C,H,W]`` to the same."""
        flat = x.flatten(2).transpose(1, 2).contiguous()
        mean, variance = flat.mean(-1, keepdim=True), flat.var(-1, keepdim=True, unbiased=False)
        flat = (flat - mean) / torch.sqrt(variance + EPS) * self.weight + self.bias
        return flat.transpose(1, 2).contiguous().view(x.shape)


def network(way: str) -> ReFusionNet:
    torch.manual_seed(0)
    net = ReFusionNet()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "norm" in name or "temperature" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    if way.startswith("released"):
        for part in net.modules():
            if hasattr(part, "body"):
                part.body = ReleasedNorm(part.body.weight.detach(), part.body.bias.detach())
    return net.eval().requires_grad_(False)


def child(options: argparse.Namespace) -> None:
    """One way: prints its numbers and leaves its output."""
    torch.set_num_threads(options.threads)
    if "kept" in options.way:
        keep_memory()
    net: nn.Module = network(options.way)
    pair, on_card = images(options).to(options.device), options.device != "cpu"
    if options.way.startswith("folded"):
        net = FoldedNet(net).to(options.device)
    net.to(options.device)
    parts = options.way.split("+")
    precision = next((name for name in ("bf16", "tf32") if name in parts), "float32")
    if on_card or precision != "float32" or "compile" in parts:
        Arithmetic(precision, "compile" in parts).apply(net, options.device)
    times = []
    with torch.no_grad():
        for _ in range(options.runs + (options.runs > 1)):
            start = time.perf_counter()
            fused = fuse(net, *pair) if options.way.startswith("rows") else net(*pair)
            if on_card:
                torch.cuda.synchronize()
            times.append((time.perf_counter() - start) / options.batch)
    torch.save(fused.cpu(), options.output)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_card else peak
    print(json.dumps({"seconds": statistics.median(times[options.runs > 1 :]), "peak": peak}))


def images(options: argparse.Namespace) -> Tensor:
    """Smooth random images ``[2,B,1,H,W]``."""
    torch.manual_seed(1)
    coarse = torch.rand(2 * options.batch, 1, 8, 8)
    pair = nn.functional.interpolate(coarse, options.size, mode="bicubic").clamp(0, 1)
    return pair.view(2, options.batch, 1, *options.size)


class Passes(TorchDispatchMode):
    """Counts operations on maps of full size, and the bytes that they read and write."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels, self.count, self.bytes = pixels, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        maps = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor) and x.numel() >= self.pixels]
        if maps and not func.is_view:
            self.count += 1
            self.bytes += sum(x.numel() * x.element_size() for x in maps)
        return out


def count(options: argparse.Namespace) -> None:
    """Passes of the forms for GPUs, for a batch."""
    print("| form, run on the processor | operations | GB read and written |\n|---|--:|--:|")
    pair = images(options)
    for way in ("released", "layers", "folded"):
        net = network(way)
        net = FoldedNet(net) if way == "folded" else net
        with torch.inference_mode(), Passes(pair[0, 0].numel()) as seen:
            net(*pair)
        print(f"| {ON_CARD[way]} | {seen.count} | {seen.bytes / 1e9:.1f} |", flush=True)


def measure(way: str, options: argparse.Namespace, output: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--size", options.size, "--output", str(output)]
    command += ["--runs", str(options.runs), "--threads", str(options.threads)]
    command += ["--device", options.device, "--batch", str(options.batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", default="480x640")
    parser.add_argument("--large", default="2160x3840", help="empty: leave it out")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--passes", action="store_true")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        options.size = tuple(int(x) for x in options.size.split("x"))
        child(options)
        return
    if options.passes:
        options.size = tuple(int(x) for x in options.size.split("x"))
        count(options)
        return
    on_card = options.device != "cpu"
    where = torch.cuda.get_device_name() if on_card else f"{options.threads} thread(s)"
    print(f"Pairs of {options.size}, {options.batch} at a time, {where}, torch {torch.__version__}\n")
    print("| network F, one pair | seconds | x faster | peak GiB | largest difference |\n|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        first: tuple[float, Tensor] | None = None
        for way, title in (ON_CARD if on_card else WAYS).items():
            found = measure(way, options, Path(folder, "out.pt"))
            output = torch.load(Path(folder, "out.pt"))
            first = first or (found["seconds"], output)
            seconds, error = found["seconds"], float((output - first[1]).abs().max())
            shown = f"{seconds:.5f}" if on_card else f"{seconds:.2f}"
            times = first[0] / seconds
            print(f"| {title} | {shown} | {times:.1f} | {found['peak']:.2f} | {error:.1e} |", flush=True)
        if options.large and not on_card:
            large, options.size, options.runs, options.batch = options.large, options.large, 1, 1
            found = measure("rows+kept", options, Path(folder, "out.pt"))
            print(f"\nA pair of {large}: {found['seconds']:.1f} s, peak memory {found['peak']:.2f} GiB.")


if __name__ == "__main__":
    main()
