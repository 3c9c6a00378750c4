"""What a generated tree records of itself, so that it never passes for the real dataset."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from fusionbench.errors import DataError
from fusionbench.results.records import Origin

ORIGIN = "fusionbench-origin.json"


def read_origin(root: Path) -> Origin | None:
    """The origin of the tree in a folder; None for real images.

    Raises:
        DataError: the file is there but damaged.
    """
    path = root / ORIGIN
    if not path.is_file():
        return None
    try:
        origin = msgspec.json.decode(path.read_bytes(), type=Origin)
        if origin.generator:
            return origin
    except msgspec.MsgspecError:
        pass
    raise DataError(f"{path}: damaged; the tree is generated, make it again: fusionbench data synth")


def write_origin(root: Path, origin: Origin) -> None:
    """Record the origin of the tree in a folder."""
    text = json.dumps(origin.plain(), indent=1, sort_keys=True)
    (root / ORIGIN).write_text(text + "\n", encoding="utf-8")
