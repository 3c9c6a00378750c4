"""Where a number comes from: command, commit, versions, hardware, date."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

import msgspec

from fusionbench.results.records import Hardware, Made, PlanInfo, Record, Run
from fusionbench.runtime import locations
from fusionbench.runtime.device import device_kind

LIBRARIES = ("torch", "numpy", "scipy", "pandas", "pillow", "safetensors", "msgspec")
OPTIONAL = ("mmengine", "mmsegmentation", "mmdet", "mmcv-lite", "pycocotools", "scikit-image", "tensorboard")
TASK_LIBRARIES = ("mmdet", "mmsegmentation")


class Session(Record, frozen=True, kw_only=True):
    """What computes in a process.

    Attributes:
        command: as the user typed it.
        started: in UTC.
        fusionbench: its version.
        commit: see :func:`commit`.
        python: its version.
        libraries: name to version.
        hardware: the machine.
    """

    command: str
    started: str
    fusionbench: str
    commit: str | None
    python: str
    libraries: dict[str, str]
    hardware: Hardware


def now() -> str:
    """The present in UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def version() -> str:
    """Version of the installed distribution."""
    try:
        return importlib.metadata.version("ivif-fusionbench")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def commit() -> str | None:
    """Commit of the checkout this package runs from, with ``+changes`` behind it when files differ; None elsewhere."""
    home = Path(__file__).resolve().parents[2]
    if not (home / ".git").exists():
        return None
    try:
        head = _git(home, "rev-parse", "HEAD")
        return head + ("+changes" if _git(home, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(home: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(home), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()


def libraries() -> dict[str, str]:
    """Versions of the libraries that decide numbers, of those that are installed."""
    versions = {}
    for name in (*LIBRARIES, *OPTIONAL):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def hardware() -> Hardware:
    """This machine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return Hardware(
        cpu=cpu(),
        cores=os.cpu_count(),
        memory_gib=round(memory / 2**30, 1),
        gpus=_gpus(),
        machine=platform.machine(),
        system=platform.system(),
    )


@cache
def cpu() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = [x for x in info.read_text().splitlines() if x.startswith("model name")] if info.is_file() else []
    return lines[0].partition(":")[2].strip() if lines else platform.processor() or platform.machine()


def made_here(device: str, tasks: bool = False) -> Made:
    """What computes in this process on a device.

    Args:
        device: ``cpu``, ``cuda:1``...
        tasks: whether task networks take part.
    """
    processor = cpu()
    if device_kind(device) == "cuda":
        import torch

        processor = torch.cuda.get_device_name(device)
    return _made(libraries(), processor, tasks)


def signed(made: Made, when: str) -> Made:
    """With who works here and when, where that is said; else as it is.

    Args:
        made: from :func:`made_here`.
        when: start of the run, from :func:`now`.
    """
    who = locations.current().who
    return msgspec.structs.replace(made, who=who, when=when) if who else made


def made_by(run: Run, tasks: bool = False) -> Made:
    """What computed a run, without who."""
    on_gpu = device_kind(run.plan.device) == "cuda" and run.hardware.gpus
    return _made(run.libraries, run.hardware.gpus[0] if on_gpu else run.hardware.cpu, tasks)


def _made(versions: dict[str, str], processor: str, tasks: bool) -> Made:
    names = ("torch", *(TASK_LIBRARIES if tasks else ()))
    return Made(libraries={name: versions[name] for name in names if name in versions}, processor=processor)


def _gpus() -> tuple[str, ...]:
    import torch

    if not torch.cuda.is_available():
        return ()
    return tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def session(command: str, started: str) -> Session:
    """What computes in this process.

    Args:
        command: as the user typed it.
        started: from :func:`now`.
    """
    return Session(
        command=command,
        started=started,
        fusionbench=version(),
        commit=commit(),
        python=platform.python_version(),
        libraries=libraries(),
        hardware=hardware(),
    )


def collect(by: Session, seconds: float, plan: PlanInfo, fused: int, scored: int) -> Run:
    """The record of a run that has ended; its seed is None, as fusing and scoring draw no random numbers.

    Args:
        by: what computed it.
        seconds: how long it took.
        plan: what was to be run.
        fused: number of images fused.
        scored: number of values computed.
    """
    return Run(
        command=by.command,
        started=by.started,
        wall_seconds=round(seconds, 1),
        fusionbench=by.fusionbench,
        commit=by.commit,
        python=by.python,
        libraries=by.libraries,
        hardware=by.hardware,
        seed=None,
        plan=plan,
        fused=fused,
        scored=scored,
        who=locations.current().who or msgspec.UNSET,
    )
