"""benchmarks/same_data.py: what is trained comes from the registry, a run goes on, a new plugin adds its row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fusionbench import environment
from fusionbench.plugins.trainable import Training, trainings
from tests.conftest import REPO

sys.path.insert(0, str(REPO / "benchmarks"))
import same_data
import same_data_jobs

OWN = REPO / "tests/own_plugins"
TOYS = ("datfuse", "ydtr", "lrrnet", "blend")  # of which one needs a file that is not here, and one is a stranger's


def test_stages_share_the_pairs() -> None:
    jobs = {(job.name, job.entry): job for job in same_data.jobs(100)}
    every = same_data_jobs.recipes()
    assert jobs.keys() >= {(t.name, f"same-{t.stage}" if t.stage else "same") for t in every}
    later = [t for t in every if t.after]
    assert later
    for training in later:
        end = jobs[training.name, f"same-{training.stage}"]
        start = jobs[training.name, end.start]
        assert (start.stage, start.row, start.pairs, end.row, end.pairs) == (training.after, False, 50, True, 50)
    alone = {t.name for t in every} - {t.name for t in every if t.after or t.weights}
    single = [job for job in jobs.values() if job.row and job.name in alone]
    assert {(job.pairs, job.start, job.given, job.ready) for job in single} == {(100, "", (), True)}


def test_what_a_setting_names_is_trained_before() -> None:
    order = same_data.jobs(100)
    by_folder = {job.folder: job for job in order}
    assert len(by_folder) == len(order)  # a network that two need is trained once
    needing = [t for t in same_data_jobs.recipes() if t.weights]
    assert needing
    for training in needing:
        end = by_folder[Path("runs") / f"{training.name}-same-{training.stage}"]
        given = dict(end.given)
        assert given.keys() == training.weights.keys()
        assert all(order.index(by_folder[folder]) < order.index(end) for folder in given.values())
        stages = {key: by_folder[folder] for key, folder in given.items() if not by_folder[folder].network}
        assert {key: job.stage for key, job in stages.items()}.items() <= training.weights.items()
        assert all((job.name, job.pairs, job.row) == (training.name, 50, False) for job in stages.values())
        assert {by_folder[folder].pairs for folder in given.values()} == {50, 100}
        words = end.command()
        assert words[words.index("--cfg-options") + 1 :] == [f"{key}={folder}" for key, folder in given.items()]
        assert not end.ready


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program with few recipes and few small pairs, in a folder of its own; data and weights of nobody."""
    monkeypatch.chdir(tmp_path)
    for name in ("FUSIONBENCH_CACHE", "FUSIONBENCH_PLUGINS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name, value in {"TRAIN": 8, "TEST": 2, "SIZE": "64x80"}.items():
        monkeypatch.setattr(same_data, name, value)
    monkeypatch.setattr(same_data, "SCORED", {"scenes": (*same_data.SCORED["scenes"], "--metrics", "en,vif")})

    def few() -> list[Training]:
        return [training for training in trainings() if training.name in TOYS]

    monkeypatch.setattr(same_data_jobs, "recipes", few)
    return tmp_path


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, plugins: str) -> dict[str, Any]:
    """Run the program; the rows of its table."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", plugins)
    environment.apply()
    words = ["same_data.py", "--data", ".", "--work", "work", "--pairs", "16"]
    monkeypatch.setattr(sys, "argv", words)
    same_data.main()
    (table,) = (p for p in Path("scores-scenes/tables").glob("*.json") if "provenance" not in p.name)
    rows = json.loads(table.read_text())["rows"]
    return {row["id"]: {column: score["mean"] for column, score in row["scores"].items()} for row in rows}


@pytest.mark.slow
def test_it_goes_on_and_a_plugin_adds_its_row(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    popen = subprocess.Popen  # the first training run of one is stopped after a step, as by a kill between two

    def stopped(words: list[str], **more: Any) -> Any:
        return popen([*words, "--max-steps", "1"] if "datfuse" in words else words, **more)

    monkeypatch.setattr(same_data.subprocess, "Popen", stopped)
    rows = make(small, monkeypatch, "")
    assert rows.keys() == {"average", "maximum", "ydtr[same]"}
    page = Path("runs.md").read_text()
    assert "Not trained: datfuse: not finished" in page
    assert "Not trained: lrrnet: setting 'vgg' is empty" in page
    assert "| ydtr[same] | 16 | 4 | epochs 2 of 10 |" in page
    monkeypatch.setattr(same_data.subprocess, "Popen", popen)
    made = os.stat("runs/ydtr-same/weights.safetensors").st_mtime_ns
    again = make(small, monkeypatch, str(OWN))
    assert again.keys() == {"average", "maximum", "ydtr[same]", "datfuse[same]", "blend[same]"}
    assert os.stat("runs/ydtr-same/weights.safetensors").st_mtime_ns == made
    assert again["ydtr[same]"] == rows["ydtr[same]"]
    assert len(same_data.sessions(next(j for j in same_data.jobs(16) if j.name == "datfuse"))) == 2
    (stem,) = Path("scores-scenes/tables").glob("*.md")
    assert "| blend[same] | " in stem.read_text()
    assert "[" in stem.read_text().split("| blend[same] | ")[1].split("|")[0]  # an interval
