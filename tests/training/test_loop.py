"""What the loop says when something is wrong, and what it leaves behind."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.training.checkpoint import Checkpoint
from fusionbench.training.gpu_use import GpuUse, utilisation
from fusionbench.training.logs import Logs, duration
from fusionbench.training.loop import train
from fusionbench.training.options import RunOptions
from fusionbench.training.ranges import Above
from fusionbench.training.settings import (
    Count,
    Natural,
    NotNegative,
    Presets,
    Settings,
    Size,
    differing,
    flat_name,
    settings_text,
)
from fusionbench.training.trouble import explained
from tests.conftest import fusionbench
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
    breaking(monkeypatch, 1, raising(MemoryError()))
    with pytest.raises(FusionbenchError, match="batch=1 already: try a smaller crop"):
        run("toy", tmp_path, settings(batch=1))


def test_other_errors_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, 1, raising(RuntimeError("shapes")))
    with pytest.raises(RuntimeError, match="shapes"):
        run("toy", tmp_path)


@dataclass(frozen=True, kw_only=True)
class Windowed(toys.ToySettings):
    """With settings of size, as recipes have them."""

    patch: Count = 1
    crop: Size = (1, 2)


@pytest.mark.parametrize(
    ("layer", "sides"),
    [
        (torch.nn.ReflectionPad2d(1), (1, 1)),
        (torch.nn.Conv2d(1, 1, 5), (3, 3)),
        (torch.nn.MaxPool2d(2), (1, 1)),
        (torch.nn.BatchNorm2d(1), (1, 1)),
        (torch.nn.InstanceNorm2d(1), (1, 1)),
    ],
)
def test_images_that_a_layer_has_no_room_in(layer: torch.nn.Module, sides: tuple[int, int]) -> None:
    with (
        pytest.raises(FusionbenchError, match=r"^at step 1: .* too small .* here patch=1, crop=\(1,2\), batch=4$"),
        explained(Windowed(), "batch", "at step 1"),
    ):
        layer(torch.zeros(1, 1, *sides))


def test_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, 1, lambda recipe: {"total": 1.0})
    with pytest.raises(FusionbenchError, match=r"Toy\.step returned no 'loss'"):
        run("toy", tmp_path)


def test_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FusionbenchError, match="12 training samples are fewer than a batch of 16; use a smaller batch"):
        run("toy", tmp_path, settings(batch=16))
    with monkeypatch.context() as patch:
        patch.setattr(toys.Toy, "check", lambda self: raising(DataError("an empty split"))(self))
        with pytest.raises(DataError, match="an empty split"):
            run("toy", tmp_path)
    monkeypatch.setattr(toys.Toy, "batches", lambda self, epoch, seed: [])
    with pytest.raises(FusionbenchError, match="epoch 1 has no steps"):
        run("toy", tmp_path)
    assert not (tmp_path / "log.jsonl").exists()
    (tmp_path / "file").touch()
    with pytest.raises(FusionbenchError, match="choose another out="):
        run("toy", tmp_path / "file" / "below")


# ---------------------------------------------------------------- what is left behind


def test_files(tmp_path: Path) -> None:
    notes: list[str] = []
    result = train(
        toys.Toy(), settings(), tmp_path, options=RunOptions(command="fusionbench train toy", note=notes.append)
    )
    assert result.finished
    assert result.step == 9
    records = log(tmp_path)
    assert list(records[0]) == ["step", "epoch", "loss", "lr"]
    assert set(records[3]["validation"]) == {"score", "luck"}
    assert records[-1]["mean_loss"] < records[3]["mean_loss"]
    assert len((tmp_path / "times.jsonl").read_text().splitlines()) == 9
    session = json.loads((tmp_path / "sessions.jsonl").read_text())
    assert (session["command"], session["seed"], session["plan"]["processes"]) == ("fusionbench train toy", 0, 1)
    assert (tmp_path / "config.json").read_text() == settings_text(settings())
    said = [
        re.fullmatch(r"epoch (\d)/3: mean loss \S+, (\S+) steps/s, (\d+) % of it loading, .+ left", n) for n in notes
    ]
    assert [m and m[1] for m in said] == ["1", "2", "3"]
    assert all(m and float(m[2]) > 0 and int(m[3]) <= 100 for m in said)
    assert not list(tmp_path.glob(".*"))


def test_use_of_a_card(tmp_path: Path) -> None:
    """A card that a test speaks for: looked at once a second, its share the mean since the last line."""
    told: list[int | None] = [90, 20, 40, None, 7]
    now, asked = [0.0], []

    def busy(device: torch.device) -> int | None:
        asked.append(device)
        return told.pop(0)

    card = torch.device("cuda:3")
    use = GpuUse(card, busy, lambda _: 3 << 30, lambda: now[0])
    logs = Logs(tmp_path, 0, 0, True, print, use)
    for step, now[0] in enumerate((0.5, 1.5, 1.6, 2.6)):
        logs.write_time(step, 0.0, 0.5)
    assert logs.pace() == "2 steps/s, 0 % of it loading, 3.0 GiB, GPU 55 % busy"
    for step, now[0] in enumerate((3.7, 4.8, 5.9)):  # the driver falls silent after the first, and is left alone
        logs.write_time(step, 0.0, 1.0)
    assert logs.pace() == "1 steps/s, 0 % of it loading, 3.0 GiB, GPU 40 % busy"
    assert logs.pace().endswith("3.0 GiB")
    assert asked == [card] * 4
    logs.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card that may tell")
def test_without_a_card_nothing_is_known() -> None:
    assert utilisation(torch.device("cuda:0")) is None


def test_pace(tmp_path: Path) -> None:
    logs = Logs(tmp_path, 0, 0, True, print, GpuUse(torch.device("cpu")))
    logs.write_time(1, 0.25, 0.25)
    logs.write_time(2, 0.25, 1.25)
    assert logs.pace() == "1 steps/s, 25 % of it loading"
    logs.write_time(3, 0.0, 0.5)
    assert logs.pace() == "2 steps/s, 0 % of it loading"  # of the steps since the last call
    logs.close()
    assert json.loads((tmp_path / "times.jsonl").read_text().splitlines()[0]) == {
        "step": 1, "load": 0.25, "compute": 0.25
    }  # fmt: skip


def test_tensorboard(tmp_path: Path) -> None:
    notes: list[str] = []
    train(toys.Toy(), settings(tensorboard=True), tmp_path, options=RunOptions(note=notes.append, max_steps=1))
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


# ---------------------------------------------------------------- settings


@dataclass(frozen=True, kw_only=True)
class Mixed(Settings):
    lr: Annotated[float, Above(0)] = 1e-4
    lr_inner: NotNegative = 0.0
    batch: Count = 8
    workers: Natural = 4
    crop: Size | None = (256, 256)
    scale: tuple[float, float] | None = None
    turns: tuple[float, ...] = ()
    keep: tuple[str, ...] | None = None
    flip: bool = True
    variant: Literal["released", "paper"] | None = "released"
    file: str | None = None
    network: str = "small"
    epochs: Count = 40


PRESETS = Presets(
    record=Mixed,
    datasets={"fmb": {"crop": (480, 640)}},
    networks={"large": {"lr": 1e-5, "batch": 2}},
    sizes={"tiny": {"epochs": 2, "crop": (32, 32), "batch": 4}},
    dataset_sizes={"tiny": {"fmb": {"crop": (48, 64)}}},
)


def test_presets() -> None:
    full = PRESETS.choose()
    assert full == Mixed()
    assert (full.epochs, full.crop, full.save_every) == (40, (256, 256), 200)
    assert PRESETS.choose(["fmb"]).crop == (480, 640)
    assert PRESETS.choose(["fmb"], size="tiny").crop == (48, 64)
    large = PRESETS.choose(["msrs"], network="large", size="tiny", on="average")
    assert (large.lr, large.batch, large.network, large.datasets, large.on) == (1e-5, 4, "large", ("msrs",), "average")
    with pytest.raises(FusionbenchError, match="no size 'small'; there are: tiny"):
        PRESETS.choose(size="small")


def test_options_and_files() -> None:
    options = ["lr=0.01", "train.precision=bf16", "flip=false", "crop=[64, 96]", "keep=a,b", "file=7", "lr.inner=1"]
    tiny = PRESETS.choose(options=options, size="tiny")
    assert (tiny.lr, tiny.precision, tiny.flip, tiny.crop, tiny.seed) == (0.01, "bf16", False, (64, 96), 0)
    assert (tiny.keep, tiny.file, tiny.lr_inner) == (("a", "b"), "7", 1.0)
    assert PRESETS.choose(options=["file=none", "variant=none", "crop=None"]) == Mixed(variant=None, crop=None)
    given = {"train": {"epochs": 3}, "lr": {"inner": 0.5}, "turns": [0.5, 1], "datasets": ["fmb"]}
    file = PRESETS.choose(["msrs"], file=given, options=["epochs=4"])
    assert (file.epochs, file.lr_inner, file.turns, file.datasets) == (4, 0.5, (0.5, 1.0), ("msrs",))
    assert json.loads(settings_text(tiny)).keys() == {setting.name for setting in fields(Mixed)}
    assert PRESETS.choose(file=json.loads(settings_text(tiny))) == tiny


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("epochs", "epochs"),
        ("train.epochs", "epochs"),
        ("lr.fusion", "lr_fusion"),
        ("networks.detection.weights", "detection_weights"),
        ("train", "train"),
    ],
)
def test_flat_names(key: str, name: str) -> None:
    assert flat_name(key) == name


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("lrr=1", r"no setting 'lrr' in this recipe; did you mean lr"),
        ("train.epoch=1", r"no setting 'train.epoch' in this recipe; did you mean epochs"),
        ("datasets=fmb", r"no setting 'datasets' in this recipe"),
        ("lr", r"option 'lr' is not key=value"),
        ("lr=fast", r"lr=fast: needs a number, such as 0.0001$"),
        ("lr=0", r"lr=0: must be a number above 0$"),
        ("lr.inner=-1", r"lr.inner=-1: must be at least 0$"),
        ("train.epochs=1.5", r"train.epochs=1.5: needs a whole number, such as 40$"),
        ("flip=2", r"flip=2: needs true or false$"),
        ("crop=96", r"crop=96: needs two numbers above 0, such as crop=\(96,128\)$"),
        ("crop=(96,-1)", r"crop=\(96, -1\): needs two numbers above 0"),
        ("scale=(1,2,3)", r"scale=\(1, 2, 3\): needs two numbers"),
        ("turns=x", r"turns=x: needs numbers in brackets, such as turns=\(0.5,0.75\)$"),
        ("keep=3", r"keep=3: needs names, such as keep=NAME,NAME$"),
        ("variant=mine", r"variant=mine: choose one of None, released, paper$"),
        ("precision=half", r"precision=half: choose one of fp32, tf32, bf16, fp16$"),
        ("network=none", r"network=None: needs text$"),
    ],
)
def test_wrong_options(option: str, text: str) -> None:
    with pytest.raises(FusionbenchError, match=text):
        PRESETS.choose(options=[option])


def test_an_unknown_section_names_each_setting_once() -> None:
    with pytest.raises(FusionbenchError) as caught:
        PRESETS.choose(options=["train.foo=1"])
    names = str(caught.value).partition("; there are: ")[2].split(", ")
    assert len(names) == len(set(names)) == len(fields(Mixed)) - 2
    with pytest.raises(FusionbenchError, match=r"loss=1: is a section; .*, such as loss.weight"):
        Presets(record=Sectioned).choose(options=["loss=1"])


@dataclass(frozen=True, kw_only=True)
class Sectioned(Settings):
    loss_weight: float = 1.0


def test_records_check_themselves() -> None:
    assert Mixed(crop=[3, 4], lr=1).crop == (3, 4)  # type: ignore[arg-type]
    with pytest.raises(FusionbenchError, match="batch=0: must be a number above 0"):
        Mixed(batch=0)


def test_settings_of_earlier_runs() -> None:
    """In sections, without the loop's defaults."""
    old = {"lr": {"inner": 0.0}, "crop": [256, 256], "keep": "a,b", "train": {"epochs": 40, "workers": 2}}
    now = Mixed(keep=("a", "b"))
    assert differing(json.dumps(old), now) == []
    assert differing(json.dumps(old), Mixed(keep=("a",), epochs=41, workers=3)) == [
        "epochs 40, now 41", "keep ('a', 'b'), now ('a',)"
    ]  # fmt: skip
    assert differing(json.dumps(old), Mixed(keep=("a", "b"), on="average", batch=9)) == [
        "batch not set, now 9", "on not set, now average"
    ]  # fmt: skip
    assert differing(settings_text(now), replace(now, crop=None)) == ["crop (256, 256), now not set"]
    assert differing(json.dumps(old | {"gone": 1}), now) == ["gone 1, now not set"]


def test_duration() -> None:
    assert [duration(s) for s in (3.2, 700, 3600 * 3 + 301)] == ["3 s", "12 min", "3 h 05 min"]


def test_tf32_of_a_run(tree: Path) -> None:
    """A setting like others, so a record of the run; the processor, which has none, refuses it."""
    assert settings(precision="tf32").precision == "tf32"
    words = ("train", "cldyn", "--stage", "vfn", "--datasets", "msrs", "--size", "tiny", "--data-root", tree)
    for asked in (("--cfg-options", "precision=tf32"), ("--precision", "tf32")):
        done = fusionbench(*words, *asked)
        assert done.returncode
        assert "--precision tf32: only CUDA cards have TF32" in done.stderr
    for word, said in (("float32", "fp32"), ("bf16", "bf16")):
        assert f'"precision": "{said}"' in fusionbench(*words, "--precision", word, "--show-config").stdout
    assert "Traceback" not in done.stderr
