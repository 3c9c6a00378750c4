"""Where a number comes from: command, commit, versions, hardware, hashes, date."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "numpy", "scipy", "scikit-image", "pillow", "mmengine", "safetensors")
OPTIONAL = ("mmsegmentation", "mmdet", "mmcv-lite", "tensorboard")  # of the extra `tasks`


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
    home = Path(__file__).resolve().parents[1]
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
    """Versions of the libraries that decide numbers; of the optional ones those that are there."""
    found = {}
    for name in (*LIBRARIES, *OPTIONAL):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name in LIBRARIES:
                found[name] = "absent"
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores, memory, GPUs."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "gpus": _gpus(),
        "machine": platform.machine(),
        "system": platform.system(),
    }


def _gpus() -> list[str]:
    import torch

    return (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )


def collect(command: str, started: str, seconds: float, plan: dict[str, Any]) -> dict[str, Any]:
    """The provenance of one run."""
    return {
        "command": command,
        "started": started,
        "wall_seconds": round(seconds, 1),
        "fusionbench": version(),
        "commit": commit(),
        "python": platform.python_version(),
        "libraries": libraries(),
        "hardware": hardware(),
        "seed": None,
        "plan": plan,
    }
