"""Processes below one, found in /proc."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def below(pid: int) -> dict[int, str]:
    """Process id to command line, of every process that descends from one."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue  # it has ended
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: commands.get(child, "") for child in found - {pid}}


def waited(pid: int, wanted: Callable[[str], bool], seconds: float = 300) -> list[int]:
    """The processes below one whose command line is wanted, once there are any."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := [child for child, command in below(pid).items() if wanted(command)]:
            return sorted(found)
        time.sleep(0.05)
    raise AssertionError(f"no such process below {pid}: {below(pid)}")
