"""What crafted files are made of and tried on."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.campaign.checked import Canary
from tests.faults.campaign.jobs import Inputs
from tests.faults.test_crafted import STRANGE, changed, places

HOWS = ("drop", "wrap", "replace", "replace")


@dataclass(frozen=True)
class Bench:
    """What the cases of one kind share.

    Attributes:
        inputs: what commands read.
        scratch: a folder for the cases.
        draw: the source of everything random.
        canary: what executed code would make.
    """

    inputs: Inputs
    scratch: Path
    draw: random.Random
    canary: Canary

    def fresh(self) -> Path:
        """An empty folder."""
        folder = self.scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def edited(content: Any, draw: random.Random, canary: Canary) -> tuple[Any, str]:
    """Nested data with one place changed, and what was done."""
    path = draw.choice(list(places(content)))
    new, how = draw.choice((*STRANGE, f"__import__('os').system('touch {canary.path}')")), draw.choice(HOWS)
    return changed(content, path, new, how), f"{how} {path} {str(new)[:40]!r}"


def spoilt(data: bytes, draw: random.Random) -> bytes:
    """Bytes cut off, overwritten or doubled."""
    kind = draw.randrange(4)
    if kind == 0:
        return data[: draw.randrange(len(data))]
    if kind == 1:
        start = draw.randrange(len(data))
        return data[:start] + data[start : start + 4096] * 2 + data[start + 4096 :]
    changed = bytearray(data)
    for _ in range(draw.choice((1, 8, 200))):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)
