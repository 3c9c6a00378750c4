"""What the code does on a graphics card, in one command: metrics, eval, the fusion network, meta steps, recipes.

    python benchmarks/gpu.py [--device cuda] [--tiny] [--only metrics,filters] [--seconds 420]

Data are generated in a temporary folder; nothing else is needed. What cannot run here (an extra that is not installed,
memory, time) is listed as not run, with the reason. Prints Markdown. `--tiny` is for trying the command on a
processor: its numbers mean nothing. Rates are of one run each: read ratios, not digits.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fusionbench.metrics import filters, planes
from fusionbench.plugins.cards import cards
from fusionbench.plugins.registry import resolve
from fusionbench.results import provenance
from fusionbench.runtime.device import computing

EIGHT = ("en", "sf", "scd", "vif", "qabf", "ssim", "mi", "qcv")
RECIPES = (
    ("tdfusion", "fmb"),
    ("refusion", "msrs"),
    ("segformer-b0", "fmb"),
    ("yolov8-n", "m3fd"),
    ("yolox-s", "m3fd"),
    ("retinanet-r18", "m3fd"),
    ("yolov5-s", "m3fd"),
)


@dataclass(frozen=True)
class Bench:
    """What is measured on.

    Attributes:
        device: ``cuda`` or ``cpu``.
        tiny: only try the code.
        folder: for data and results.
        end: when to stop, by ``time.monotonic``.
    """

    device: str
    tiny: bool
    folder: Path
    end: float

    @property
    def size(self) -> tuple[int, int]:
        return (64, 80) if self.tiny else (480, 640)

    def seconds(self, work: Callable[[], object]) -> float:
        """Of one call, the mean over about a second of calls after two others."""
        calls = 0
        for _ in range(1 if self.tiny else 2):
            work()
        self.wait()
        began = time.perf_counter()
        while not calls or (not self.tiny and calls < 50 and time.perf_counter() - began < 1):
            work()
            calls += 1
            self.wait()
        return (time.perf_counter() - began) / calls

    def wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()

    def run(self, *words: object) -> tuple[float, str]:
        """Seconds and output of a command of ours.

        Raises:
            RuntimeError: it failed, with its last line.
        """
        left = self.end - time.monotonic()
        if left <= 0:
            raise RuntimeError("no time is left")
        began = time.perf_counter()
        home = {"FUSIONBENCH_CACHE": str(self.folder / "cache")}
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=left, env=os.environ | home)
        if done.returncode:
            raise RuntimeError((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
        return time.perf_counter() - began, done.stdout

    def ours(self, *words: object) -> tuple[float, str]:
        return self.run("-m", "fusionbench", *words)

    def data(self, name: str) -> Path:
        """Generated pairs in the layout of a dataset."""
        folder, pairs = self.folder / name, 4 if self.tiny else 24
        if not folder.exists():
            size = "x".join(map(str, (128, 160) if self.tiny else self.size))
            split = ("--train", pairs, "--test", pairs, "--size", size)
            self.ours("data", "synth", "--like", name, "--out", folder, *split)
        return folder


def stacks(bench: Bench, batch: int) -> list[Tensor]:
    """Fused, infrared and visible pictures as they come from files, uint8 ``[B,H,W]``; smooth with a little noise."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(2 * batch, 1, 12, 16, generator=draw)
    fine = nn.functional.interpolate(coarse, bench.size, mode="bicubic")[:, 0].clamp(0, 1) * 240
    ir, vis = ((fine + 12 * torch.rand(fine.shape, generator=draw)).round().to(torch.uint8)).split(batch)
    held = [((ir.int() + vis + 1) // 2).to(torch.uint8), ir, vis]
    return held if bench.device == "cpu" else [x.pin_memory() for x in held]


def metrics(bench: Bench) -> Iterator[str]:
    """Metrics in batches, copy to the device included."""
    every = tuple(n for n in cards("metric") if n != "fmi")
    sets = {"the eight": EIGHT, f"all but fmi ({len(every)})": every, "vif": ("vif",), "fmi": ("fmi",)}
    sizes = (2,) if bench.tiny else (1, 32, 128)
    yield "| metrics, pairs a second | " + " | ".join(f"batch {b}" for b in sizes) + " |"
    yield "|---|" + "--:|" * len(sizes)
    for title, names in sets.items():
        functions = [resolve("metric", n) for n in names]
        rates = []
        for batch in sizes:
            held = stacks(bench, batch)

            def work(held: list[Tensor] = held, functions: list = functions) -> list[Tensor]:
                images = [planes(x.to(bench.device, non_blocking=True)) for x in held]
                return [function(*images) for function in functions]

            try:
                rates.append(f"{batch / bench.seconds(work):,.0f}")
            except torch.cuda.OutOfMemoryError:
                rates.append("out of memory")
        yield f"| {title} | " + " | ".join(rates) + " |"


def ways_to_filter(bench: Bench) -> Iterator[str]:
    """The Gaussian window of 11 taps over a batch in float64: what metrics do here, and convolution."""
    batch = 2 if bench.tiny else 32
    x = stacks(bench, batch)[0].to(bench.device).double()
    k = filters.gaussian(11, 1.5, x.dtype, x.device)

    def convolved() -> Tensor:
        down = nn.functional.conv2d(x[:, None], k[None, None, :, None])
        return nn.functional.conv2d(down, k[None, None, None])

    off = float((convolved()[:, 0] - filters.separable(x, k)).abs().max())
    products = bench.seconds(lambda: filters.separable(x, k))
    yield f"| a window of 11 taps, batch {batch} | ms |\n|---|--:|"
    yield f"| products with a band, as metrics do | {products * 1e3:.2f} |"
    yield f"| two convolutions (largest difference {off:.0e}) | {bench.seconds(convolved) * 1e3:.2f} |"


def evaluation(bench: Bench) -> Iterator[str]:
    """Pictures fused and scored by `fusionbench eval`, start-up included."""
    folder = bench.data("msrs")
    methods = ("average", "laplacian") if bench.tiny else ("average", "laplacian", "gff", "tdfusion", "cldyn")
    pairs = 4 if bench.tiny else 24
    words = ("--datasets", f"msrs={folder}", "--methods", ",".join(methods), "--device", bench.device)
    yield "| eval | pictures | seconds | a second |\n|---|--:|--:|--:|"
    for batch in (1, 8):
        seconds, _ = bench.ours("eval", *words, "--batch", batch, "--out", bench.folder / f"results-{batch}")
        count = pairs * len(methods)
        yield f"| {len(methods)} methods, batch {batch} | {count} | {seconds:.1f} | {count / seconds:.1f} |"


def network(bench: Bench) -> Iterator[str]:
    """The fusion network of ReFusion and TDFusion with random weights."""
    from fusionbench.methods.refusion.network import ReFusionNet

    torch.manual_seed(0)
    net = ReFusionNet().to(bench.device).eval().requires_grad_(False)
    yield "| network F, ms a pair | batch 1 | batch 8 |\n|---|--:|--:|"
    ways: dict[str, tuple[bool, bool, bool]] = {
        "float32": (False, False, False),
        "TF32": (True, False, False),
        "bf16": (False, True, False),
        "compiled": (False, False, True),
        "compiled, bf16": (False, True, True),
    }
    for title, (tf32, half, compiled) in ways.items():
        if compiled and bench.tiny:
            yield f"| {title} | not run: --tiny | |"
            continue
        forward = torch.compile(net, dynamic=False) if compiled else net
        times = []
        for batch in (1, 8):
            pair = [torch.rand(batch, 1, *bench.size, device=bench.device) for _ in range(2)]
            try:
                with computing(tf32), torch.no_grad(), torch.autocast(bench.device, torch.bfloat16, enabled=half):
                    took = bench.seconds(lambda forward=forward, pair=pair: forward(*pair))
                times.append(f"{took / batch * 1e3:.1f}")
            except Exception as error:
                times.append(f"not run: {reason(error)}")
        yield f"| {title} | " + " | ".join(times) + " |"


def meta(bench: Bench) -> Iterator[str]:
    """TDFusion's meta step, by benchmarks/training.py."""
    sides = "ours" if bench.tiny else "ours,ours+checkpointing,ours+bf16"
    small = ("--crop", 32, "--size", "64x64", "--steps", 1) if bench.tiny else ("--steps", 3)
    script = Path(__file__).with_name("training.py")
    _, text = bench.run(script, "--device", bench.device, "--sides", sides, *small)
    yield text.strip()


def recipes(bench: Bench) -> Iterator[str]:
    """Seconds a step of recipes, medians but for the first steps: waiting for the batch, and computing."""
    yield "| recipe | load s a step | compute s a step |\n|---|--:|--:|"
    steps = 2 if bench.tiny else 20
    for name, dataset in RECIPES[:1] if bench.tiny else RECIPES:
        out = bench.folder / f"run-{name}"
        try:
            place = f"{dataset}={bench.data(dataset)}"
            size = ("--size", "tiny") if bench.tiny else ("--cfg-options", "workers=4")
            run = ("--out", out, "--max-steps", steps, *size)
            bench.ours("train", name, "--datasets", place, "--device", bench.device, *run)
            rows = [json.loads(line) for line in (out / "times.jsonl").read_text().splitlines()][steps // 4 :]
            took = [statistics.median(row[part] for row in rows) for part in ("load", "compute")]
            yield f"| {name} {dataset} | {took[0]:.3f} | {took[1]:.3f} |"
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            yield f"| {name} {dataset} | not run: {reason(error)} | |"


def reason(error: Exception) -> str:
    """In a line."""
    if isinstance(error, subprocess.TimeoutExpired):
        return "no time is left"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


PARTS: dict[str, Callable[[Bench], Iterator[str]]] = {
    "metrics": metrics,
    "filters": ways_to_filter,
    "eval": evaluation,
    "network": network,
    "meta": meta,
    "recipes": recipes,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--seconds", type=float, default=420, help="parts that would start later are not run")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"--only {','.join(sorted(unknown))}: choose of {', '.join(PARTS)}")
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error("no GPU that torch can use; --device cpu --tiny tries the command without one")
    hardware = provenance.hardware()
    print(f"{', '.join(hardware.gpus) or hardware.cpu}; torch {torch.__version__}; commit {provenance.commit()}.")
    print(f"Command: `python benchmarks/gpu.py {' '.join(sys.argv[1:])}`.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.device, options.tiny, Path(folder), time.monotonic() + options.seconds)
        for name in chosen:
            began = time.monotonic()
            print(f"\n## {name}\n", flush=True)
            try:
                if began > bench.end:
                    raise RuntimeError("no time is left")
                with torch.inference_mode(name in ("metrics", "filters")):
                    for line in PARTS[name](bench):
                        print(line, flush=True)
            except Exception as error:  # the other parts are measured all the same
                print(f"not run: {reason(error)}")
            print(f"\n{time.monotonic() - began:.0f} s.", flush=True)


if __name__ == "__main__":
    main()
