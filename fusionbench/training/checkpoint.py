"""Everything a run needs to go on, in one file of plain tensors that never replaces a good one by half a one."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.plugins.weights import read_tensors
from fusionbench.runtime.files import sweep
from fusionbench.training.options import Note
from fusionbench.training.recipe import Stateful

FORMAT = 1
MAX_COUNT, LARGEST = 1 << 53, sys.float_info.max
PLAIN = (bool, int, float, str, bytes, type(None))


@dataclass
class Checkpoint:
    """One moment of a run, between two steps.

    Attributes:
        state: state dicts of everything the recipe named.
        precision: the loss scale.
        rng: states of the random number generators, one entry per process.
        config: the settings as JSON.
        order: hash of the data order of ``epoch``.
        epoch: the epoch to go on with, from 0.
        position: steps of that epoch that are done.
        step: steps done in all.
        loss_sum: sum of the losses of those ``position`` steps.
        best: the best score yet, or None.
        log_bytes: length of the loss log at this moment.
        world: number of processes.
    """

    state: dict[str, Any]
    precision: dict[str, Any]
    rng: list[dict[str, Any]]
    config: str
    order: str
    epoch: int = 0
    position: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best: float | None = None
    log_bytes: int = 0
    world: int = 1

    def save(self, path: Path) -> None:
        """Write beside ``path``, flush to the disk, rename.

        Raises:
            FusionbenchError: the disk is full or read-only (what was at ``path`` stays), or a state dict holds
                something else than tensors and plain values.
        """
        held = {f.name: plain(getattr(self, f.name), f.name) for f in fields(self)}
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                torch.save({"fusionbench": FORMAT, **held}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            sync_folder(path.parent)
        except (OSError, RuntimeError) as error:
            reason = (_of_the_system(error) or str(error)).splitlines()[0]
            raise FusionbenchError(
                f"{path}: cannot be written ({reason}); the checkpoint before it is kept, go on from there with "
                "resume=True"
            ) from None
        finally:
            part.unlink(missing_ok=True)

    @staticmethod
    def read(path: Path) -> Checkpoint:
        """Read and verify a file; nothing in it is executed.

        Raises:
            WeightsError: damaged (every byte is under a checksum), not a checkpoint of a run, or of another version.
        """
        try:
            held = read_tensors(path)  # its bounds come first
            with zipfile.ZipFile(path) as archive:
                if broken := archive.testzip():
                    raise zipfile.BadZipFile(f"checksum of {broken} does not fit")
        except (WeightsError, OSError, RuntimeError, ValueError, zipfile.error) as error:
            reason = " ".join(str(error).removeprefix(f"{path}: ").split())[:120]
            raise WeightsError(f"{path}: damaged checkpoint ({reason})") from None
        if not isinstance(held, dict) or held.pop("fusionbench", None) != FORMAT:
            raise WeightsError(f"{path}: not a checkpoint of a training run of this version of fusionbench")
        if wrong := mistyped(held):
            raise WeightsError(f"{path}: damaged checkpoint ({wrong} is not what a run writes)")
        return Checkpoint(**held)


def mistyped(held: Mapping[Any, Any]) -> str:
    """The first field of a checkpoint that is missing, unknown or of another type than a run writes; "" if none is."""
    kinds = {f.name: f.type for f in fields(Checkpoint)}
    if unknown := [key for key in held if key not in kinds]:
        return repr(unknown[0])[:60]
    for name, kind in kinds.items():
        value = held.get(name)
        if kind == "int":
            good = type(value) is int and 0 <= value < MAX_COUNT
        elif "float" in str(kind):
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST
            good = number or (value is None and "None" in str(kind) and name in held)
        elif str(kind).startswith("list"):
            good = isinstance(value, list) and all(isinstance(part, dict) for part in value)
        else:
            good = isinstance(value, dict if str(kind).startswith("dict") else str)
        if not good:
            return name
    return ""


def plain(value: Any, where: str) -> Any:
    """The same with tensors, containers and plain values only; numpy numbers and arrays are converted.

    Raises:
        FusionbenchError: something else; the text says where it lies.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, Mapping):
        return {key: plain(v, f"{where}.{key}") for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v, f"{where}[{i}]") for i, v in enumerate(value))
    if isinstance(value, PLAIN):
        return value
    raise FusionbenchError(f"{where} is a {type(value).__name__}: a checkpoint holds tensors and plain values only")


def sync_folder(folder: Path) -> None:
    """Make renames in a folder outlive a power cut, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _of_the_system(error: BaseException | None) -> str:
    """What the system said of a write; torch tells of its own archive instead, which that left torn. "" for nothing."""
    while error:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__context__
    return ""


# ---------------------------------------------------------------- the files of a run


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run: ``last.pt``, the one before it, ``best.pt``, and the last good one before a NaN."""

    folder: Path

    @property
    def last(self) -> Path:
        """The newest."""
        return self.folder / "last.pt"

    @property
    def previous(self) -> Path:
        """The one before; taken when the newest is damaged."""
        return self.folder / "previous.pt"

    @property
    def best(self) -> Path:
        """The one of the best score."""
        return self.folder / "best.pt"

    @property
    def before_nan(self) -> Path:
        """The newest at the moment a loss or weight was not finite."""
        return self.folder / "before-nan.pt"

    def files(self) -> list[Path]:
        """Those to resume from, newest first."""
        return [path for path in (self.last, self.previous) if path.is_file()]

    def sweep(self) -> None:
        """Remove temporary files of runs that were killed."""
        for folder in (self.folder, *self.folder.glob("pictures/*")):
            sweep(folder, ".*.part")
            sweep(folder, ".*.tmp")

    def add(self, checkpoint: Checkpoint, best: bool = False) -> None:
        """Save as the newest, and as the best. A kill between any two operations loses nothing."""
        if best:
            checkpoint.save(self.best)
        fresh = self.folder / "fresh.pt"
        checkpoint.save(fresh)
        if self.last.is_file():
            os.replace(self.last, self.previous)
        os.replace(fresh, self.last)
        sync_folder(self.folder)

    def latest(self, note: Note) -> Checkpoint | None:
        """The newest that can be read, or None when there is none at all; says so when one is damaged.

        Raises:
            WeightsError: there are checkpoints and all are damaged.
        """
        failed: list[str] = []
        for path in self.files():
            try:
                checkpoint = Checkpoint.read(path)
            except WeightsError as error:
                failed.append(str(error))
                continue
            if failed:
                note(f"{failed[0]}; going on from {path.name}, step {checkpoint.step}")
            return checkpoint
        if failed:
            raise WeightsError(f"{failed[-1]}; no other checkpoint can be read: train anew into another folder")
        return None

    def set_aside(self) -> Path | None:
        """Copy the newest out of the way of later runs."""
        for path in self.files()[:1]:
            part = self.before_nan.with_name(f".{self.before_nan.name}.{os.getpid()}.part")
            shutil.copyfile(path, part)
            os.replace(part, self.before_nan)
            return self.before_nan
        return None


# ---------------------------------------------------------------- states


def load_states(objects: Mapping[str, Stateful], state: Mapping[str, Any]) -> None:
    """Load every object's state.

    Raises:
        WeightsError: the recipe has other objects, or one of another shape.
    """
    if objects.keys() != state.keys():
        held = ", ".join(map(str, state))[:200]
        raise WeightsError(f"the checkpoint holds {held}, this recipe needs {', '.join(objects)}")
    for name, part in objects.items():
        fresh = part.state_dict()
        if where := unlike(fresh, state[name]):
            raise WeightsError(f"the checkpoint does not fit {name}: {where} is of another kind or shape")
        try:
            part.load_state_dict(state[name])
        except Exception as error:  # torch's or the recipe's code, on whatever the file holds
            raise WeightsError(f"the checkpoint does not fit {name}: {' '.join(str(error).split())[:200]}") from None


def unlike(fresh: object, held: object, where: str = "its state") -> str:
    """Where a state differs in kind or shape from that of a new object; "" if nowhere.

    Args:
        fresh: of the new object. What it lacks, the held one may have: optimisers fill theirs at the first step.
        held: of a checkpoint.
        where: what is compared, for the answer.
    """
    if isinstance(fresh, Mapping):
        if not isinstance(held, Mapping):
            return where
        inner = ((part, held.get(key, part), f"{where}, {key}") for key, part in fresh.items())
        return next((found for a, b, name in inner if (found := unlike(a, b, name))), "")
    if isinstance(fresh, Tensor):
        return "" if isinstance(held, Tensor) and held.shape == fresh.shape else where
    if isinstance(fresh, (list, tuple)):
        if not isinstance(held, (list, tuple)) or len(held) != len(fresh):
            return where
        pairs = enumerate(zip(fresh, held, strict=True))
        return next((found for i, (a, b) in pairs if (found := unlike(a, b, f"{where}, {i}"))), "")
    if isinstance(fresh, (bool, int, float)):
        value = held.item() if isinstance(held, Tensor) and held.numel() == 1 else held
        number = isinstance(value, (bool, int, float)) and (abs(value) <= LARGEST or value == fresh)
        return "" if number else where
    return ""


def unfit(objects: Mapping[str, Stateful]) -> str | None:
    """Name of the first module whose weights are not all finite."""
    for name, part in objects.items():
        if isinstance(part, nn.Module) and not all(bool(torch.isfinite(p).all()) for p in part.parameters()):
            return name
    return None
