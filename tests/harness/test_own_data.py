"""One's own labelled data: a plain folder, a dataset of a plugin, and our layouts in other places."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.data import open_spec
from fusionbench.data.synth import synth
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.training.request import TrainRequest
from tests.conftest import fusionbench

SIZE = (64, 96)
CLASSES = "background\nroad\n\nperson\n"
COLOURS = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\nperson:60,20,220::\n"
PALETTE = np.array([(0, 0, 0), (128, 64, 128), (60, 20, 220)], np.uint8)


def ids(number: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[40:], mask[10 + number : 30, 20 : 40 + number] = 1, 2
    return mask


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint8)).save(path)


def pairs(root: Path, numbers: range) -> None:
    rng = np.random.default_rng(numbers.start)
    for number in numbers:
        mask = ids(number)
        save(root / f"ir/{number:03}.png", np.clip(mask * 80.0 + rng.normal(40, 9, SIZE), 0, 255))
        save(root / f"vis/{number:03}.jpg", np.clip(PALETTE[mask] + rng.normal(30, 9, (*SIZE, 3)), 0, 255))


def flat(root: Path) -> Path:
    """Two folders, masks of ids, YOLO boxes, saliency, two lists."""
    pairs(root, range(6))
    for n in range(6):
        save(root / f"mask/{n:03}.png", ids(n))
        save(root / f"saliency/{n:03}.png", (ids(n) == 2) * 255)
        (root / "boxes").mkdir(exist_ok=True)
        (root / f"boxes/{n:03}.txt").write_text("1 0.3125 0.3125 0.2083 0.3125\n")
    (root / "mask/classes.txt").write_text(CLASSES)
    (root / "boxes/classes.txt").write_text("car\nperson\n")
    (root / "train.txt").write_text("000\n001.png\n002,1\n003\n")
    (root / "test.txt").write_bytes("004\r\n005\r\n".encode("utf-16"))
    return root


def split(root: Path) -> Path:
    """train/ and test/, masks in CVAT's colours, VOC boxes, maps of 0 and 1."""
    for name, numbers in (("train", range(4)), ("test", range(4, 6))):
        pairs(root / name, numbers)
        for n in numbers:
            save(root / name / f"masks/{n:03}.png", PALETTE[ids(n)])
            save(root / name / f"saliency/{n:03}.png", ids(n) == 2)
            (root / name / "boxes").mkdir(exist_ok=True)
            corners = "<xmin>20</xmin><ymin>10</ymin><xmax>40</xmax><ymax>30</ymax>"
            (root / name / f"boxes/{n:03}.xml").write_text(
                f"<annotation><object><name>Person</name><bndbox>{corners}</bndbox></object></annotation>"
            )
    (root / "labelmap.txt").write_text(COLOURS)
    (root / "test/boxes/classes.txt").write_text("car\nperson\n")
    return root


@pytest.mark.parametrize("make", [flat, split])
def test_labels_of_a_folder(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    dataset = open_spec(f"folder={make(tmp_path / 'mine')}", None)
    assert dataset.classes == ("background", "road", "person")
    assert dataset.box_classes == ("car", "person")
    for label in ("mask", "boxes", "saliency"):
        assert dataset.task_splits(label) == ("train", "test")
    assert dataset.ids("train") == ["000", "001", "002", "003"]
    assert dataset.ids("test") == ["004", "005"]
    sample = dataset.read("test", "005")
    np.testing.assert_array_equal(sample.mask, ids(5))
    np.testing.assert_array_equal(sample.saliency, (ids(5) == 2) * 255)
    assert sample.boxes is not None
    assert sample.boxes.labels.tolist() == [1]
    np.testing.assert_allclose(sample.boxes.xyxy, [[20, 10, 40, 30]], atol=0.01)
    done = fusionbench("data", "check", "--data", f"folder={dataset.root}", "--complete")
    assert done.returncode == 0, done.stdout + done.stderr


def test_two_classes_mean_an_object(tmp_path: Path) -> None:
    pairs(tmp_path, range(2))
    for n in range(2):
        save(tmp_path / f"mask/{n:03}.png", (ids(n) == 2) * 255)
    (tmp_path / "mask/classes.txt").write_text("rest\nperson\n")
    dataset = open_spec(f"folder={tmp_path}", None)
    np.testing.assert_array_equal(dataset.read("all", "001").mask, ids(1) == 2)
    assert dataset.ignore_index is None


@pytest.mark.parametrize("role", ["mask", "boxes"])
def test_labels_without_classes(tmp_path: Path, role: str) -> None:
    (flat(tmp_path) / role / "classes.txt").unlink()
    done = fusionbench("data", "check", f"folder={tmp_path}")
    assert done.returncode == 1
    line = f"damage: {tmp_path / role / 'classes.txt'}: missing; write the names of the classes there, one a line"
    assert done.stdout.count(line) == done.stdout.count("damage: ") == 1


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a\nb\na\n", "names 'a' twice"),
        ("a:1,2,300\n", "three levels of 0 to 255"),
        ("a:1,2,3\nb:1,2,3", "another one"),
    ],
)
def test_classes_that_cannot_be(tmp_path: Path, text: str, want: str) -> None:
    (flat(tmp_path) / "mask/classes.txt").write_text(text)
    with pytest.raises(DataError, match=want):
        open_spec(f"folder={tmp_path}", None)


def test_without_labels_it_is_as_before(tmp_path: Path) -> None:
    pairs(tmp_path, range(2))
    dataset = open_spec(f"folder={tmp_path}", None)
    assert dataset.splits() == ["all"]
    assert not any(map(dataset.layout.has, ("mask", "boxes", "saliency")))


@pytest.mark.slow
@pytest.mark.usefixtures("mm")
@pytest.mark.parametrize("make", [flat, split])
def test_a_folder_trains_and_is_scored(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    where = ("--data", f"folder={make(tmp_path / 'mine')}")
    run, out = tmp_path / "run", tmp_path / "out"
    options = ("--cfg-options", "epochs=1", "batch=2", "resize=[64,96]", "picture_every=0")
    done = fusionbench("train", "segformer-tiny", *where, "--size", "tiny", "--out", run, *options)
    assert done.returncode == 0, done.stderr
    words = ("--methods", "average", "--metrics", "en", "--tasks", "segmentation", "--frozen", run, "--out", out)
    done = fusionbench("eval", *where, *words, "--json")
    assert done.returncode == 0, done.stderr
    (table,) = json.loads(done.stdout)["tables"]
    assert any("segformer-tiny" in name for name in table["rows"][0]["tasks"])


# ---------------------------------------------------------------- a dataset of a plugin

CARD = """
kind = "dataset"
name = "quay"
title = "Quay"
summary = "pairs with masks and boxes"
object = "Dataset"
version = "1"
folders = ["Quay"]
ignore_index = 255
box_format = "voc"
layout = {{ir = "{{split}}/thermal", vis = "{{split}}/colour", mask = "{{split}}/masks", boxes = "{{split}}/boxes"}}
splits = [{{name = "learn"}}, {{name = "held"}}, {{name = "train"}}, {{name = "test"}}]
[tasks.mask]
train = "learn"
test = "held"
[classes]
segmentation = ["other", "road", "person"]
boxes = ["person", "vehicle"]
[protocols.quay-fusion]
version = 1
split = "held"
colour = "grey"
output = "released"
profile = "default"
metrics = ["en"]
{training}
"""
TRAINING = """
[[training]]
recipe = "refusion"
settings = {split = "learn", patch = 32, meta_steps = 0}

[[training]]
recipe = "tdfusion"
like = "msrs"
settings = {"split" = "learn", "train.task_size" = [32, 48]}

[[training]]
recipe = "segmentation"
like = "fmb"
"""


@pytest.fixture
def quay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes the plugin with what its card says of training; the folder of its data."""

    def write(training: str) -> Path:
        plugins = tmp_path / "plugins"
        plugins.mkdir(exist_ok=True)
        (plugins / "quay.toml").write_text(CARD.format(training=training))
        (plugins / "quay.py").write_text("from fusionbench.data import Dataset\n\n__all__ = ['Dataset']\n")
        monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(plugins))
        fusionbench("list")  # reads the variable
        dataset = open_spec(f"quay={tmp_path / 'Quay'}", None) if (tmp_path / "Quay").exists() else None
        if dataset is None:
            for name, numbers in (("learn", range(4)), ("held", range(4, 6))):
                pairs(tmp_path / "raw" / name, numbers)
                for n in numbers:
                    save(tmp_path / "Quay" / name / f"masks/{n:03}.png", ids(n))
                for old, new in (("ir", "thermal"), ("vis", "colour")):
                    (tmp_path / "raw" / name / old).rename(tmp_path / "Quay" / name / new)
        return tmp_path / "Quay"

    return write


def test_its_card_says_what_is_trained_on_it(quay: Callable[[str], Path]) -> None:
    spec = (f"quay={quay(TRAINING)}",)
    settings = TrainRequest(name="tdfusion", datasets=spec).settings
    assert (settings.split, settings.task_size) == ("learn", (32, 48))
    like = TrainRequest(name="tdfusion", datasets=("msrs",)).settings
    assert settings.network == like.network
    assert TrainRequest(name="segformer-b0", datasets=spec).settings.crop == (480, 640)  # FMB's
    assert TrainRequest(name="segformer-tiny", datasets=spec, size="tiny").settings.crop is None
    done = fusionbench("validate", "quay")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training: recipes and settings" in done.stdout


@pytest.mark.slow
def test_a_method_learns_from_it(quay: Callable[[str], Path], tmp_path: Path) -> None:
    spec = (f"quay={quay(TRAINING)}",)
    where = ("--data", spec[0], "--size", "tiny", "--max-steps", "1", "--out", tmp_path / "run")
    done = fusionbench("train", "refusion", *where, "--cfg-options", "patch=32", "picture_every=0")
    assert done.returncode == 0, done.stderr
    assert "1 steps are done" in done.stderr


@pytest.mark.parametrize(
    ("training", "want"),
    [
        ('[[training]]\nrecipe = "tdfusoin"', "nothing to train is called"),
        ('[[training]]\nrecipe = "tdfusion"\nlike = "vt5000"', "like is one of fmb, msrs, m3fd, llvip"),
        ('[[training]]\nrecipe = "tdfusion"\nsettings = {cropp = 3}', "'cropp', no setting of this recipe"),
        ('[[training]]\nrecipe = "refusion"\nsettings = {patch = "wide"}', "patch"),
    ],
)
def test_what_a_card_cannot_say(quay: Callable[[str], Path], training: str, want: str) -> None:
    quay(training)
    done = fusionbench("validate", "quay")
    assert done.returncode == 1
    assert want in done.stdout


def test_without_it_only_the_recipes_that_name_it(quay: Callable[[str], Path]) -> None:
    spec = (f"quay={quay('')}",)
    assert TrainRequest(name="segformer-b0", datasets=spec).settings.crop == (480, 480)  # it has the label
    with pytest.raises(FusionbenchError, match=r"no recipe of tdfusion for quay; .*\[\[training\]\]"):
        _ = TrainRequest(name="tdfusion", datasets=spec).settings


@pytest.mark.usefixtures("mm")
def test_it_is_trained_on_and_scored(quay: Callable[[str], Path], tmp_path: Path) -> None:
    where = ("--data", f"quay={quay(TRAINING)}")
    words = ("--methods", "average", "--tasks", "segmentation", "--task-networks", "segformer-tiny", "--seeds", "1")
    options = "epochs=1,batch=2,resize=[64,96],crop=None"
    words = (*words, "--task-protocols", "frozen", "--task-size", "tiny", "--task-options", options)
    done = fusionbench("eval", *where, *words, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    (table,) = json.loads(done.stdout)["tables"]
    assert any(name.startswith("segmentation/segformer-tiny/frozen") for name in table["rows"][0]["tasks"])


# ---------------------------------------------------------------- our layouts elsewhere


def test_one_spelling_for_eval_check_and_train(tmp_path: Path) -> None:
    synth("msrs", tmp_path / "elsewhere", 4, 2, SIZE, seed=0)
    where = ("--data", f"msrs={tmp_path / 'elsewhere'}")
    done = fusionbench("eval", *where, "--methods", "average", "--metrics", "en", "--out", tmp_path / "a", "--json")
    (table,) = json.loads(done.stdout)["tables"]
    assert table["dataset"] == "scenes-msrs"
    asked = ("--datasets", "msrs", "--methods", "average", "--metrics", "en", "--out", tmp_path / "b", "--json")
    assert json.loads(fusionbench("eval", *where, *asked).stdout)["tables"][0]["rows"] == table["rows"]
    assert fusionbench("data", "check", *where).stdout == fusionbench("data", "check", "msrs", *where).stdout
    done = fusionbench("train", "refusion", *where, "--show-config")
    assert '"msrs"' in done.stdout
    assert done.stdout == fusionbench("train", "refusion", "--dataset", "msrs", "--show-config").stdout


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (["--data", "msrs"], "--data msrs: is not NAME=DIR"),
        (["--data", "=x"], "is not NAME=DIR"),
        (["--data", "msrs=x", "--data", "msrs=y"], "msrs has another folder already, x"),
        (["--data", "fmb=x", "--datasets", "msrs"], "fmb is not among the datasets msrs"),
        (["--data", "msrss=x"], "msrs"),
        (["--data", "msrs=nowhere"], "not found under nowhere"),
    ],
)
def test_what_cannot_be_meant(words: list[str], want: str) -> None:
    done = fusionbench("eval", "--methods", "average", *words)
    assert done.returncode == 2
    assert want in done.stderr
    assert done.stderr.count("\n") == 1
