"""What a picture costs: parameters, operations, time and memory of an entry, each measured in a process of its own."""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import msgspec
import torch
from msgspec.structs import replace
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.entries import Entry
from fusionbench.plugins.method import Method
from fusionbench.results.provenance import made_here, now
from fusionbench.runtime import locations
from fusionbench.runtime.allocator import keep_memory
from fusionbench.runtime.device import computing, device_kind
from fusionbench.runtime.flushing import flushing

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK_OF_ALL_MEMORY = "5"  # what Linux is told to begin the process's peak anew
LONG = 5000.0  # milliseconds of a first picture, beside which what only a first one does is nothing


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one picture costs.

    Attributes:
        entry: readable id.
        key: hash of what its pictures depend on.
        height: of the pair, pixels.
        width: likewise.
        device: ``cpu``, ``cuda:1``...
        arithmetic: of its networks, such as ``float32`` or ``bf16, compiled``.
        processor: its name.
        threads: of torch on a CPU.
        torch: version.
        made: date and time, UTC.
        parameters: of its networks; None where it has none.
        flops: floating-point operations of matrix products, convolutions and attention, as our network is written (a
            processor's shortcuts left aside); a multiplication and an addition count as two. None without a network.
        milliseconds: from pair to picture, both as tensors on the device: median of the runs after the first, or that
            one where it took more than 5 seconds. None where operations alone were counted.
        clock: whose milliseconds: ``processor`` is the time that the processor worked for it, which other work on the
            machine does not lengthen; ``wall`` with several threads or a GPU.
        peak_mib: most memory during a picture, above what the process held with the method loaded; on a GPU, what torch
            allocated there. None where the system does not tell, or operations alone were counted.
        failure: why nothing was measured; the numbers are None then.
    """

    entry: str
    key: str
    height: int
    width: int
    device: str
    arithmetic: str
    processor: str
    threads: int
    torch: str
    made: str
    parameters: int | None = None
    flops: int | None = None
    milliseconds: float | None = None
    peak_mib: float | None = None
    clock: Literal["wall", "processor"] = "wall"
    failure: str = ""

    @property
    def place(self) -> tuple[object, ...]:
        """What a measurement is known by: another one of the same replaces it."""
        return self.key, self.height, self.width, self.device, self.processor, self.threads, self.torch, self.clock


def measure(entries: Sequence[Entry], size: tuple[int, int], device: str, threads: int, runs: int) -> Iterator[Cost]:
    """Measure entries one after the other.

    Args:
        entries: on the device.
        size: height and width of the made pair, pixels.
        device: ``cpu``, ``cuda:1``...
        threads: of torch.
        runs: pictures that are timed, behind a first one that is not, unless it takes long; 0: parameters and
            operations alone.
    """
    for entry in entries:
        yield _alone(entry, size, device, threads, runs)


def _alone(entry: Entry, size: tuple[int, int], device: str, threads: int, runs: int) -> Cost:
    """One entry in a process of its own, which ends with this one, however that is stopped."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    job = (theirs, entry, locations.current(), size, device, threads, runs)
    process = context.Process(target=_measured, args=job, daemon=True)
    with _ctrl_c_is_ours():
        process.start()
    theirs.close()
    try:
        found: Cost = ours.recv()
    except EOFError:
        return blank(entry, size, device, threads, "its process was ended; most often that is too little memory")
    finally:
        process.kill()
        process.join()
    return found


@contextmanager
def _ctrl_c_is_ours() -> Iterator[None]:
    """A process begun inside takes no notice of Ctrl-C, which a terminal sends to both."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def blank(entry: Entry, size: tuple[int, int], device: str, threads: int, failure: str = "") -> Cost:
    """What is known of a measurement before it is made."""
    made = made_here(device)
    return Cost(
        entry=entry.id,
        key=entry.key,
        height=size[0],
        width=size[1],
        device=device,
        arithmetic=entry.precision + (", compiled" if entry.compiled else ""),
        processor=made.processor,
        threads=threads,
        torch=made.libraries["torch"],
        made=now(),
        clock="processor" if device_kind(device) == "cpu" and threads == 1 else "wall",
        failure=failure,
    )


def _measured(
    answer: Connection,
    entry: Entry,
    places: locations.Locations,
    size: tuple[int, int],
    device: str,
    threads: int,
    runs: int,
) -> None:
    """What the process does that was begun for an entry."""
    locations.use(places)
    torch.set_num_threads(threads)
    keep_memory()
    answer.send(_cost(entry, blank(entry, size, device, threads), runs))


def _cost(entry: Entry, empty: Cost, runs: int) -> Cost:
    """Measure an entry; whatever a plugin does costs its own row."""
    device = empty.device
    try:
        method, (ir, vis) = entry.build(device), _pair((empty.height, empty.width), device)
        with computing(), flushing(), torch.inference_mode():
            found = _timed(method, ir, vis, empty, runs) if runs else empty
        networks = networks_of(vars(method))
        # what the compiler makes of them is not counted
        flops = _operations(entry, method, ir, vis) if networks and not entry.compiled else None
    except Exception as error:
        text = " ".join(str(error).split())
        return replace(
            empty, failure=text if isinstance(error, FusionbenchError) else f"{type(error).__name__}: {text}"
        )
    parameters = {id(p): p.numel() for network in networks for p in network.parameters()}
    return replace(found, flops=flops, parameters=sum(parameters.values()) if networks else None)


def networks_of(value: object) -> list[nn.Module]:
    """The networks in attributes of a method, also those in lists and dicts of them."""
    if isinstance(value, nn.Module):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [network for part in value for network in networks_of(part)] if isinstance(value, (list, tuple)) else []


def _operations(entry: Entry, method: Method, ir: torch.Tensor, vis: torch.Tensor) -> int:
    """Counted on shapes alone, without computing; where the method looks at values, on a picture."""
    try:
        shapes = entry.build("meta")
        return _count(shapes, ir.to("meta"), vis.to("meta"))
    except Exception:  # each operation that needs values has an error of its own
        with computing():
            return _count(method, ir, vis)


class _Whole:
    """Stands where torch would tell parts of a network apart, with hooks that a gradient within a method breaks."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _count(method: Method, ir: torch.Tensor, vis: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    setattr(counter, "mod_tracker", _Whole())  # noqa: B010 (typed as what it replaces)
    with torch.inference_mode(), counter:
        method.fuse(ir, vis)
    return int(counter.get_total_flops())


def _timed(method: Method, ir: torch.Tensor, vis: torch.Tensor, empty: Cost, runs: int) -> Cost:
    """Milliseconds and memory of one picture."""

    clock = time.process_time if empty.clock == "processor" else time.perf_counter

    def once() -> float:
        began = clock()
        method.fuse(ir, vis)
        if ir.is_cuda:
            torch.cuda.synchronize(ir.device)
        return (clock() - began) * 1000

    before = _begin_peak(empty.device)
    took = once()
    peak = _peak(empty.device)
    if took <= LONG:
        took = statistics.median(once() for _ in range(runs))
    more = None if before is None or peak is None else max(0.0, (peak - before) / 2**20)
    return replace(empty, milliseconds=took, peak_mib=more)


def _pair(size: tuple[int, int], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A pair with edges, slopes and noise; methods that iterate take about as long as on a street."""
    height, width = size
    draw = torch.Generator().manual_seed(0)
    slope = torch.linspace(0, 1, height)[:, None] * torch.linspace(0.2, 0.9, width)
    boxes = torch.zeros(height, width)
    boxes[height // 4 : height // 2, width // 4 : width // 2] = 0.5
    noise = 0.05 * torch.randn(4, height, width, generator=draw)
    images = (torch.stack([boxes, slope, 0.8 * slope + 0.1, 1 - slope]) + noise).clamp(0, 1)
    return images[None, :1].to(device), images[None, 1:].to(device)


def _begin_peak(device: str) -> int | None:
    """Memory in use now, in bytes; its peak is counted from here."""
    if device_kind(device) == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    try:
        RESET.write_text(PEAK_OF_ALL_MEMORY)
        return _status("VmRSS")
    except OSError:
        return None


def _peak(device: str) -> int | None:
    if device_kind(device) == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _status("VmHWM")


def _status(name: str) -> int | None:
    """A line of Linux's account of this process, in bytes."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None
