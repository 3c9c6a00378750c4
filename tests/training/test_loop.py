"""What the loop says when something is wrong, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.training.checkpoint import Checkpoint
from fusionbench.training.config import Settings, config_text, load_config
from fusionbench.training.logs import duration
from fusionbench.training.loop import train
from tests.training import toys
from tests.training.toys import run, settings


def breaking(monkeypatch: pytest.MonkeyPatch, at: int, what: Any) -> None:
    """Let the toy's step number `at` do something else."""
    before = toys.Toy.step

    def step(self: toys.Toy, batch: torch.Tensor) -> Any:
        self.rounds += 1
        return what(self) if self.rounds == at else before(self, batch)

    monkeypatch.setattr(toys.Toy, "step", step)


def raising(error: Exception) -> Any:
    def what(_: toys.Toy) -> None:
        raise error

    return what


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_nan_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    breaking(monkeypatch, 6, lambda recipe: {"loss": torch.tensor(float(value))})
    with pytest.raises(FusionbenchError) as caught:
        run("toy", tmp_path)
    text = str(caught.value)
    assert f"the loss is {value} at step 6 (epoch 2, step 3 of 3); images: " in text
    assert text.count(".png") == 4
    assert f"the last good checkpoint is {tmp_path / 'before-nan.pt'} (step 4)" in text
    assert Checkpoint.read(tmp_path / "before-nan.pt").step == 4
    assert [r["step"] for r in log(tmp_path) if "step" in r] == [1, 2, 3, 4, 5]


def test_nan_weights_are_never_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(recipe: toys.Toy) -> Any:
        recipe.net[0].weight.data[0] = float("nan")
        return {"loss": 1.0}

    breaking(monkeypatch, 4, spoil)
    with pytest.raises(FusionbenchError, match=r"weights of net are not finite after step 4; images: 0.*\(step 3\)"):
        run("toy", tmp_path)
    assert Checkpoint.read(tmp_path / "last.pt").step == 3


def test_nan_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, 1, lambda recipe: {"loss": float("nan")})
    with pytest.raises(FusionbenchError, match="there is no checkpoint yet"):
        run("toy", tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    breaking(monkeypatch, 2, raising(error))
    with pytest.raises(FusionbenchError, match=r"out of memory at step 2 .*; the batch size is 4, try batch=2$"):
        run("toy", tmp_path)


def test_out_of_memory_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmengine.config import Config

    breaking(monkeypatch, 1, raising(MemoryError()))
    with pytest.raises(FusionbenchError, match="batch=1 already: try a smaller crop"):
        run("toy", tmp_path, Config(settings() | {"batch": 1}))


def test_other_errors_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, 1, raising(RuntimeError("shapes")))
    with pytest.raises(RuntimeError, match="shapes"):
        run("toy", tmp_path)


def test_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, 1, lambda recipe: {"total": 1.0})
    with pytest.raises(FusionbenchError, match=r"Toy\.step returned no 'loss'"):
        run("toy", tmp_path)


def test_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FusionbenchError, match="12 training samples are fewer than a batch of 16; use a smaller batch"):
        run("toy", tmp_path, settings() | {"batch": 16})
    with pytest.raises(FusionbenchError, match=r"no setting 'train.epoch'; did you mean epochs"):
        run("toy", tmp_path, settings(epoch=3))
    with pytest.raises(FusionbenchError, match=r"train.precision=half: choose one of fp32, bf16, fp16"):
        run("toy", tmp_path, settings(precision="half"))
    with monkeypatch.context() as patch:
        patch.setattr(toys.Toy, "check", lambda self: raising(DataError("an empty split"))(self))
        with pytest.raises(DataError, match="an empty split"):
            run("toy", tmp_path)
    monkeypatch.setattr(toys.Toy, "batches", lambda self, epoch, seed: [])
    with pytest.raises(FusionbenchError, match="epoch 1 has no steps"):
        run("toy", tmp_path)
    assert not (tmp_path / "log.jsonl").exists()
    (tmp_path / "file").touch()
    with pytest.raises(FusionbenchError, match="choose another --out"):
        run("toy", tmp_path / "file" / "below")


# ---------------------------------------------------------------- what is left behind


def test_files(tmp_path: Path) -> None:
    notes: list[str] = []
    result = train(toys.Toy(), settings(), tmp_path, command="fusionbench train toy", note=notes.append)
    assert result.finished
    assert result.step == 9
    records = log(tmp_path)
    assert list(records[0]) == ["step", "epoch", "loss", "lr"]
    assert set(records[3]["validation"]) == {"score", "luck"}
    assert records[-1]["mean_loss"] < records[3]["mean_loss"]
    assert len((tmp_path / "times.jsonl").read_text().splitlines()) == 9
    session = json.loads((tmp_path / "sessions.jsonl").read_text())
    assert (session["command"], session["seed"], session["plan"]["processes"]) == ("fusionbench train toy", 0, 1)
    assert json.loads((tmp_path / "config.json").read_text()) == settings()
    assert [n.split(":")[0] for n in notes] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert not list(tmp_path.glob(".*"))


def test_tensorboard(tmp_path: Path) -> None:
    notes: list[str] = []
    train(toys.Toy(), settings(tensorboard=True), tmp_path, note=notes.append, max_steps=1)
    if list((tmp_path / "tensorboard").glob("*")):
        assert not [n for n in notes if "TensorBoard" in n]
    else:
        assert [n for n in notes if "TensorBoard" in n] == [
            f"TensorBoard is not installed; the losses are in {tmp_path / 'log.jsonl'}"
        ]


def test_seeds_differ(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run("toy", tmp_path / name, settings(seed=seed), max_steps=2)
    a, b, c = ((tmp_path / name / "log.jsonl").read_bytes() for name in "abc")
    assert a == b != c


def test_max_seconds(tmp_path: Path) -> None:
    result = run("toy", tmp_path, max_seconds=0)
    assert (result.finished, result.step) == (False, 1)
    assert Checkpoint.read(result.checkpoint).step == 1


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision(tmp_path: Path, precision: str) -> None:
    config = settings(precision=precision)
    run("toy", tmp_path / "calm", config)
    run("toy", tmp_path / "torn", config, max_steps=4)
    run("toy", tmp_path / "torn", config, resume=True)
    run("toy", tmp_path / "full")
    calm, torn, full = ((tmp_path / name / "log.jsonl").read_bytes() for name in ("calm", "torn", "full"))
    assert calm == torn != full
    held = Checkpoint.read(tmp_path / "calm/last.pt")
    assert held.state["net"]["0.weight"].dtype == torch.float32
    assert bool(held.precision) == (precision == "fp16")
    losses = [r["loss"] for r in log(tmp_path / "calm") if "loss" in r]
    assert losses == pytest.approx([r["loss"] for r in log(tmp_path / "full") if "loss" in r], rel=0.05)


# ---------------------------------------------------------------- configs


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "base.py").write_text("train = dict(epochs=40, seed=0)\nlr = 1e-4\ncrop = (256, 256)\n")
    path = tmp_path / "recipe.py"
    path.write_text(
        "_base_ = ['./base.py']\nflip = True\nsizes = dict(tiny=dict(train=dict(epochs=2), crop=(32, 32)))\n"
    )
    return path


def test_config(recipe: Path) -> None:
    full = load_config(recipe)
    assert (full.train.epochs, full.crop, full.get("sizes")) == (40, (256, 256), None)
    tiny = load_config(recipe, ["lr=0.01", "train.precision=bf16", "flip=false", "crop=(64, 96)"], size="tiny")
    assert (tiny.lr, tiny.flip, tiny.train.seed, tuple(tiny.crop)) == (0.01, False, 0, (64, 96))
    assert Settings.of(tiny) == Settings(epochs=2, precision="bf16")
    from mmengine.config import Config

    assert config_text(Config.fromstring(config_text(tiny), ".json")) == config_text(tiny)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["lrr=1"], r"no setting 'lrr' in this recipe; did you mean lr"),
        (["train.epoch=1"], r"no setting 'train.epoch' in this recipe; did you mean train.epochs"),
        (["lr"], r"option 'lr' is not key=value"),
        (["lr=fast"], r"lr=fast: needs a number, such as 0.0001"),
        (["train.epochs=1.5"], r"train.epochs=1.5: needs a whole number"),
        (["flip=2"], r"flip=2: needs true or false"),
    ],
)
def test_config_errors(recipe: Path, options: list[str], text: str) -> None:
    with pytest.raises(FusionbenchError, match=text):
        load_config(recipe, options)


def test_config_files(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(FusionbenchError, match="no such config file"):
        load_config(tmp_path / "none.py")
    with pytest.raises(FusionbenchError, match="no size 'small'; there are: tiny"):
        load_config(recipe, size="small")
    (tmp_path / "bad.py").write_text("lr = (\n")
    with pytest.raises(FusionbenchError, match="not a readable config"):
        load_config(tmp_path / "bad.py")


def test_duration() -> None:
    assert [duration(s) for s in (3.2, 700, 3600 * 3 + 301)] == ["3 s", "12 min", "3 h 05 min"]
