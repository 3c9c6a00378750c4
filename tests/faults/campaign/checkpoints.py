"""Checkpoints, training runs and trained networks that were edited, damaged or made to harm."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from fusionbench.plugins.weights import packaged
from tests.faults.campaign import jobs as work
from tests.faults.campaign.bench import Bench, edited, spoilt
from tests.faults.campaign.cases import Verdict
from tests.faults.campaign.checked import Canary, bombs, given, outcome
from tests.faults.campaign.forks import run
from tests.faults.campaign.jobs import settings
from tests.faults.test_crafted import STRANGE

GONE = object()
PLAIN = [value for value in STRANGE if not isinstance(value, int) or abs(value) < 2**62] + [float("nan"), float("inf")]
TENSORS = (
    lambda: torch.zeros(0),
    lambda: torch.full((3, 3), float("nan")),
    lambda: torch.ones(5, dtype=torch.uint8),
    lambda: torch.ones(1).expand(10**10),
)


def weights(bench: Bench) -> Iterator[Verdict]:
    """A checkpoint of a stranger, given to `weights add`."""
    state = load_file(_packaged())
    released, plain = (bench.inputs.root / "checkpoint.pth").read_bytes(), save(state)
    number = 0
    while True:
        number += 1
        folder, draw = bench.fresh(), bench.draw
        file = folder / ("a.safetensors" if number % 3 == 0 else "a.pth")
        if number % 3 == 0:
            file.write_bytes(_safetensors(plain, draw, bench.canary) if draw.random() < 0.7 else spoilt(plain, draw))
        elif number % 3 == 1:
            torch.save({**state, "extra": draw.choice(bombs(bench.canary))}, file)
        elif draw.random() < 0.5:
            file.write_bytes(spoilt(released, draw))
        else:
            name = draw.choice(list(state))
            new = draw.choice((torch.ones(1).expand(10**10), torch.zeros(2, 2).to_sparse(), 3, "x", None, [[]], {}))
            torch.save({**state, name: new}, file)
        done, faults = given(("weights", "add", "tdfusion", file), folder, bench.canary, settings(folder))
        yield Verdict("weights", f"{number} {file.name}", outcome(done), tuple(faults))


def _packaged() -> Path:
    return packaged("tdfusion")[0].path


def _safetensors(data: bytes, draw: random.Random, canary: Canary) -> bytes:
    """A file whose header is another, or of another length than it says."""
    (length,) = struct.unpack("<Q", data[:8])
    if draw.random() < 0.3:
        return struct.pack("<Q", draw.choice((0, 1, length - 1, len(data), 2**40, 2**63))) + data[8:]
    header, _ = edited(json.loads(data[8 : 8 + length]), draw, canary)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def resumed(bench: Bench) -> Iterator[Verdict]:
    """A training run whose checkpoint is another, resumed."""
    job = work.jobs(bench.inputs)["train"]
    begun = bench.scratch / "begun"
    begun.mkdir(parents=True, exist_ok=True)
    run([*job.spelt(begun), "--max-steps=7"], begun, settings(begun))
    last = (begun / "run/last.pt").read_bytes()
    held = torch.load(begun / "run/last.pt", weights_only=True)
    number = 0
    while True:
        number += 1
        folder, what = bench.fresh(), "bytes"
        shutil.copytree(begun / "run", folder / "run")
        path = folder / "run/last.pt"
        (folder / "run/previous.pt").unlink()
        if number % 4 == 0:
            path.write_bytes(spoilt(last, bench.draw))
        elif number % 4 == 1:
            torch.save({**held, "config": bench.draw.choice(bombs(bench.canary))}, path)
            what = "code"
        else:
            content, what = _edited_state(held, bench.draw)
            torch.save(content, path)
        done, faults = given(job.spelt(folder, again=True), folder, bench.canary, settings(folder))
        yield Verdict("resumed", f"{number} {what}", outcome(done), tuple(faults))


def _edited_state(held: Any, draw: random.Random) -> tuple[Any, str]:
    """A checkpoint with one of its values another, or gone."""
    path = draw.choice([spot for spot in _spots(held) if spot])
    if draw.random() < 0.2:
        return _copied(held, path, GONE), f"{path} gone"
    new = draw.choice([*PLAIN, *(make() for make in TENSORS)])
    return _copied(held, path, new), f"{path} {str(new)[:40]!r}"


def _spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a checkpoint, of a list the first three."""
    yield path
    items: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list | tuple):
        items = enumerate(value[:3])
    for key, part in items:
        yield from _spots(part, (*path, key))


def _copied(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """A copy with another value in one place."""
    if not path:
        return new
    items = value.items() if isinstance(value, dict) else enumerate(value)
    pairs = [(key, _copied(part, path[1:], new) if key == path[0] else part) for key, part in items]
    pairs = [(key, part) for key, part in pairs if part is not GONE]
    return dict(pairs) if isinstance(value, dict) else type(value)(part for _, part in pairs)


def frozen(bench: Bench) -> Iterator[Verdict]:
    """A trained network of a stranger, given to `eval --frozen`."""
    job = work.jobs(bench.inputs)["train:task"]
    trained = bench.scratch / "trained"
    trained.mkdir(parents=True, exist_ok=True)
    run(job.spelt(trained), trained, settings(trained))
    data = (trained / "run/weights.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    facts = json.loads(header["__metadata__"]["fusionbench"])
    words = ("--plugins", work.PLUGINS, "eval", "--methods=average", "--metrics=en", "--datasets=vt5000", "--jobs=1")
    words += ("--tasks=glow,segmentation", "--task-size=tiny", "--task-protocols=frozen", "--seeds=1")
    number = 0
    while True:
        number += 1
        folder, draw = bench.fresh(), bench.draw
        (folder / "evil.py").write_text(bench.canary.program + "\nmodel = dict(type='X')\n")
        what = "bytes"
        if number % 4 == 0:
            changed_data = spoilt(data, draw)
        else:
            if number % 4 == 1:
                name = draw.choice((str(folder / "evil.py"), "evil", "../evil.py", "yolov8-tiny", "config.py"))
                new, what = {**facts, "name": name, "task": draw.choice(("glow", "segmentation", "evil"))}, name
            elif number % 4 == 2:
                new, what = {**facts, "config": {"channels": draw.choice((0, -1, 10**9, "3", None, 1.5))}}, "channels"
            else:
                new, what = edited(facts, draw, bench.canary)
            text = json.dumps({**header, "__metadata__": {"fusionbench": json.dumps(new)}}).encode()
            changed_data = struct.pack("<Q", len(text)) + text + data[8 + length :]
        (folder / "w.safetensors").write_bytes(changed_data)
        asked = (
            *words,
            "--data-root",
            bench.inputs.data,
            "--out",
            folder / "out",
            "--frozen",
            folder / "w.safetensors",
        )
        done, faults = given(asked, folder, bench.canary, settings(folder))
        yield Verdict("frozen", f"{number} {what}", outcome(done), tuple(faults))
