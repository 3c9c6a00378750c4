"""`train --pairs`: settings of length alone are changed, and what is counted is what the steps read."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from fusionbench.data.synth import synth
from fusionbench.errors import FusionbenchError
from fusionbench.plugins.trainable import Training, trainings
from fusionbench.training import length
from fusionbench.training.length import lengthened, pairs_seen
from fusionbench.training.request import TrainRequest
from tests.harness.test_eval_tasks import ask

OF_MSRS = [t for t in trainings() if t.card.kind == "method" and "msrs" in t.datasets]
NEEDY = {"vgg", "vfn"}  # settings without a value, which name a file that is not here


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 generated training pairs in the layout of MSRS, 64x80; not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    synth("msrs", folder / "MSRS", 24, 0, (64, 80), 0)
    return folder


def request(name: str, root: Path, *options: str, stage: str | None = None) -> TrainRequest:
    return TrainRequest(name=name, stage=stage, datasets=("msrs",), size="tiny", data_root=root, options=options)


@pytest.mark.parametrize("training", OF_MSRS, ids=lambda t: f"{t.name}-{t.stage}".strip("-"))
def test_every_recipe_sees_as_many(training: Training, root: Path, mm: None) -> None:
    asked = request(training.name, root, stage=training.stage or None)
    if any(not getattr(asked.settings, name, True) for name in NEEDY):
        pytest.skip("its loss needs a file")
    longer, seen = lengthened(asked, 432)
    assert seen == pairs_seen(longer, longer.settings) == 432
    before, after = asdict(asked.settings), asdict(longer.settings)
    lengths = asked.recipe().presets.lengths
    assert {name for name in before if before[name] != after[name]} <= set(lengths)
    assert set(lengths) <= before.keys()


def test_what_is_read_is_counted(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of the samples of all steps of a run that has meta steps, counted by themselves."""
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    from fusionbench.methods.refusion.recipe import ReFusionRecipe

    read = []
    load = ReFusionRecipe.load
    monkeypatch.setattr(ReFusionRecipe, "load", lambda self, *a: read.extend(p := load(self, *a)) or p)
    words = ("--pairs", 50, "--cfg-options", "patch=16", "meta_steps=1", "tensorboard=false")
    code, err = ask("train", "refusion", "--datasets", "msrs", "--data-root", str(root), "--size", "tiny",
                    "--out", str(tmp_path / "run"), *map(str, words))  # fmt: skip
    assert code == 0, err
    assert "--pairs 50: sees 28, with patch=16 meta_steps=1 tensorboard=false epochs=1 decay_every=1" in err
    assert sum(len(a) for a, _ in read) == 28  # 24, and two batches of two
    assert json.loads((tmp_path / "run/config.json").read_text())["epochs"] == 1


def test_proportion(root: Path) -> None:
    """The second stage stays as long beside the first; what is 0 stays 0."""
    longer, _ = lengthened(request("rfnnest", root), 96)
    assert (longer.settings.epochs, longer.settings.first) == (4, 2)  # type: ignore[attr-defined]  # 12 and 6 in tiny
    assert lengthened(request("mrfs", root), 96)[0].options == ("epochs=4", "warmup=0")


def test_what_is_left_goes_to_another_length(root: Path) -> None:
    _, seen = lengthened(request("seafusion", root), 372)
    more, filled = lengthened(request("seafusion", root), 384)
    assert (seen, filled) == (372, 384)
    assert "passes=4" in more.options


@pytest.mark.parametrize(
    ("options", "pairs", "words"),
    [
        ((), 23, "the shortest run of ydtr at these settings sees 24"),
        (("epochs=3",), 48, "pairs=48 sets epochs; leave out epochs=3"),
        (("train.Epochs=3",), 48, "leave out train.Epochs=3"),
    ],
)
def test_refused(root: Path, options: tuple[str, ...], pairs: int, words: str) -> None:
    with pytest.raises(FusionbenchError, match=words):
        lengthened(request("ydtr", root, *options), pairs)


def test_not_with_a_sweep(root: Path) -> None:
    code, err = ask("train", "ydtr", "--datasets", "msrs", "--data-root", str(root), "--size", "tiny",
                    "--pairs", "48", "--sweep", "batch=2,4", "--show-config")  # fmt: skip
    assert code == 2
    assert "--pairs and --sweep" in err


def test_more_than_can_be_counted(root: Path) -> None:
    with pytest.raises(FusionbenchError, match="pairs=99999999999: is over the limit of 20000000"):
        lengthened(request("seafusion", root), 99999999999)


def test_a_recipe_without_a_step(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a run is made, it sees nothing: that is an error, and no endless search."""
    looks = iter(range(10))
    monkeypatch.setattr(length, "pairs_seen", lambda *_: 0 * next(looks))
    with pytest.raises(FusionbenchError, match="seafusion reads no pair at these settings"):
        lengthened(request("seafusion", root), 40)
