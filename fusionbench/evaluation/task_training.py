"""What is recorded beside a network that was trained for a table: the code, the versions and the processor."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from fusionbench.errors import FusionbenchError
from fusionbench.results.records import Made, Record
from fusionbench.runtime.reasons import reason
from fusionbench.training.options import RunOptions
from fusionbench.training.request import TrainRequest
from fusionbench.training.run import run
from fusionbench.training.trained import weights_file

RECORD = "trained.json"


class Trained(Record, frozen=True, kw_only=True):
    """What trained a network.

    Attributes:
        code: hash of it, see :func:`fusionbench.evaluation.keys.training_code`; "" where nothing is recorded.
        made: versions and processor.
    """

    code: str = ""
    made: Made = Made()


def trained_by(folder: Path) -> Trained:
    """The record beside a network; an empty one where there is none."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=Trained)
    except (OSError, ValueError, msgspec.MsgspecError):
        return Trained()


def train(request: TrainRequest, pictures: Mapping[str, Path], by: Trained, again: bool) -> None:
    """Train unless that is done; a run that other code has begun, and not ended, is begun anew.

    Args:
        request: with its folder.
        pictures: of the training split.
        by: what trains here.
        again: also train a finished network again.

    Raises:
        FusionbenchError: anything a user can mend.
    """
    folder = request.out
    finished = weights_file(folder).is_file()
    if finished and not again:
        return
    try:
        if finished:
            folder.rename(_aside(folder))
        elif folder.exists() and trained_by(folder).code != by.code:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).write_bytes(msgspec.json.encode(by))
        run(replace(request, resume=True), RunOptions(command="fusionbench eval --tasks", quiet=True), pictures)
        shutil.rmtree(_aside(folder), ignore_errors=True)
    except OSError as error:
        raise FusionbenchError(f"{folder}: cannot be written ({reason(folder, error)})") from None
    finally:
        restore(folder)


def restore(folder: Path) -> None:
    """Put a finished network back where training it again has not come to an end."""
    if _aside(folder).is_dir() and not weights_file(folder).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        _aside(folder).rename(folder)


def _aside(folder: Path) -> Path:
    """Where a finished network lies while it is trained again."""
    return folder.with_name(f".{folder.name}.earlier")
