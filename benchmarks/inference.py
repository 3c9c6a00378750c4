"""The fusion network of ReFusion and TDFusion on a CPU: as released, and our ways; and a 4K pair.

    python benchmarks/inference.py [--size 480x640] [--large 2160x3840] [--runs 3] [--threads 1]

Each row is a process of its own with the same random weights and images. "As released" normalises the way the authors'
network does, on [pixels, channels] with a copy there and back; it was written here from the description. Prints
Markdown: median seconds, peak memory of the process, and the largest difference from the first row's output.
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

from fusionbench.methods.refusion.fast import fuse
from fusionbench.methods.refusion.network import EPS, ReFusionNet
from fusionbench.runtime.allocator import keep_memory

WAYS = {
    "released": "as released",
    "released+kept": "as released, our allocator settings",
    "layers+kept": "ours, layer by layer",
    "rows+kept": "ours (`fusionbench fuse`)",
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
    net = network(options.way)
    torch.manual_seed(1)
    coarse = torch.rand(2, 1, 8, 8)
    pair = nn.functional.interpolate(coarse, options.size, mode="bicubic").clamp(0, 1)[:, None]
    times = []
    with torch.no_grad():
        for _ in range(options.runs + (options.runs > 1)):
            start = time.perf_counter()
            fused = fuse(net, *pair) if options.way.startswith("rows") else net(*pair)
            times.append(time.perf_counter() - start)
    torch.save(fused, options.output)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": statistics.median(times[options.runs > 1 :]), "peak": peak}))


def measure(way: str, size: str, runs: int, threads: int, output: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--size", size, "--output", str(output)]
    command += ["--runs", str(runs), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", default="480x640")
    parser.add_argument("--large", default="2160x3840", help="empty: leave it out")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        options.size = tuple(int(x) for x in options.size.split("x"))
        child(options)
        return
    print(f"One pair of {options.size}, {options.threads} thread(s), torch {torch.__version__}\n")
    print("| network F | seconds | x faster | peak GiB | largest difference |\n|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        first: tuple[float, Tensor] | None = None
        for way, title in WAYS.items():
            found = measure(way, options.size, options.runs, options.threads, Path(folder, "out.pt"))
            output = torch.load(Path(folder, "out.pt"))
            first = first or (found["seconds"], output)
            print(
                f"| {title} | {found['seconds']:.2f} | {first[0] / found['seconds']:.1f} | {found['peak']:.2f} | "
                f"{float((output - first[1]).abs().max()):.1e} |",
                flush=True,
            )
        if options.large:
            found = measure("rows+kept", options.large, 1, options.threads, Path(folder, "out.pt"))
            print(f"\nA pair of {options.large}: {found['seconds']:.1f} s, peak memory {found['peak']:.2f} GiB.")


if __name__ == "__main__":
    main()
