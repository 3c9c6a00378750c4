"""Damaged labels: `data check`, `eval --tasks` and `train` say the same line, before anything is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.data import open_spec
from fusionbench.data.synth import synth
from tests.conftest import fusionbench

VOC = "<annotation><size><width>640</width><height>480</height></size></annotation>"


def image(array: np.ndarray, kind: str = "PNG") -> Callable[[Path], None]:
    return lambda path: Image.fromarray(array.astype(np.uint8)).save(path, kind)


TASKS = {"mask": "segmentation", "boxes": "detection", "saliency": "saliency"}
SPOT = np.pad(np.ones((8, 8)), ((20, 36), (40, 48)))  # 64x96
DAMAGE = [
    ("msrs", "test", "segformer-tiny", "mask", image(SPOT * 255), "holds only 0 and 255"),
    ("fmb", "train", "segformer-tiny", "mask", image(SPOT * 3, "JPEG"), "a jpg"),
    ("msrs", "test", "segformer-tiny", "mask", image(SPOT * 77), "label id 77"),
    ("vt5000", "train", "ctdnet-tiny", "saliency", image(SPOT * 100), "largest value is 100"),
    ("m3fd", "test", "yolov8-tiny", "boxes", lambda path: path.write_text(VOC), "made for an image of 640x480"),
    ("quay", "train", "yolov8-tiny", "boxes", lambda path: path.write_text("0 30 20 8 8"), "are these pixels?"),
]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled dataset of one's own."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "quay.py").write_text("from fusionbench.data import Dataset\n\n__all__ = ['Dataset']\n")
    (folder / "quay.toml").write_text(
        """
kind = "dataset"
name = "quay"
title = "Quay"
summary = "pairs with boxes"
object = "Dataset"
version = "1"
folders = ["Quay"]
layout = {ir = "thermal/{split}", vis = "colour/{split}", boxes = "boxes/{split}"}
splits = [{name = "train"}, {name = "test"}]
[classes]
boxes = ["person", "vehicle"]
[protocols.quay-fusion]
version = 1
split = "test"
colour = "grey"
output = "released"
profile = "default"
metrics = ["en"]
[scenes]
preset = "street"
[scenes.boxes]
person = "person"
car = "vehicle"
"""
    )
    return folder


@pytest.mark.usefixtures("mm")
@pytest.mark.parametrize(("name", "split", "network", "role", "write", "want"), DAMAGE)
def test_told_before_anything_is_run(
    tmp_path: Path,
    plugins: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    split: str,
    network: str,
    role: str,
    write: Callable[[Path], None],
    want: str,
) -> None:
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(plugins))
    fusionbench("list")  # reads the variable
    synth(name, tmp_path / name, 3, 3, (64, 96), seed=0)
    dataset = open_spec(f"{name}={tmp_path / name}", None)
    path = getattr(dataset.files(split, dataset.ids(split)[1]), role)
    write(path)
    found = fusionbench("data", "check", f"{name}={tmp_path / name}")
    assert found.returncode == 1
    (line,) = (line for line in found.stdout.splitlines() if line.startswith("damage: "))
    line = line.removeprefix("damage: ")
    assert line.startswith(str(path))
    assert want in line
    asked = (
        "--datasets",
        f"{name}={tmp_path / name}",
        "--methods",
        "average",
        "--metrics",
        "en",
        "--tasks",
        TASKS[role],
    )
    done = fusionbench("eval", *asked, "--out", tmp_path / "out", "--task-size", "tiny")
    assert (done.returncode, done.stderr.strip()) == (2, f"error: {line}")
    assert not (tmp_path / "out").exists(), "nothing was fused"
    if split == "train":
        asked = ("--dataset", f"{name}={tmp_path / name}", "--size", "tiny", "--out", tmp_path / "run")
        done = fusionbench("train", network, *asked)
        assert (done.returncode, done.stderr.strip()) == (2, f"error: {line}")
        assert not list((tmp_path / "run").rglob("*.safetensors"))
