"""The commands that write something, each with what it must have written in the end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from fusionbench.results.schema import TABLES
from tests.conftest import REPO
from tests.faults.campaign import forks

PLUGINS = REPO / "tests/own_plugins"
TRANSIENT = (".stdout", ".stderr", "results.db-wal", "results.db-shm", "sessions.jsonl", "times.jsonl", "previous.pt")
TEMPORARY = (".part", ".tmp")


@dataclass(frozen=True)
class Job:
    """A command that writes into a folder.

    Attributes:
        name: of the job.
        words: the command line.
        again: that which goes on after it was cut off; the same but for `train`.
        group: what it is counted under.
    """

    name: str
    words: tuple[str, ...]
    again: tuple[str, ...]
    group: str

    def start(self, folder: Path, again: bool = False) -> forks.Running:
        """Start it in a folder."""
        return forks.start(self.spelt(folder, again), folder, settings(folder))

    def run(self, folder: Path, again: bool = False) -> forks.Ended:
        """Run it in a folder to its end."""
        return self.start(folder, again).wait()

    def spelt(self, folder: Path, again: bool = False) -> list[str]:
        """Its command line for a folder."""
        return [word.replace("{}", str(folder)) for word in (self.again if again else self.words)]


def settings(folder: Path) -> dict[str, str]:
    """Environment variables that keep a command within a folder."""
    return {"FUSIONBENCH_CACHE": str(folder / "cache"), "no_proxy": "*"}


def job(name: str, *words: object, resumed: tuple[str, ...] = ()) -> Job:
    """A job; ``{}`` in its words is the folder of the case."""
    spelt = tuple(map(str, words))
    return Job(name, spelt, (*spelt, *resumed), name.partition(":")[0])


@dataclass(frozen=True)
class Inputs:
    """What the commands of all cases read.

    Attributes:
        root: the folder it lies in.
        url: address of a server with the files of the root below ``file/``.
    """

    root: Path
    url: str = ""

    @property
    def archive(self) -> Path:
        """A dataset's archive."""
        return self.root / "msrs.zip"

    @property
    def data(self) -> Path:
        """The data root."""
        return self.root / "data"

    @property
    def store(self) -> Path:
        """Finished results."""
        return self.root / "results"


def make_inputs(root: Path, quick: bool = False) -> Inputs:
    """Generated trees, finished results, a checkpoint; few and small ones for a few cases."""
    inputs, pairs = Inputs(root), 3 if quick else 12
    root.mkdir(parents=True)
    for like, train, test in (("msrs", 8, pairs), ("vt5000", 8, 3))[: 1 if quick else 2]:
        out = inputs.data / {"msrs": "MSRS", "vt5000": "VT5000"}[like]
        _well(forks.run(_synth(like, out, train, test), root, settings(root)))
    words = ("eval", "--methods=average,visible,maximum", "--metrics=en,sf,vif", "--datasets=msrs", "--jobs=1")
    _well(forks.run((*words, "--data-root", inputs.data, "--out", inputs.store), root, settings(root)))
    from safetensors.torch import load_file

    from fusionbench.plugins.weights import packaged

    torch.save(load_file(packaged("tdfusion")[0].path), root / "checkpoint.pth")
    shutil.make_archive(str(inputs.archive.with_suffix("")), "zip", inputs.data / "MSRS")
    return inputs


def _synth(like: str, out: object, train: int, test: int) -> tuple[object, ...]:
    return ("data", "synth", "--like", like, "--train", train, "--test", test, "--size=64x80", "--out", out)


def _well(done: forks.Ended) -> None:
    if done.code:
        raise RuntimeError(done.err)


def jobs(inputs: Inputs) -> dict[str, Job]:
    """Every job, by name."""
    data = ("--data-root", inputs.data)
    evaluated = ("--methods=average,laplacian,gff,visible", "--metrics=en,sf,vif,qabf", "--datasets=msrs")
    own = ("--plugins", PLUGINS)
    scored = ("--methods=average,visible", "--metrics=en", "--tasks=glow", "--task-size=tiny", "--seeds=2")
    trained = ("--size=tiny", "--out={}/run", "--cfg-options", "save_every=3", "tensorboard=false")
    digest = hashlib.sha256(inputs.archive.read_bytes()).hexdigest()
    fetched = ("data", "download", "msrs", "--url", f"{inputs.url}/file/{inputs.archive.name}", "--sha256", digest)
    on = ("--resume",)
    every = [
        job("eval", "eval", *evaluated, *data, "--out={}/out", "--jobs=1"),
        job("eval:jobs", "eval", *evaluated, *data, "--out={}/out", "--jobs=2"),
        job("eval:task", *own, "eval", *scored, "--datasets=vt5000", *data, "--out={}/out", "--jobs=1"),
        job("train", *own, "train", "blend", "--dataset=msrs", *data, *trained, "epochs=16", resumed=on),
        job("train:task", *own, "train", "glow-net", "--dataset=vt5000", *data, *trained, "epochs=16", resumed=on),
        job("synth", *_synth("msrs", "{}/MSRS", 6, 8)),
        job("merge", "merge", inputs.store, "--out={}/out"),
        job("export:csv", "export", "--out", inputs.store, "-o", "{}/scores.csv"),
        job("export:parquet", "export", "--out", inputs.store, "-o", "{}/scores.parquet"),
        job("leaderboard:md", "leaderboard", "--out", inputs.store, "-o", "{}/table.md"),
        job("leaderboard:json", "leaderboard", "--format=json", "--ci", "--out", inputs.store, "-o", "{}/table.json"),
        job("weights", "weights", "add", "tdfusion", inputs.root / "checkpoint.pth", "--name=mine"),
        job("download", *fetched, "--data-root={}/data"),
    ]  # fmt: skip
    return {one.name: one for one in every}


def aged(folder: Path) -> None:
    """An hour passes for temporary files: those of a process that was killed may be swept."""
    before = time.time() - 3600
    for path in folder.rglob("*"):
        if any(part.endswith(TEMPORARY) for part in path.relative_to(folder).parts):
            os.utime(path, (before, before), follow_symlinks=False)


def results(folder: Path) -> dict[str, str]:
    """What a command has written, by file: a hash of its content without times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and path.name not in TRANSIENT:
            content = b"\n".join(_content(path)).replace(os.fsencode(folder), b"{}")  # in recorded commands
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names of files that only one has, or that differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _content(path: Path) -> Iterator[bytes]:
    """The content of a file, without what is of one run alone: times, and the order in which rows were added."""
    reader: Callable[[Path], Iterator[bytes]] | None = None
    if path.name == "results.db":
        reader = _rows
    elif path.suffix == ".pt":
        reader = _tensors
    elif path.name.endswith(".provenance.json"):
        reader = _facts
    try:
        yield from reader(path) if reader else [path.read_bytes()]
    except Exception as error:  # half a file: it is compared, not used
        yield repr(error).encode()


def _rows(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(path)) as db:
        for table in TABLES:
            if table == "entries":  # the order counts, not the number
                yield from (
                    repr(row).encode() for row in db.execute("SELECT key, id, output, info FROM entries ORDER BY seq")
                )
            elif table != "runs":
                yield from sorted(repr(row).encode() for row in db.execute(f"SELECT * FROM {table}"))


def _tensors(path: Path) -> Iterator[bytes]:
    def flat(value: object) -> Iterator[bytes]:
        if isinstance(value, torch.Tensor):
            yield value.numpy().tobytes()
        elif isinstance(value, dict):
            for key, part in value.items():
                yield repr(key).encode()
                yield from flat(part)
        elif isinstance(value, list | tuple):
            for part in value:
                yield from flat(part)
        else:
            yield repr(value).encode()

    yield from flat(torch.load(path, weights_only=True))


def _facts(path: Path) -> Iterator[bytes]:
    facts = json.loads(path.read_text())
    facts.pop("runs", None)
    yield json.dumps(facts, sort_keys=True).encode()
