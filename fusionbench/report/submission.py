"""A folder of results that somebody hands in: its files, its hashes, and some of its scores computed again."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fusionbench.counting import counted
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.pixels.images import picture_digest, read_image
from fusionbench.report.verify import Verification, verify
from fusionbench.results.merge import Content, content
from fusionbench.results.merged_pictures import is_safe, sample
from fusionbench.results.records import Board, Made
from fusionbench.results.schema import FusedRow
from fusionbench.results.store import Store
from fusionbench.runtime.files import printable

JOURNAL = "results.db-wal"  # empty, where somebody has looked at the store; else of a run that has not ended
BESIDE = ("results.db", JOURNAL, "results.db-shm", "README.md")  # what may lie in the folder but pictures
MOST_FILES = 1_000_000
NAMED = 3  # faults of a kind that are named one by one


@dataclass
class Submission:
    """What came of it.

    Attributes:
        faults: why it cannot be taken, a line each.
        notes: what was only recorded, a line each.
        pictures: number of those that are what their records say.
        scores: number of scores computed again.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: int = 0
    scores: int = 0

    def add(self, kind: str, places: list[str]) -> None:
        """A fault in several places, of which the first are named."""
        if places:
            more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
            self.faults.append(f"{kind}: {', '.join(printable(place) for place in places[:NAMED])}{more}")


def check(folder: Path, count: int, data_root: Path | None = None, available: bool = False) -> Submission:
    """Look at everything that a submission claims and that can be looked at.

    Args:
        folder: holds ``results.db`` and pictures below ``fused/``, as `merge` writes it.
        count: pictures of each entry and dataset of which scores are computed again; those with the smallest hashes
            must be there.
        data_root: folder of the datasets.
        available: whether rows whose data are not here are only noted.

    Raises:
        FusionbenchError: there is no store, or one that is damaged or contradicts itself.
    """
    result, inside = Submission(), _files(folder)  # before SQLite lays files of its own beside an open store
    with Store(folder, create=False) as store:
        every = content(store)
        result.notes += store.notes
        makers = store.makers()
        result.add("is no part of a submission", _strange(inside, {row.path for row in every.fused}))
        unsigned = Counter(_name(every, row.entry) for row in every.fused if not makers.get(row.made, Made()).signature)
        result.add("nobody signed it, run `fusionbench eval --who NAME`", sorted(unsigned))
        if not every.fused:
            result.faults.append("there are no pictures in its records")
        _pictures(result, folder, every, count)
        if told := store.shelf.elsewhere:
            result.faults.append(f"{told}: `fusionbench merge {folder} --out NEW` makes a folder to hand in")
        if not result.faults:  # else pictures are not what they are scored as
            _scores(result, verify(store, count, data_root), every, store, available)
    if every.tasks:
        result.notes.append(f"{counted(len(every.tasks), 'result')} of task networks: recorded only")
    return result


def _name(every: Content, key: str) -> str:
    return every.infos[key].id if key in every.infos else f"an entry that is not there ({key[:12]})"


def _files(folder: Path) -> list[tuple[str, bool]]:
    """Everything below a folder but folders: its path there, and whether it is a file as it should be.

    Raises:
        FusionbenchError: there is very much.
    """
    found, seen = [], 0
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            seen += 1
            if seen > MOST_FILES:
                raise FusionbenchError(f"{folder}: more than {MOST_FILES} files")
            state = Path(place, name).lstat()
            if not stat.S_ISDIR(state.st_mode):
                plain = stat.S_ISREG(state.st_mode) and (name != JOURNAL or not state.st_size)
                found.append((Path(place, name).relative_to(folder).as_posix(), plain))
    return sorted(found)


def _strange(inside: list[tuple[str, bool]], known: set[str]) -> list[str]:
    """Files, links and whatever else a submission has no place for."""
    return [path for path, plain in inside if not plain or not (path in BESIDE or (path in known and is_safe(path)))]


def _pictures(result: Submission, folder: Path, every: Content, count: int) -> None:
    """Compare every picture that is there with its record; those of the sample have to be there."""
    needed = sample(every.fused, count)
    missing, unsafe, other = [], [], []
    for row in every.fused:
        place = f"{_name(every, row.entry)} on {row.dataset} {row.split} {row.id}"
        if not is_safe(row.path):
            unsafe.append(place)
        elif not (folder / row.path).is_file():
            missing += [place] if row in needed else []
        elif not _same(folder, row):
            other.append(place)
        else:
            result.pictures += 1
    result.add("the path of its picture is none", unsafe)
    result.add("its picture is of the sample and is not there", missing)
    result.add("its picture is not what its record says", other)


def _same(folder: Path, row: FusedRow) -> bool:
    try:
        return picture_digest(read_image(folder / row.path)) == row.image
    except DataError:
        return False


def _scores(result: Submission, found: Verification, every: Content, store: Store, available: bool) -> None:
    """Take over what was computed again; every row of every table must have a score that was."""
    result.scores = found.checked
    result.add("a score is another", found.wrong)
    lines = result.notes if available else result.faults
    lines += [f"not verified: {line}" for line in found.unchecked]
    boards = {(board.dataset, board.split) for board in every.boards}
    outputs = {board.output for board in every.boards}
    shown = {
        key for output in outputs for key in store.entries(output)
    }  # in tables, not those that a later one replaced
    rows = {row[:3] for row in every.fused if row.entry in shown}
    if not rows:
        result.faults.append("no table would show anything of it")
    bare = [f"{_name(every, e)} on {d} {s}" for e, d, s in sorted(rows) if (d, s) not in boards]
    result.add("its dataset is not in its records", bare)
    known = {(score.image, score.pair, score.metric) for score in store.score_rows()}
    failed = {row[:4] for row in every.failures}
    wanted = {(b.dataset, b.split): b.metrics for b in (store.decoded(Board, board.info) for board in every.boards)}
    unscored = [
        f"{_name(every, row.entry)} on {row.dataset} {row.split} {row.id}"
        for row in every.fused
        if row[:3] in rows and row[:4] not in failed and ("", *row[1:4]) not in failed
        if not all((row.image, row.pair, name) in known for name in wanted.get(row[1:3], ()))
    ]
    result.add("a picture lacks scores", unscored)
    here = {place[1:] for place in found.rows}
    again = [
        f"{_name(every, row[0])} on {row[1]} {row[2]}"
        for row in sorted(rows - found.rows)
        if row[1:] in boards and (not available or row[1:] in here)
    ]
    result.add("no score of it could be computed again", again)
