"""What a generated tree records of itself, so that it never passes for the real dataset."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import msgspec

from fusionbench.errors import DataError
from fusionbench.pixels.images import atomic
from fusionbench.results.records import GENERATORS, Origin
from fusionbench.runtime.files import read_regular

ORIGIN = "fusionbench-origin.json"
MAX_BYTES = 256 << 20


def read_origin(root: Path) -> Origin | None:
    """The origin of the tree in a folder; None for real images.

    Raises:
        DataError: the file is there but damaged, or the tree is unfinished.
    """
    origin = recorded(root)
    if origin is not None and origin.unfinished:
        raise DataError(f"{root}: an unfinished generated tree; the same command finishes it: {command(root, origin)}")
    return origin


def recorded(root: Path) -> Origin | None:
    """The origin of a tree, finished or not; None for real images.

    Raises:
        DataError: the file is there but damaged.
    """
    path = root / ORIGIN
    try:
        origin = msgspec.json.decode(read_regular(path, "the origin of a tree", MAX_BYTES), type=Origin)
        if origin.generator:
            return origin
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    raise DataError(f"{path}: damaged; the tree is generated, make it again: fusionbench data synth")


def write_origin(root: Path, origin: Origin) -> None:
    """Record the origin of the tree in a folder."""
    text = json.dumps(origin.plain(), indent=1, sort_keys=True)
    root.mkdir(parents=True, exist_ok=True)
    with atomic(root / ORIGIN) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def command(root: Path, origin: Origin) -> str:
    """The command line that makes a tree."""
    words = ["fusionbench data synth --like", origin.like, "--out", shlex.quote(str(root))]
    words += [f"--{split} {count}" for split, count in origin.counts.items()]
    words += [f"--generator {shlex.quote(origin.generator)}"] if origin.generator != GENERATORS[0] else []
    if origin.size:
        words.append("--size {}x{}".format(*origin.size))
    return " ".join([*words, f"--seed {origin.seed}"])
