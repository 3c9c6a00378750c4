"""Tables and their provenance as files hold them (``STEM.json``, ``STEM.provenance.json``), as typed records."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from fusionbench.errors import FusionbenchError
from fusionbench.results.records import Board, EntryInfo

T = TypeVar("T")
LARGEST = 64 << 20  # bytes of a file


class Cell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry under one metric.

    Attributes:
        mean: over the images where it is defined; None where it is nowhere.
        rank: among the ranked rows, 1 the best; None for a row that has none.
        n: number of images with a value.
        ci95: bootstrap interval of the mean, where it was asked for.
        deviation: over seeds, in a row that joins several.
    """

    mean: float | None
    rank: float | None
    n: int
    ci95: tuple[float, float] | None = None
    deviation: float | None = None


class PublishedRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry.

    Attributes:
        id: of the entry.
        source_only: whether it is a source image, which is not ranked.
        average_rank: over the metrics; None for a row that has none.
        trained_on: what its weights were trained on.
        scores: metric id to value.
        tasks: id of a task column to one value per seed.
        unverified: what the method could not be compared with, or ""; such a row is not ranked.
    """

    id: str
    source_only: bool
    average_rank: float | None
    trained_on: str | None
    scores: dict[str, Cell]
    tasks: dict[str, tuple[float | None, ...]] = {}
    unverified: str = ""

    @property
    def ranked(self) -> bool:
        """Whether it takes part in rankings."""
        return not self.source_only and not self.unverified


class MetricHead(msgspec.Struct, frozen=True, kw_only=True):
    """Head of a metric's column; ``direction`` is ``up`` or ``down``."""

    id: str
    title: str
    direction: str


class TaskHead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Head of a task's column, and what it is in a line; a direction stands only where it is ``down``."""

    id: str
    title: str
    note: str
    direction: str = "up"


class PublishedTable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A leaderboard, see :class:`fusionbench.report.tables.Table`."""

    caption: str
    protocol: str
    dataset: str
    split: str
    images: int
    expected: int | None
    metrics: tuple[MetricHead, ...]
    tasks: tuple[TaskHead, ...] = ()
    rows: tuple[PublishedRow, ...]
    notes: tuple[str, ...]


class PublishedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """Version of a metric and hash of its code."""

    version: str
    code: str


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a table comes from, as far as it is verified.

    Attributes:
        board: what was scored.
        entries: its rows.
        metrics: metric id to its version and code.
        pairs: image id to hash of the source pair.
        images: number of images in the table.
        tasks: entry id to the results of its task networks, see :mod:`fusionbench.report.task_claims`.
        signed: entry id to who signed pictures of it.
        runs: what computed it.
    """

    board: Board
    entries: tuple[EntryInfo, ...]
    metrics: dict[str, PublishedMetric]
    pairs: dict[str, str]
    images: int | None = None
    tasks: dict[str, tuple[object, ...]] = {}
    signed: dict[str, tuple[object, ...]] = {}
    runs: tuple[object, ...] = ()

    @property
    def processors(self) -> set[str]:
        """Names of the processors of its runs, as far as they say it."""
        machines = [run.get("hardware") for run in self.runs if isinstance(run, dict)]
        return {str(m["cpu"]) for m in machines if isinstance(m, dict) and m.get("cpu")}


def read(path: Path, kind: type[T]) -> T:
    """A file as its record.

    Raises:
        FusionbenchError: it cannot be read, or is something else.
    """
    try:
        if path.is_file() and path.stat().st_size > LARGEST:
            raise FusionbenchError(f"{path}: larger than {LARGEST >> 20} MiB; no result of fusionbench")
        if path.exists() and not path.is_file():
            raise FusionbenchError(f"{path}: not a file; a result is a table's .json")
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise FusionbenchError(
            f"{path}: not there; a result is a table's .json with its .provenance.json beside it"
        ) from None
    except msgspec.ValidationError as error:
        raise FusionbenchError(f"{path}: no result of fusionbench: {error}") from None
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise FusionbenchError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
