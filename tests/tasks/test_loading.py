"""Trained networks read back: what a file may choose, and what it may not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import cards
from fusionbench.tasks import saliency
from fusionbench.tasks.loading import load_network
from tests.conftest import fusionbench


def facts(task: str, name: str) -> dict[str, object]:
    """As `fusionbench train` writes them."""
    return {
        "task": task,
        "name": name,
        "classes": ["a", "b", "c"],
        "ignore_index": None,
        "trained_on": "nothing",
        "config": {"channels": 3},
    }


def write(path: Path, network: torch.nn.Module, header: dict[str, object]) -> Path:
    save_file(network.state_dict(), path, {"fusionbench": json.dumps(header)})
    return path


def test_a_network_comes_back(tmp_path: Path) -> None:
    network = saliency.build("ctdnet-tiny").eval()
    path = write(tmp_path / "weights.safetensors", network, facts("saliency", "ctdnet-tiny"))
    images = torch.rand(1, 3, 32, 32)
    for place in (path, tmp_path):
        back, known = load_network(place)
        assert known["trained_on"] == "nothing"
        assert not back.training
        assert torch.equal(back.predict(images)[0].saliency, network.predict(images)[0].saliency)


@pytest.mark.parametrize("task", cards("task"))
@pytest.mark.parametrize("absolute", [True, False])
def test_a_file_never_chooses_a_program(
    task: str, absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A config is Python that is run; the name in a stranger's weights is not the user's choice."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('executed', 'w').close()\nmodel = dict(type='X')\n")
    name = str(tmp_path / "evil.py") if absolute else "evil.py"
    path = write(tmp_path / "w.safetensors", torch.nn.Linear(1, 1), facts(task, name))
    with pytest.raises(FusionbenchError, match=rf"evil.py' is no network of the task {task}"):
        load_network(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("lost", ["name", "classes", "config", "ignore_index"])
def test_a_file_that_lacks_something(lost: str, tmp_path: Path) -> None:
    header = {key: value for key, value in facts("saliency", "ctdnet-tiny").items() if key != lost}
    with pytest.raises(FusionbenchError, match="not a file that `fusionbench train` wrote"):
        load_network(write(tmp_path / "w.safetensors", torch.nn.Linear(1, 1), header))
    with pytest.raises(FusionbenchError, match="not a file that `fusionbench train` wrote"):
        load_network(write(tmp_path / "w.safetensors", torch.nn.Linear(1, 1), {**header, "config": 3, lost: []}))


def test_a_file_of_a_method(tmp_path: Path) -> None:
    header = {"name": "tdfusion", "config": {}}
    with pytest.raises(FusionbenchError, match="holds tdfusion, which is no task network"):
        load_network(write(tmp_path / "w.safetensors", torch.nn.Linear(1, 1), header))
    with pytest.raises(FusionbenchError, match="no task 'colouring'"):
        load_network(write(tmp_path / "w.safetensors", torch.nn.Linear(1, 1), facts("colouring", "x")))


@pytest.mark.parametrize(("task", "like"), [("segmentation", "fmb"), ("detection", "m3fd"), ("saliency", "vt5000")])
def test_the_option_frozen_runs_nothing_of_a_file(task: str, like: str, tmp_path: Path) -> None:
    """As a user is told to give it, wherever `eval` looks at it first."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w').close()\nmodel = dict(type='X')\n")
    path = write(tmp_path / "w.safetensors", torch.nn.Linear(1, 1), facts(task, str(tmp_path / "evil.py")))
    synth(like, tmp_path / "tree", 0, 1, (64, 96), seed=0)
    done = fusionbench(
        *("eval", "--methods=average", "--metrics=en", f"--datasets={like}={tmp_path / 'tree'}", "--tasks", task),
        *("--task-protocols=frozen", "--frozen", path, "--out", tmp_path / "out"),
    )
    assert done.returncode in (1, 2)
    assert "internal error" not in done.stderr
    assert not (tmp_path / "executed").exists()
    assert "evil.py" in done.stderr
