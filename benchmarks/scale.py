"""How stores, merging and tables grow: a leaderboard of invented scores, written, read back, merged and shown.

    python benchmarks/scale.py [--methods 100] [--datasets 20] [--pictures 500] [--shards 4] [--folder DIR]
        [--page docs/scale.md]

Each part runs in a process of its own, whose processor time and largest memory are measured. What is read back, merged
and shown is compared with what was invented; a difference ends it. Pictures themselves are not written: merging looks
for each of them and copies none. The page gets the figures; without it they are printed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
from page import replace

from fusionbench.cli import VERBS
from fusionbench.evaluation.protocol import metric
from fusionbench.report.formats import FORMATS, as_text
from fusionbench.report.tables import build
from fusionbench.results import packed, provenance
from fusionbench.results.merge import content, merge
from fusionbench.results.records import Board, EntryInfo, Made, PlanInfo, Run
from fusionbench.results.store import Fused, Score, Store

METRICS = ("en", "sf", "scd", "vif", "qabf", "ssim", "mi", "qcv")
Figures = dict[str, float]


@dataclass(frozen=True)
class Size:
    """Of the leaderboard; shard k of n has every n-th method."""

    methods: int
    datasets: int
    pictures: int
    shards: int
    folder: Path

    @property
    def scored(self) -> int:
        return self.methods * self.datasets * self.pictures

    def shard(self, number: int) -> Path:
        return self.folder / f"shard{number}"

    @property
    def merged(self) -> Path:
        return self.folder / "all"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("methods", 100), ("datasets", 20), ("pictures", 500), ("shards", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    counts = options.methods, options.datasets, options.pictures, options.shards
    if min(counts) < 1 or options.shards > options.methods:
        parser.error("one of each at least, and no more shards than methods")
    if options.part:
        print(json.dumps(PARTS[options.part](Size(*counts, options.folder))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        size = Size(*counts, options.folder or Path(scratch))
        figures = {name: measured(size, name) for name in PARTS}
    lines = report(size, figures)
    if options.page:
        replace("scale", "Simulated", lines, options.page)
    else:
        print("\n".join(lines))


def measured(size: Size, part: str) -> Figures:
    """A part in a process of its own: its figures, seconds passed and of the processor, largest memory in bytes."""
    words = [f"--{name}={getattr(size, name)}" for name in ("methods", "datasets", "pictures", "shards", "folder")]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, __file__, *words, f"--part={part}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    own: Figures = json.loads(done.stdout.splitlines()[-1])
    print(f"{part}: {worked:.0f} s of a processor", file=sys.stderr)
    return {"passed": time.perf_counter() - began, "worked": worked, **own}


def peak() -> int:
    """Largest memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def digest(*words: object) -> str:
    """As hashes of pictures and pairs look."""
    return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()


def values(size: Size, method: int, dataset: int) -> np.ndarray:
    """Invented scores ``[pictures, metrics]``, the same wherever they are asked for."""
    return np.random.default_rng((method, dataset)).random((size.pictures, len(METRICS)))


def board(size: Size, dataset: int) -> Board:
    name, ids = f"invented{dataset:03d}", tuple(metric(m).id for m in METRICS)
    facts = {"dataset": name, "title": name, "split": "test", "split_sha256": digest(name), "split_source": "invented"}
    facts["protocol"] = f"{name}-fusion@v1"
    return Board(**facts, expected=size.pictures, own_metrics=ids, colour="grey", output="released", metrics=ids)


def entry(method: int) -> EntryInfo:
    name = f"method{method:03d}"
    facts = {"id": name, "method": name, "title": name, "version": "1", "code": digest(name)}
    return EntryInfo(**facts, options={}, weights=None, output_rule="released", output=None, source_only=False)


# ---------------------------------------------------------------- parts


def write(size: Size) -> Figures:
    """All shards, in large transactions; and some pictures one by one, as `eval` writes them."""
    for number in range(size.shards):
        with Store(size.shard(number)) as store:
            processor, who = f"Processor {number}", f"Person {number}"
            made = store.put_maker(Made(libraries={"torch": "2"}, processor=processor, who=who, when=provenance.now()))
            store.put_run(run(processor, who))
            fill(size, store, range(number, size.methods, size.shards), made)
    largest = peak()
    with tempfile.TemporaryDirectory(dir=size.folder) as scratch, Store(Path(scratch)) as store:
        began, names = time.perf_counter(), [metric(m).id for m in METRICS]
        for number in range(200):
            picture = Fused(digest("pair", number), digest("one", number), f"fused/one/d-test/{number}.png")
            store.put_fused("one", "d", "test", str(number), picture)
            store.put_scores(Score(picture.image, picture.pair, name, "code", 0.5) for name in names)
        one = (time.perf_counter() - began) / 200
    sizes = sum(file.stat().st_size for file in size.folder.glob("shard*/results.db"))
    return {"memory": largest, "bytes": sizes, "one": one}


def run(processor: str, who: str) -> Run:
    own = provenance.session("fusionbench eval", provenance.now())
    hardware = msgspec.structs.replace(own.hardware, cpu=processor)
    own = msgspec.structs.replace(own, hardware=hardware, libraries={"torch": "2"})
    plan = PlanInfo(entries=(), sources=(), skipped=(), device="cpu", jobs=1)
    return msgspec.structs.replace(provenance.collect(own, 1.0, plan, fused=1, scored=1), who=who)


def fill(size: Size, store: Store, methods: range, made: int) -> None:
    variants = [(number, m.id, m.code) for number, m in enumerate(map(metric, METRICS), 1)]
    with store.transaction() as db:
        db.executemany("INSERT INTO variants VALUES(?,?,?)", variants)
    for method in methods:
        store.put_entry(digest("key", method), entry(method))
    for dataset in range(size.datasets):
        facts, ids = board(size, dataset), [f"{number:05d}" for number in range(size.pictures)]
        pairs = [digest("pair", dataset, ident) for ident in ids]
        store.put_board(facts, zip(ids, pairs, strict=True), ids)
        for method in methods:
            key, folder = digest("key", method), f"fused/method{method:03d}/{facts.dataset}-test"
            images = [digest("picture", method, dataset, ident) for ident in ids]
            rows = zip(ids, pairs, images, values(size, method, dataset).tolist(), strict=True)
            fused, scores = [], []
            for ident, pair, image, own in rows:
                fused.append((key, facts.dataset, "test", ident, pair, image, f"{folder}/{ident}.png", made))
                scores.append((image, pair, packed.pack({n: (v, made) for n, v in enumerate(own, 1)})))
            with store.transaction() as db:
                db.executemany("INSERT INTO fused VALUES(?,?,?,?,?,?,?,?)", fused)
                db.executemany("INSERT INTO scores VALUES(?,?,?)", scores)


def read(size: Size) -> Figures:
    """Everything of the first shard, every type checked, as merging reads a stranger's."""
    with Store(size.shard(0), create=False) as store:
        found = content(store)
    expected = len(range(0, size.methods, size.shards)) * size.datasets * size.pictures
    same(len(found.fused), expected)
    same(len(found.scores), expected)
    return {"memory": peak(), "pictures": expected}


def merge_all(size: Size) -> Figures:
    with Store(size.merged) as store:
        added, conflicts = merge(store, [size.shard(number) for number in range(size.shards)])
    same(conflicts, [])
    same((added["fused"], added["scores"]), (size.scored, size.scored * len(METRICS)))
    return {"memory": peak(), "bytes": (size.merged / "results.db").stat().st_size}


def merge_again(size: Size) -> Figures:
    """A shard that is there already: what looking costs."""
    with Store(size.merged) as store:
        added, conflicts = merge(store, [size.shard(0)])
    same((sum(added.values()), conflicts), (0, []))
    return {"memory": peak()}


def tables(size: Size) -> Figures:
    """Every table in every format; means are those of the invented scores, to the last bit but the sum's order."""
    written = dict.fromkeys(FORMATS, 0)
    with Store(size.merged, create=False) as store:
        for number, facts in enumerate(store.boards()):
            table = build(store, facts)
            same(len(table.rows), size.methods)
            for row in table.rows:
                own = values(size, int(row.id.removeprefix("method")), number).mean(axis=0)
                same(all(abs(row.mean(m.id) - mean) < 1e-9 for m, mean in zip(table.metrics, own, strict=True)), True)
            for form in FORMATS:
                written[form] += len(as_text(table, form).encode())
    return {"memory": peak(), **written}


def site(size: Size) -> Figures:
    """The page, where the command is there."""
    if "site" not in VERBS:
        return {}
    out = size.folder / "page"
    command = [sys.executable, "-m", "fusionbench", "site", str(size.merged), "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {"memory": memory, "bytes": sum(file.stat().st_size for file in out.rglob("*") if file.is_file())}


PARTS: dict[str, Callable[[Size], Figures]] = {
    "write": write,
    "read": read,
    "merge": merge_all,
    "again": merge_again,
    "tables": tables,
    "site": site,
}


def same(found: object, expected: object) -> None:
    """Ends the program where something is not what it must be."""
    if found != expected:
        sys.exit(f"found {found}, expected {expected}")


# ---------------------------------------------------------------- figures


def report(size: Size, found: dict[str, Figures]) -> list[str]:
    machine = provenance.hardware()
    factor = 1e9 / size.scored
    shards = size.scored / size.shards
    rows = [
        ("written, all shards", found["write"], found["write"]["bytes"]),
        ("one shard read back, every type checked", found["read"], None),
        (f"{size.shards} shards merged", found["merge"], found["merge"]["bytes"]),
        ("a shard merged that is there already", found["again"], None),
        (
            f"{size.datasets} tables in {len(FORMATS)} formats",
            found["tables"],
            sum(found["tables"][f] for f in FORMATS),
        ),
    ]
    if "bytes" in found["site"]:
        rows.append(("the page (`fusionbench site`)", found["site"], found["site"]["bytes"]))
    store = found["merge"]["bytes"]
    return [
        f"{size.scored:,} scored pictures: {size.methods} methods x {size.datasets} datasets x {size.pictures}, "
        f"{len(METRICS)} metrics, {size.shards} shards of {shards:,.0f}; invented scores, no picture files. "
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, one process; Python "
        f"{platform.python_version()}, numpy {np.__version__}; commit {provenance.commit()}; "
        f"{datetime.now(timezone.utc):%Y-%m-%d}. The machine had other work: read the processor's time.",
        f"Command: `python benchmarks/scale.py --methods {size.methods} --datasets {size.datasets} "
        f"--pictures {size.pictures} --shards {size.shards}`.",
        "",
        "| part | processor, s | passed, s | memory | bytes |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {own['worked']:.1f} | {own['passed']:.1f} | {own['memory'] / 2**20:,.0f} MiB "
            f"| {'' if count is None else f'{count / 2**20:,.1f} MiB'} |"
            for name, own, count in rows
        ),
        "",
        f"A scored picture is {store / size.scored:.0f} bytes of the store, and "
        f"{1e6 * found['merge']['worked'] / size.scored:.0f} us of merging; `eval` writes one, with its scores, in "
        f"{1e3 * found['write']['one']:.1f} ms.",
        "",
        f"**Extrapolated, not measured**: 10^9 scored pictures by the factor {factor:,.0f} are a store of "
        f"{store * factor / 2**30:,.0f} GiB, {found['merge']['worked'] * factor / 3600:,.0f} hours of merging and "
        f"{found['merge']['memory'] * factor / 2**40:,.1f} TiB of memory for it, as it is now.",
    ]


if __name__ == "__main__":
    main()
