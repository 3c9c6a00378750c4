"""The kinds of cases, each a generator of verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.campaign import archives, crafted, disk, images, kills
from tests.faults.campaign.cases import Verdict
from tests.faults.campaign.jobs import Inputs

KINDS: dict[str, Callable[[Inputs, Path, int, bool], Iterator[Verdict]]] = {
    "kills": kills.cases,
    "disk": disk.cases,
    "crafted": crafted.cases,
    "images": images.cases,
    "archives": archives.cases,
}
