"""Every method that can be trained, by the command line on a generated tree, up to its row in `eval`."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from fusionbench import environment
from fusionbench.plugins.cards import cards
from tests.harness.test_eval_tasks import ask
from tests.methods.test_pair_recipes import vgg
from tests.training.test_recipes import Trees, trees

__all__ = ["trees"]  # a fixture
pytestmark = pytest.mark.usefixtures("mm")

SMALL = {  # settings with which a run takes seconds
    "tdfusion": ("meta_steps=2", "task_size=(48,64)", "crop=(32,32)", "limit=4"),
    "refusion": ("meta_steps=2", "patch=32"),
    "cldyn vfn": ("limit=8",),
    "cddfuse": ("epochs=2", "first=1", "patch=16", "batch=2"),
    "emma": ("epochs=2", "first=1"),
    "rfnnest": ("epochs=2", "first=1", "patch=32"),
    "lrrnet": ("patch=32",),
    "cldyn rsc": ("networks.saliency.network=ctdnet-tiny", "limit=4", "validate=1", "keep=saliency"),
}
WITH_VGG = ("lrrnet",)  # whose loss needs a file of VGG-16
RUNS = [
    (card.name, stage, dataset)
    for card in cards("method").values()
    for training in card.data.get("training", ())
    for stage in [training.get("stage")]
    for dataset in (training["datasets"] if not training.get("together") else [training["datasets"][0]])
    if dataset != "folder" and stage != "rsc"
]


def train(name: str, datasets: str, out: Path, *options: str, stage: str | None = None) -> str:
    words = ["train", name, "--dataset", datasets, "--size", "tiny", "--out", str(out)]
    words += ["--stage", stage] if stage else []
    code, err = ask(*words, "--cfg-options", "train.epochs=1", "train.tensorboard=false", *options)
    assert code == 0, err
    return err


def rows(entry: str, tree: str, out: Path) -> list[str]:
    """Entries with a score."""
    code, err = ask(
        *("eval", "--methods", entry, "--metrics", "en", "--limit", "1"), "--datasets", tree, "--out", str(out)
    )
    assert code == 0, err
    (table,) = (out / "tables").glob("*.csv")
    with table.open(newline="") as file:
        return sorted(row["entry"] for row in csv.DictReader(file) if float(row["en@bits"]) > 0)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    environment.apply()


def test_there_are_some() -> None:
    assert {name for name, _, _ in RUNS} >= {"tdfusion", "refusion", "cldyn"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stage", "dataset"), RUNS)
def test_trained_and_ranked(name: str, stage: str | None, dataset: str, trees: Trees, tmp_path: Path) -> None:
    tree = f"{dataset}={trees(dataset)}"
    options = list(SMALL.get(f"{name} {stage}" if stage else name, ()))
    if name in WITH_VGG:
        options.append(f"vgg={vgg(tmp_path)}")
    said = train(name, tree, tmp_path / "run", *options, stage=stage)
    (entry,) = re.findall(r"^(\S+) is an entry now", said, re.MULTILINE)
    assert rows(entry, tree, tmp_path / "results") == [entry]


@pytest.mark.slow
def test_a_closed_loop_from_nothing(trees: Trees, tmp_path: Path) -> None:
    """Fusion network and task network first, then what stands between them; a row with the loop and one without."""
    tree: Any = f"vt5000={trees('vt5000')}"
    train("cldyn", tree, tmp_path / "vfn", *SMALL["cldyn vfn"], stage="vfn")
    train("ctdnet-tiny", tree, tmp_path / "task", "limit=4", "resize=[96,128]")
    given = [f"vfn={tmp_path / 'vfn'}", f"networks.saliency.weights={tmp_path / 'task'}"]
    said = train("cldyn", tree, tmp_path / "rsc", *SMALL["cldyn rsc"], *given, stage="rsc")
    (entry,) = re.findall(r"^(\S+) is an entry now", said, re.MULTILINE)
    assert rows(entry, tree, tmp_path / "results") == [f"{entry[:-1]},task=saliency]", entry]
