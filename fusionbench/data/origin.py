"""What a generated tree records of itself, so that it never passes for the real dataset."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from fusionbench.errors import DataError

ORIGIN = "fusionbench-origin.json"


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a generated tree comes from.

    Attributes:
        generator: what drew the images.
        like: the dataset whose layout and classes it has.
        seed: same seed, same images; None where the generator has none.
        size: (height, width) in pixels.
        counts: split to the number of pairs that were written.
        conditions: split to id to the weather and light of a pair.
    """

    generator: str
    like: str = ""
    seed: int | None = None
    size: tuple[int, int] | None = None
    counts: dict[str, int] = {}
    conditions: dict[str, dict[str, str]] = {}

    @property
    def source(self) -> str:
        """Generator and seed, as they stand in notes."""
        return f"{self.generator}, seed {self.seed}"

    def as_dict(self) -> dict[str, object]:
        """As plain JSON data."""
        plain: dict[str, object] = msgspec.json.decode(msgspec.json.encode(self))
        return plain


def read_origin(root: Path) -> Origin | None:
    """The origin of the tree in a folder; None for real images.

    Raises:
        DataError: the file is there but damaged.
    """
    path = root / ORIGIN
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Origin)
    except msgspec.MsgspecError:
        raise DataError(f"{path}: damaged; the tree is generated, make it again: fusionbench data synth") from None


def write_origin(root: Path, origin: Origin) -> None:
    """Record the origin of the tree in a folder."""
    text = json.dumps(origin.as_dict(), indent=1, sort_keys=True)
    (root / ORIGIN).write_text(text + "\n", encoding="utf-8")
