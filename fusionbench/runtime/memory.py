"""How much memory is there for a picture."""

from __future__ import annotations

from pathlib import Path

MEMINFO, STATUS, CGROUP = Path("/proc/meminfo"), Path("/proc/self/status"), Path("/sys/fs/cgroup")
KINDS = (  # limit, what is used, which of it is files that can be dropped: control groups of version 2, then 1
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def room(meminfo: Path = MEMINFO, status: Path = STATUS, cgroup: Path = CGROUP) -> int | None:
    """Bytes that are free on this machine or in this container, and those that the process holds already.

    Freed memory stays with the process (:func:`fusionbench.runtime.allocator.keep_memory`), so that its next picture is
    made where the last one was.

    Args:
        meminfo: Linux's account of the machine.
        status: that of the process.
        cgroup: folder of the container's limits.

    Returns:
        None where the system does not tell.
    """
    free = _line(meminfo, "MemAvailable:")
    if free is None:
        return None
    for limit, used, dropped in KINDS:
        most, now = _number(cgroup / limit), _number(cgroup / used)
        if most is not None and now is not None:
            free = min(free, most - now + (_line((cgroup / used).with_name("memory.stat"), dropped) or 0))
    return max(0, free) + (_line(status, "VmRSS:") or 0)


def _line(path: Path, name: str) -> int | None:
    """The number on the line that begins with a name; in bytes, where it is said in kB."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
        found = next(words for words in lines if words and words[0] == name)
        return int(found[1]) * (1024 if found[2:] == ["kB"] else 1)
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max", without a limit
        return None
