"""`eval --frozen FILE --network NAME`: checkpoints that mmsegmentation and mmdetection wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.data import Dataset, open_spec
from fusionbench.data.synth import synth
from fusionbench.tasks.segmentation.models import model_config
from fusionbench.tasks.task import task_of
from tests.conftest import Done, fusionbench

pytestmark = pytest.mark.usefixtures("mm")


@pytest.fixture(scope="module")
def msrs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("msrs")
    synth("msrs", root, 2, 2, (64, 96), seed=0)
    return open_spec(f"msrs={root}", None)


def foreign(path: Path, network: str, dataset: Dataset, key: str = "state_dict", prefix: str = "") -> dict:
    """A checkpoint as mmengine's runner saves it: the model's own names, meta data, message hub, optimiser."""
    from mmengine.logging import HistoryBuffer

    torch.manual_seed(1)
    state = task_of(network).build(network, dataset).state_dict()
    names = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    hub = {"log_scalars": {"loss": HistoryBuffer([1.0, 2.0], [1, 1])}, "runtime_info": {"best": np.float64(0.5)}}
    torch.save(
        {
            "meta": {"epoch": 3, "dataset_meta": {"classes": ("a", "b")}},
            key: {prefix + k: v for k, v in names.items()},
            "message_hub": hub,
            "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []},
        },
        path,
    )
    return state


def scored(dataset: Dataset, task: str, *words: object) -> Done:
    asked = ("--datasets", f"msrs={dataset.root}", "--methods", "average", "--metrics", "en", "--tasks", task)
    return fusionbench("eval", *asked, *words, "--json")


def values(done: Done) -> list[list[float]]:
    """The scores of the task, by row and column."""
    assert done.returncode == 0, done.stderr
    (table,) = json.loads(done.stdout)["tables"]
    found = [value for row in table["rows"] for value in row["tasks"].values()]
    assert found
    return found


def test_a_segmentor_by_name_and_by_config(msrs: Dataset, tmp_path: Path) -> None:
    state = foreign(tmp_path / "iter_80000.pth", "segformer-tiny", msrs)
    frozen = ("--frozen", tmp_path / "iter_80000.pth")
    named = scored(msrs, "segmentation", *frozen, "--network", "segformer-tiny", "--out", tmp_path / "a")
    (kept,) = (tmp_path / "a/given").glob("*/weights.safetensors")
    from safetensors.torch import load_file

    assert all(torch.equal(value, state[name]) for name, value in load_file(kept).items())
    (tmp_path / "mine.py").write_text(f"model = {model_config('segformer-tiny')!r}\n")
    config = scored(msrs, "segmentation", *frozen, "--network", tmp_path / "mine.py", "--out", tmp_path / "b")
    again = scored(msrs, "segmentation", "--frozen", kept, "--out", tmp_path / "c")
    assert values(named) == values(config) == values(again)


@pytest.mark.parametrize(("key", "prefix"), [("ema_state_dict", "module."), ("model", "_orig_mod.")])
def test_a_detector(msrs: Dataset, tmp_path: Path, key: str, prefix: str) -> None:
    foreign(tmp_path / "epoch_12.pth", "yolov8-tiny", msrs, key, prefix)
    words = ("--frozen", tmp_path / "epoch_12.pth", "--network", "yolov8-tiny", "--out", tmp_path / "a")
    assert values(scored(msrs, "detection", *words))


def test_what_does_not_go_together(msrs: Dataset, tmp_path: Path) -> None:
    foreign(tmp_path / "a.pth", "segformer-tiny", msrs)
    (tmp_path / "b.pth").write_bytes(b"no checkpoint")
    a, b = ("--frozen", tmp_path / "a.pth"), ("--frozen", tmp_path / "b.pth")
    for task, words, want in (
        ("segmentation", a, "--network NAME, or --network CONFIG.py, which is Python that is run"),
        (
            "segmentation",
            (*a, "--network", "segformer-b2"),
            "not a checkpoint of segformer-b2 with 9 classes of msrs: ",
        ),
        ("segmentation", (*a, "--network", "segformer-b9"), "no task network 'segformer-b9'; did you mean"),
        ("segmentation", (*a, "--network", "yolov8-tiny"), "is of detection, which is not among --tasks segmentation"),
        ("segmentation", (*a, "--network", "none.py"), "none.py: no such config file"),
        ("segmentation,detection", (*a, "--network", "x.py"), "a config goes with one task at a time"),
        ("segmentation", (*b, "--network", "segformer-tiny"), "b.pth: damaged or no checkpoint"),
        ("segmentation", ("--frozen", tmp_path / "no.pth", "--network", "segformer-tiny"), "no trained weights here"),
        ("segmentation", ("--network", "segformer-tiny"), "--frozen"),
    ):
        done = scored(msrs, task, *words, "--out", tmp_path / "out")
        assert done.returncode == 2, words
        assert want in done.stderr
    assert not list((tmp_path / "out").rglob("*.png")), "nothing was fused"
