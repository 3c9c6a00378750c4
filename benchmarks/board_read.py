"""How long a large leaderboard takes to read. Writes its part of docs/benchmarks.md.

    python benchmarks/board_read.py [--pairs 10000] [--entries 20] [--folder DIR]

A store with invented scores under every metric, kept in DIR where one is named. Warm is the quickest of three readings
after the first, when the file lies in memory.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from page import replace

from fusionbench.evaluation.protocol import Metric, metrics_of
from fusionbench.report.formats import markdown
from fusionbench.report.tables import build
from fusionbench.results import packed, provenance
from fusionbench.results.records import Board, EntryInfo
from fusionbench.results.store import Store

LIMIT = 2.0  # seconds of one processor, which is what passes where nobody else works


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=20)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        began = time.perf_counter()
        if not (folder / "results.db").exists():
            fill(folder, options.pairs, options.entries)
        built = time.perf_counter() - began
        readings = [reading(folder) for _ in range(4)]
        command = [sys.executable, "-m", "fusionbench", "leaderboard", "--out", str(folder)]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        whole = time.perf_counter() - began
        size = (folder / "results.db").stat().st_size
    warm, count = min(readings[1:]), options.pairs * options.entries * len(columns())
    replace(
        "board",
        "Reading a large leaderboard",
        [
            f"{options.pairs:,} pairs, {options.entries} entries, {len(columns())} metrics: {count:,} scores. "
            f"{provenance.hardware().cpu}, {provenance.hardware().cores} cores; Python {platform.python_version()}, "
            f"numpy {np.__version__}; commit {provenance.commit()}; "
            f"{datetime.now(timezone.utc):%Y-%m-%d}; load average {os.getloadavg()[0]:.0f}.",
            f"Command: `python benchmarks/board_read.py --pairs {options.pairs} --entries {options.entries}`.",
            "",
            "| | |",
            "|---|---:|",
            f"| store | {size / 2**20:.0f} MiB |",
            f"| table read and formatted, first time | {readings[0][1]:.2f} s |",
            f"| the same, warm: one processor's time | **{warm[0]:.2f} s** |",
            f"| the same, warm: time that passed | {warm[1]:.2f} s |",
            f"| `fusionbench leaderboard`, start of the program included | {whole:.2f} s |",
        ],
    )
    print(f"built in {built:.0f} s")
    if warm[0] > LIMIT:
        sys.exit(f"over {LIMIT} s")


def columns() -> list[Metric]:
    """Every metric once."""
    return metrics_of("default", None, "grey")


def fill(folder: Path, pairs: int, entries: int) -> None:
    """A store with invented scores."""
    ids = [f"{number:06d}" for number in range(pairs)]
    hashes = {ident: digest("pair", ident) for ident in ids}
    metrics = columns()
    names = tuple(m.id for m in metrics)
    board = Board(
        **dict.fromkeys(("dataset", "title", "split", "split_sha256", "split_source", "protocol"), "invented"),
        **{"expected": pairs, "own_metrics": names, "colour": "grey", "output": "released", "metrics": names},
    )
    random = np.random.default_rng(0)
    with Store(folder) as store:
        store.put_board(board, hashes.items(), ids)
        with store.transaction() as db:
            variants = [(number, m.id, m.code) for number, m in enumerate(metrics, 1)]
            db.executemany("INSERT INTO variants VALUES(?,?,?)", variants)
        for number in range(entries):
            name = f"method{number}"
            facts = {"method": name, "title": name, "version": "1", "code": "", "options": {}, "weights": None}
            rule = {"output_rule": "released", "output": None, "source_only": False}
            store.put_entry(name, EntryInfo(id=name, **facts, **rule))
            values = random.random((pairs, len(metrics)))
            pictures = [(i, hashes[i], digest(name, i), f"fused/{name}/invented-invented/{i}.png") for i in ids]
            with store.transaction() as db:
                rows = ((name, "invented", "invented", *picture) for picture in pictures)
                db.executemany("INSERT INTO fused VALUES(?,?,?,?,?,?,?,0)", rows)
                scores = (
                    (image, pair, packed.pack({number: (value, 0) for number, value in enumerate(own, 1)}))
                    for (_, pair, image, _), own in zip(pictures, values.tolist(), strict=True)
                )
                db.executemany("INSERT INTO scores VALUES(?,?,?)", scores)


def digest(*words: str) -> str:
    """As hashes of pictures and pairs look."""
    return hashlib.sha256(" ".join(words).encode()).hexdigest()


def reading(folder: Path) -> tuple[float, float]:
    """Seconds from the closed store to the text of its table: of the processor, and passed."""
    began, worked = time.perf_counter(), time.process_time()
    with Store(folder, create=False) as store:
        (board,) = store.boards()
        text = markdown(build(store, board))
    assert "method0" in text
    return time.process_time() - worked, time.perf_counter() - began


if __name__ == "__main__":
    main()
