"""Several runs of `train`: each by itself, what one failing run costs, and seeds that join into one row."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionbench import cli
from fusionbench.data.synth import synth
from fusionbench.methods.ydtr.recipe import YDTRRecipe
from fusionbench.report.seed_rows import joined as join_rows
from fusionbench.report.seeds import seed_groups
from fusionbench.report.tables import build
from fusionbench.report.task_tables import TaskColumn
from fusionbench.results.records import EntryInfo, WeightsInfo
from fusionbench.results.store import Store

DATA = ("--data-root", "data")
SMALL = ("--size", "tiny", "--cfg-options", "epochs=1", "patch=16", "tensorboard=false")
RUN = ("train", "ydtr", "--datasets", "msrs", *DATA, *SMALL)


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, stdout and stderr."""

    code: Any
    out: str
    err: str


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with eight generated training pairs; not to be changed."""
    root = tmp_path_factory.mktemp("data")
    synth("msrs", root / "MSRS", 8, 2, (64, 80), 0)
    return root


@pytest.fixture
def here(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Runs a command line in this process, in a folder and with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    Path("data").symlink_to(data)

    def call(*words: object) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["fusionbench", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return Done(stop.value.code or 0, out, err)

    return call


def logs(folder: Path) -> dict[str, bytes]:
    """The loss log of every run in a folder."""
    return {path.parent.name: path.read_bytes() for path in folder.glob("*/log.jsonl")}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--sweep lrr=1,2", "no setting 'lrr' in this recipe; did you mean lr"),
        ("--sweep lr", "option 'lr' is not key=value"),
        ("--sweep lr=1e-3,", "--sweep lr=1e-3,: write key=value,value,..."),
        ("--sweep lr=1e-3,-1", "lr=-1: must be a number above 0"),
        ("--sweep lr=1e-3,0.001", "the sweep has the run lr0.001-seed0 twice: two of its values are the same"),
        ("--sweep lr=1e-3 --sweep LR=1e-4", "--sweep LR=1e-4: lr is given twice; name its values in one place"),
        ("--sweep epochs=1,2", "--sweep epochs=1,2: epochs is given twice; name its values in one place"),
        ("--sweep seed=1,2", "--sweep seed=1,2: seeds are counted with --seeds N, from the setting seed on"),
        ("--sweep datasets=a,b", "no setting 'datasets' in this recipe"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_run(here: Any, words: str, text: str) -> None:
    done = here(*RUN, *words.split())
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert text in done.err
    assert not Path("runs").exists()


def test_not_with_several_processes(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "--sweep and --seeds: runs come one after the other in one process" in here(*RUN, "--seeds", 2).err


def test_settings_of_every_run(here: Any) -> None:
    shown = json.loads(here(*RUN, "--sweep", "lr=1e-3,1e-2", "--seeds", 2, "--show-config", "seed=4").out)
    assert {name: (s["lr"], s["seed"]) for name, s in shown.items()} == {
        "lr0.001-seed4": (0.001, 4),
        "lr0.001-seed5": (0.001, 5),
        "lr0.01-seed4": (0.01, 4),
        "lr0.01-seed5": (0.01, 5),
    }


def test_one_failing_run_costs_only_itself(here: Any) -> None:
    """A learning rate of 1e30 ends in NaN; the other run is the same as by itself."""
    done = here(*RUN, "--sweep", "lr=1e30,1e-3")
    assert done.code == 1, done.err
    assert "failed: lr1e_30-seed0: the loss is " in done.err
    assert "1 of 2 runs are finished; the same command with --resume does what is left" in done.err
    failed, good = (line for line in done.out.splitlines() if line.startswith("| ") and " of 1 |" in line)
    assert failed.startswith("| 1e+30 | 0 of 1 | – |")
    assert good.startswith("| 0.001 | 1 of 1 | ")
    assert here(*RUN, "lr=1e-3", "--out", "alone").code == 0
    assert logs(Path("runs/ydtr-msrs-tiny-sweep"))["lr0.001-seed0"] == Path("alone/log.jsonl").read_bytes()
    again = here(*RUN, "--sweep", "lr=1e30,1e-3")
    assert "holds the run lr1e_30-seed0; go on with --resume, or choose another --out" in again.err


def test_stopped_and_gone_on_with(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second of three runs; the first is kept and the rest done, with the numbers of a calm sweep."""
    assert here(*RUN, "--seeds", 3, "--out", "calm", "--as", "calm").code == 0
    steps: list[int] = []
    real = YDTRRecipe.step

    def step(self: YDTRRecipe, batch: Any) -> Any:
        steps.append(1)
        if len(steps) == 3:  # two steps a run
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, batch)

    monkeypatch.setattr(YDTRRecipe, "step", step)
    stopped = here(*RUN, "--seeds", 3, "--out", "torn")
    assert stopped.code == 130
    assert "1 of 3 runs are finished; the same command with --resume does what is left" in stopped.err
    gone_on = here(*RUN, "--seeds", 3, "--out", "torn", "--resume")
    assert gone_on.code == 0, gone_on.err
    assert "run 1 of 3, seed0: finished before" in gone_on.err
    assert len(steps) == 6
    assert logs(Path("torn")) == logs(Path("calm"))
    assert Path("torn/sweep.md").read_text() == gone_on.out


def test_seeds_join_into_one_row(here: Any) -> None:
    assert here(*RUN, "--seeds", 3, "lr=0.01").code == 0
    evaluated = here("eval", "--methods", "ydtr,average", "--datasets", "msrs", "--metrics", "en,ssim", *DATA, "--json")
    assert evaluated.code == 0, evaluated.err
    (table,) = json.loads(evaluated.out)["tables"]
    name = table["metrics"][0]["id"]
    means = {row["id"]: row["scores"][name]["mean"] for row in table["rows"]}
    seeds = [means.pop(f"ydtr[msrs-tiny-seed{n}]") for n in range(3)]
    (shown,) = [json.loads(here("leaderboard", "--join-seeds", "--format", "json").out)]
    rows = {row["id"]: row["scores"][name] for row in shown["rows"]}
    assert rows.keys() == {"average", "ydtr[msrs-tiny, 3 seeds]"}
    assert rows["average"]["mean"] == means["average"]
    joined = rows["ydtr[msrs-tiny, 3 seeds]"]
    assert joined["mean"] == pytest.approx(np.mean(seeds), rel=1e-12)
    assert joined["deviation"] == pytest.approx(np.std(seeds, ddof=1), rel=1e-9)
    assert "deviation" not in rows["average"]
    assert {row["scores"][name]["rank"] for row in shown["rows"]} == {1.0, 2.0}
    with Store(Path("results"), create=False) as store:
        own = build(store, store.boards()[0])
    column = TaskColumn(
        "task/net/frozen/r/s", "S", {f"ydtr[msrs-tiny-seed{n}]": (n, n + 0.5) for n in range(3)}, "note"
    )
    (seen,) = join_rows(replace(own, tasks=(column,))).tasks
    assert seen.values["ydtr[msrs-tiny, 3 seeds]"] == (0.25, 1.25, 2.25)
    plain = here("leaderboard", "--format", "json")
    assert "3 seeds" not in plain.out
    typed_back(here, joined["mean"], means["average"])
    again = here(*RUN, "--seeds", 3, "lr=0.01", "--resume")
    assert "| ydtr[msrs-tiny, 3 seeds] | " in again.out
    refused = here("leaderboard", "--join-seeds", "-o", "table.json")
    assert refused.code == 2
    assert "have a row a seed" in refused.err


def typed_back(here: Any, mean: float, other: float) -> None:
    """A joint row's name, as it is printed, is one that compare, leaderboard and figure take."""
    name = "ydtr[msrs-tiny, 3 seeds]"
    (shown,) = [json.loads(here("leaderboard", "--methods", f"{name},average", "--format", "json").out)]
    assert {row["id"] for row in shown["rows"]} == {name, "average"}
    (one,) = [json.loads(here("leaderboard", "--methods", "YDTR[msrs-tiny, 4 seeds]", "--format", "json").out)]
    assert [row["id"] for row in one["rows"]] == [name]  # however many they were elsewhere
    (compared,) = json.loads(here("compare", name, "average", "--json").out)
    assert compared["metrics"]["en@bits"]["difference"] == pytest.approx(mean - other, rel=1e-9)
    (own,) = json.loads(here("compare", name, "ydtr[msrs-tiny-seed1]", "--json").out)
    assert {name, "ydtr[msrs-tiny-seed1]"} <= own["metrics"]["en@bits"].keys()
    drawn = here("figure", "box", "--methods", f"average,{name}", "--last", "average", "-o", "box.svg")
    assert "box.svg: 2 entries" in drawn.err
    refused = here("compare", "ydtr", "average")
    assert f"or {name}; name one" in refused.err


def test_what_tells_seeds_from_other_changes() -> None:
    def info(name: str, trained_on: str) -> EntryInfo:
        return EntryInfo(
            id=f"ydtr[{name}]",
            method="ydtr",
            title="YDTR",
            version="1",
            code="",
            options={},
            weights=WeightsInfo(name=name, sha256="", trained_on=trained_on, listed=False),
            output_rule="released",
            output=None,
            source_only=False,
        )

    texts = ["msrs, size tiny, seed 0, lr=0.1", "msrs, size tiny, seed 12, lr=0.1", "msrs, size tiny, seed 0, lr=0.2"]
    one, two, other = (info(f"n{k}", text) for k, text in enumerate(texts))
    assert seed_groups([two, one, other]) == {"ydtr[n0+n1, 2 seeds]": ("ydtr[n0]", "ydtr[n1]")}
    assert not seed_groups([info("a", "seed 0 of the forest, lr=0.1"), info("b", "seed 1 of the forest, lr=0.1")])
