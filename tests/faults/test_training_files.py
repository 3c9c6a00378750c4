"""Training runs: edited checkpoints, what killed runs left, how a run ends, and recipes that return other things."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.training.checkpoint import Checkpoint, Checkpoints, load_states, unlike
from tests.conftest import REPO, Done, fusionbench, make_tree
from tests.training.toys import run

BAD = [
    None,
    True,
    -1,
    2**60,
    1.5,
    float("nan"),
    "x",
    [],
    {},
    [[]],
    {"a": {}},
    torch.ones(3),
    torch.ones(1).expand(10**10),
]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy's run that was stopped."""
    out = tmp_path_factory.mktemp("begun")
    run("toy", out, max_steps=5)
    (out / "previous.pt").unlink()
    return out


def resumed(begun: Path, out: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Go on with a checkpoint that was changed."""
    shutil.copytree(begun, out)
    held = torch.load(out / "last.pt", weights_only=True)
    change(held)
    torch.save(held, out / "last.pt")
    run("toy", out, resume=True)


@pytest.mark.parametrize("name", [field.name for field in fields(Checkpoint)])
def test_a_field_of_another_type(begun: Path, tmp_path: Path, name: str) -> None:
    """Each is refused in one line, or is of no consequence."""
    harmless = {"best": [None, -1, 2**60, 1.5], "loss_sum": [-1, 2**60, 1.5], "rng": [[]], "precision": [{}, {"a": {}}]}
    for number, value in enumerate(BAD):
        fine = any(value is good or (type(value) is type(good) and value == good) for good in harmless.get(name, []))
        with nullcontext() if fine else pytest.raises(FusionbenchError, match=r"^[^\n]+$"):
            resumed(begun, tmp_path / str(number), lambda held, value=value: held.update({name: value}))
    for number, change in enumerate((lambda held: held.pop(name), lambda held: held.update(more=1))):
        with pytest.raises(WeightsError, match=r"last\.pt: damaged checkpoint"):
            resumed(begun, tmp_path / f"without{number}", change)


@pytest.mark.parametrize(
    "path",
    [
        ("state", "net", "0.weight"),
        ("state", "optimiser", "param_groups", 0, "lr"),
        ("state", "optimiser", "param_groups"),
        ("state", "optimiser", "state", 0, "exp_avg"),
        ("state", "optimiser", "state", 0),
        ("state", "schedule", "last_epoch"),
        ("rng", 0, "numpy"),
        ("rng", 0, "python"),
        ("rng", 0, "torch"),
    ],
    ids=str,
)
def test_a_state_of_another_kind(begun: Path, tmp_path: Path, path: tuple[Any, ...]) -> None:
    for number, value in enumerate(("x", {"a": 1}, torch.ones(2, 7, 3), None)):

        def change(held: dict[str, Any], value: object = value) -> None:
            place: Any = held
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value

        with pytest.raises(WeightsError) as caught:
            resumed(begun, tmp_path / str(number), change)
        assert "\n" not in str(caught.value)


def test_a_state_that_fits_is_told_from_one_that_does_not() -> None:
    network = torch.nn.Linear(2, 2)
    load_states({"a": network}, {"a": torch.nn.Linear(2, 2).state_dict()})
    assert not unlike({"best": float("inf"), "n": 1, "mode": "min"}, {"best": 3.0, "n": 2.0, "mode": "min", "more": []})
    assert unlike({"n": [1, {"m": 2}]}, {"n": [1, {"m": "2"}]}) == "its state, n, 1, m"
    assert unlike({"n": 1}, {"n": float("nan")})
    assert unlike({"n": 1}, {"n": 10**400})
    with pytest.raises(WeightsError, match=r"holds 3, this recipe needs a"):
        load_states({"a": network}, {3: {}})


def test_what_killed_runs_left_is_swept(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path / "run")
    pictures = tmp_path / "run/pictures/first"
    left = [tmp_path / "run" / name for name in (".fresh.pt.999999.part", ".weights.safetensors.999999.part")]
    left.append(pictures / ".epoch001.png.999999-1.tmp")
    for path in left:
        path.write_bytes(b"half")
        os.utime(path, (0, 0))
    run("toy", tmp_path / "run", resume=True)
    assert not [path for path in left if path.exists()]
    assert not list((tmp_path / "run").glob(".*"))


def test_the_newest_is_put_aside_whole(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path / "run")
    assert Checkpoints(tmp_path / "run").set_aside() == tmp_path / "run/before-nan.pt"
    assert (tmp_path / "run/before-nan.pt").read_bytes() == (begun / "last.pt").read_bytes()


# ---------------------------------------------------------------- how a run ends


def blend(tmp_path: Path, change: Callable[[str], str], *words: object) -> Done:
    """Train the example plugin with another recipe."""
    folder = tmp_path / "own/blend"
    if not folder.exists():
        shutil.copytree(REPO / "tests/own_plugins/blend", folder)
        (folder / "recipe.py").write_text(change((folder / "recipe.py").read_text()))
        make_tree(tmp_path / "data", 4)
        (tmp_path / "data/MSRS/test").rename(tmp_path / "data/MSRS/train")
    command = ("--plugins", tmp_path / "own", "train", "blend", "--dataset=msrs", "--data-root", tmp_path / "data")
    return fusionbench(*command, "--size=tiny", "--out", tmp_path / "run", *words)


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("where", ["step", "build"])
def test_a_run_that_is_asked_to_end(tmp_path: Path, number: str, code: int, where: str) -> None:
    line = f"    def {where}(self, "
    kill = f"        import os, signal\n        os.kill(os.getpid(), signal.{number})\n"
    done = blend(tmp_path, lambda text: text.replace(*_behind(text, line, kill)))
    assert done.returncode == code, done.stderr
    said = "stopped at step 1; the checkpoint is saved, --resume goes on"
    if where == "build":
        said = "stopped; there is no checkpoint yet, the same command with --resume goes on"
    assert done.stderr.strip().splitlines()[-1] == said


def _behind(text: str, start: str, more: str) -> tuple[str, str]:
    """A line of a text, and the same with more behind it."""
    line = next(line for line in text.splitlines(keepends=True) if line.startswith(start))
    return line, line + more


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('return {"loss": loss.detach()}', "return loss", "step returned Tensor; it has to return numbers by name"),
        ('return {"loss": loss.detach()}', "return None", "step returned NoneType; it has to return numbers by name"),
        ("loss.detach()}", "ir}", "BlendRecipe.step returned a tensor of shape [2, 1, 48, 64] for 'loss'; it has"),
        ('{"loss": loss.detach()}', '{"los": 1.0}', "BlendRecipe.step returned no 'loss', only ['los']"),
        ("def export(", "def exports(", "recipe:BlendRecipe has no export"),
        ("def step(", "def stepp(", "recipe:BlendRecipe has no step"),
        ('{"network": self.network, "opt', '{"network": 3, "opt', "state returned int for 'network'; it has"),
        ("return shuffled(", "return [1, int] or (", "BlendRecipe.batches returned int, type; it has to return"),
        ('return {"share": self.network.share.detach().cpu()}', "return self.network", "export returned Mix; it has"),
        ('"share": self.network.share.detach().cpu()', '"share": 0.5', "export returned float for 'share'; it has to"),
        ("    def export(", "    def validate(self): return 3\n    def export(", "validate returned int; it has to"),
    ],
)
def test_recipes_that_return_other_things(tmp_path: Path, old: str, new: str, message: str) -> None:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    done = blend(tmp_path, change)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "internal error" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
