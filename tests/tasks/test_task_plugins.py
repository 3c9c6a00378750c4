"""Tasks as plugins: what their cards promise, how their classes meet, and the parts of their common recipe."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _networks import need
from torch import Tensor, nn

from fusionbench.data import Boxes, Dataset, Sample
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.pixels.colour import luma
from fusionbench.pixels.images import write_image
from fusionbench.plugins.cards import card, cards
from fusionbench.plugins.registry import resolve
from fusionbench.plugins.trainable import trainings
from fusionbench.tasks import detection, saliency, segmentation
from fusionbench.tasks.network import Prediction, Target, TaskNetwork
from fusionbench.tasks.recipe import FusedSplit, at_size, evaluate, factor, network_input, optimiser
from fusionbench.tasks.segmentation.recipe import SegmentationSettings
from fusionbench.tasks.task import task, task_of

TASKS = tuple(cards("task"))
NETWORKS = [(name, network) for name, c in cards("task").items() for network in c.data["networks"]]
ALIKE = {"segmentation": "msrs", "detection": "m3fd", "saliency": "vt5000"}  # a dataset with the task's labels
KNOWN = {"segmentation": segmentation.NETWORKS, "detection": detection.NETWORKS, "saliency": tuple(saliency.WIDTHS)}


def dataset(name: str, root: Path = Path("nowhere")) -> Dataset:
    """The adapter; its card is all that most tests need."""
    return resolve("dataset", name)(root, card("dataset", name))


def labelled(needs: str, data: Dataset) -> Sample:
    """A sample of 32x64 with one label."""
    blank = np.zeros((3, 32, 64), np.uint8)
    sample = Sample("a", "train", blank[:1], blank)
    if needs == "mask":
        sample.mask = np.arange(32 * 64).reshape(32, 64) // 512  # ids 0 to 3
    elif needs == "boxes":
        sample.boxes = Boxes.of([(4, 6, 30, 28), (34, 6, 60, 28)], [0, 1])
    else:
        sample.saliency = np.where(np.arange(64) < 20, 255, 0).astype(np.uint8)[None].repeat(32, 0)
    return sample


# ---------------------------------------------------------------- cards


@pytest.mark.parametrize("name", TASKS)
def test_card(name: str) -> None:
    found = task(name)
    assert (found.name, found.card.name) == (name, name)
    assert found.needs == found.card.data["needs"]
    assert sorted(found.networks) == sorted(KNOWN[name])
    for one in found.card.data["training"]:
        for data in one["datasets"]:
            assert found.classes(dataset(data))  # a recipe only where there are labels


@pytest.mark.parametrize(("name", "network"), NETWORKS)
def test_network(name: str, network: str) -> None:
    found, data = task_of(network), dataset(ALIKE[name])
    assert found.name == name
    if not network.endswith("-tiny"):
        assert network in KNOWN[name]  # built at their full size by the tests of the networks
        return
    if name != "saliency":
        need({"segmentation": "mmseg", "detection": "mmdet"}[name])
    sample = labelled(found.needs, data)
    for channels in (1, 3):
        made = found.build(network, data, channels)
        images = torch.rand(2, channels, 32, 64)
        loss = made.loss(images, [found.target(sample)] * 2)
        assert loss.ndim == 0
        assert loss.isfinite()
        (prediction, _) = made.predict(images)
        value = getattr(prediction, found.needs)
        shape = {"mask": (32, 64), "saliency": (1, 32, 64), "boxes": (len(value), 4)}[found.needs]
        assert tuple(value.shape) == shape


def test_names_are_those_that_can_be_trained() -> None:
    ours = [t for t in trainings() if t.network]
    assert {t.name for t in ours} == {network for _, network in NETWORKS}
    for one in ours:
        assert one.card.name == task_of(one.name).name
        for data in one.datasets:
            assert one.check_dataset(data) is None


def test_no_such_network() -> None:
    with pytest.raises(FusionbenchError, match=r"no task network 'yolov8-tony'; did you mean yolov8-tiny"):
        task_of("yolov8-tony")


@pytest.mark.parametrize("name", TASKS)
def test_columns_are_scores(name: str) -> None:
    """The scores on the card are computed, and the truth scores better than something else."""
    found, data = task(name), dataset(ALIKE[name])
    target = found.target(labelled(found.needs, data))
    scores = torch.tensor([0.9, 0.8])
    right = Prediction(target.mask, target.boxes, scores, target.labels, target.saliency)
    false = {"mask": lambda v: v // 2, "boxes": lambda v: v / 2, "saliency": lambda v: 1 - v}[found.needs]
    wrong = replace(right, **{found.needs: false(getattr(target, found.needs))})
    tallies = []
    for said in (right, wrong):
        tallies.append(found.scores(found.classes(data), data.ignore_index))
        tallies[-1].update(said, target)
    for score, title in found.card.data["columns"]:
        assert tallies[0].compute()[score] > tallies[1].compute()[score], title
    assert set(tallies[0].per_class()) <= set(found.classes(data))
    assert tallies[0].facts()


# ---------------------------------------------------------------- classes


def test_classes() -> None:
    assert task("segmentation").classes(dataset("msrs"))[:3] == ("unlabelled", "car", "person")
    assert task("detection").classes(dataset("m3fd")) == ("People", "Car", "Bus", "Motorcycle", "Truck", "Lamp")
    assert task("saliency").classes(dataset("vt5000")) == ("salient",)


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("segmentation", "llvip", "llvip has no segmentation masks, which segmentation needs; datasets that have: "),
        ("detection", "fmb", "fmb has no boxes, which detection needs; datasets that have: llvip, m3fd, msrs"),
        ("saliency", "tno", "tno has no saliency masks, which saliency needs; datasets that have: vt5000"),
    ],
)
def test_no_such_labels(name: str, data: str, text: str) -> None:
    with pytest.raises(DataError, match=text):
        task(name).classes(dataset(data))
    with pytest.raises(DataError, match=text):
        task(name).build(task(name).networks[-1], dataset(data))


@pytest.mark.parametrize("name", TASKS)
def test_a_sample_without_the_label(name: str) -> None:
    blank = np.zeros((3, 4, 4), np.uint8)
    with pytest.raises(DataError, match=r"^a: no "):
        task(name).target(Sample("a", "test", blank[:1], blank))


@pytest.mark.parametrize(("name", "data"), [("segmentation", "fmb"), ("saliency", "vt5000")])
def test_common_classes_are_the_same_classes(name: str, data: str) -> None:
    found, mine = task(name), dataset(data)
    classes, narrow = found.common(found.classes(mine), mine)
    assert classes == found.classes(mine)
    target, said = found.target(labelled(found.needs, mine)), Prediction()
    assert narrow(said, target) == (said, target)
    with pytest.raises(DataError, match=rf"the network tells 2 classes \(a, b...\), {data} has \d+ .* {name} cannot"):
        found.common(("a", "b"), mine)


def test_common_classes_of_detectors() -> None:
    """MSRS tells person, bicycle and car; of M3FD's six classes People (an alias) and Car are shared."""
    found = task("detection")
    classes, narrow = found.common(("person", "bicycle", "car"), dataset("m3fd"))
    assert classes == ("People", "Car")
    boxes = torch.arange(16.0).view(4, 4)
    labels = torch.tensor([2, 1, 0, 2])  # car, bicycle, person, car
    said = Prediction(boxes=boxes, scores=torch.tensor([0.9, 0.8, 0.7, 0.6]), labels=labels)
    true = Target(boxes=boxes, labels=torch.tensor([1, 2, 0, 5]), difficult=torch.tensor([True, False, False, True]))
    said, true = narrow(said, true)
    assert said.labels.tolist() == [1, 0, 1]
    assert torch.equal(said.boxes, boxes[[0, 2, 3]])
    assert said.scores.tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert true.labels.tolist() == [1, 0]
    assert torch.equal(true.boxes, boxes[[0, 2]])
    assert true.difficult.tolist() == [True, False]
    with pytest.raises(DataError, match=r"the network's classes \(cat, dog\) are none of m3fd's"):
        found.common(("cat", "dog"), dataset("m3fd"))


# ---------------------------------------------------------------- what a network sees and says


def test_network_input() -> None:
    images = torch.rand(2, 3, 4, 5)
    assert network_input(images, 3) is images
    assert torch.equal(network_input(images, 1), luma(images))
    assert network_input(images, 1).shape == (2, 1, 4, 5)


def test_at_size() -> None:
    said = Prediction(
        mask=torch.tensor([[1, 2], [3, 4]]),
        boxes=torch.tensor([[0.0, 1, 2, 2]]),
        labels=torch.tensor([5]),
        saliency=torch.tensor([[[0.0, 1], [0, 1]]]),
    )
    assert at_size(said, (2, 2), (2, 2)) is said
    found = at_size(said, (2, 2), (4, 6))
    assert found.mask.tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 4, 4, 4]] * 2
    assert found.boxes.tolist() == [[0, 2, 6, 4]]  # across times 3, down times 2
    assert found.labels.tolist() == [5]
    assert found.saliency.shape == (1, 4, 6)
    assert found.saliency[0, 0].tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 1], abs=1e-6)


class Says(TaskNetwork):
    """Says where the bright half of what it sees is, and remembers what that was."""

    def predict(self, images: Tensor) -> list[Prediction]:
        self.seen = images
        return [Prediction(saliency=image[:1].round()) for image in images]


def test_evaluate_scores_at_the_size_of_the_label() -> None:
    found, network = task("saliency"), Says()
    sample = labelled("saliency", dataset("vt5000"))
    sample.vis = np.repeat(sample.saliency[None], 3, 0)
    prediction, target = evaluate(network, found, sample, "cpu", (16, 32))
    assert network.seen.shape == (1, 3, 16, 32)
    assert prediction.saliency.shape == target.saliency.shape == (1, 32, 64)
    assert (prediction.saliency.round() == target.saliency).float().mean() > 0.95
    network.channels = 1
    prediction, target = evaluate(network, found, sample, "cpu", None)
    assert network.seen.shape == (1, 1, 32, 64)
    assert torch.equal(prediction.saliency, target.saliency)


@pytest.mark.parametrize("name", saliency.WIDTHS)
def test_width_of_ctdnet(name: str) -> None:
    network = saliency.build(name).eval()
    images = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        assert network.features(images).shape == (1, saliency.WIDTHS[name], 10, 14)
    (said,) = network.predict(images)
    assert said.saliency.shape == (1, 40, 56)
    assert 0 <= said.saliency.min() <= said.saliency.max() <= 1


def test_fused_pictures_take_the_place_of_the_visible(tmp_path: Path) -> None:
    writer = dataset("vt5000", tmp_path)
    for ident in "abc":
        sample = labelled("saliency", writer)
        sample.id = ident
        writer.write(sample, "train")
    data, grey = dataset("vt5000", tmp_path), np.full((32, 64), 7, np.uint8)
    for name, picture in (("a", grey), ("c", np.stack([grey, grey + 1, grey + 2])), ("small", grey[1:])):
        write_image(tmp_path / f"{name}.png", picture)
    pictures = {"a": tmp_path / "a.png", "c": tmp_path / "c.png"}
    target = task("saliency").target

    def split(files: Any) -> FusedSplit:
        return FusedSplit(data, "train", files, needs=["saliency"], target=target)

    assert split(None).ids == ["a", "b", "c"]
    assert split(None).batch([1], 0, 0).vis.max() == 0
    found = split(pictures)
    assert found.ids == ["a", "c"]  # a pair without a picture is left out
    batch = found.batch([0, 1], 0, 0)
    for row, colours in zip(batch.vis * 255, ([7, 7, 7], [7, 8, 9]), strict=True):
        assert torch.equal(row.round(), torch.tensor(colours).float()[:, None, None].expand(3, 32, 64))
    assert batch.ir.max() == 0
    assert batch.targets[0].saliency.sum() == 20 * 32
    with pytest.raises(
        DataError, match=r"small.png: the fused picture is 31x64, its pair 32x64 \(height x width\); delete it"
    ):
        split({"b": tmp_path / "small.png"}).read(0)
    with pytest.raises(DataError, match=r"gone.png"):
        split({"b": tmp_path / "gone.png"}).read(0)


# ---------------------------------------------------------------- optimiser and schedule


def sectioned(section: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {f"{section}_{name}": value for name, value in settings.items()}


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head, self.fixed = nn.Linear(4, 2), nn.Parameter(torch.ones(2, 2), requires_grad=False)


def test_optimiser_groups() -> None:
    network = Small()
    settings = {"type": "AdamW", "lr": 0.1, "weight_decay": 0.5}
    made = optimiser(network, SegmentationSettings(**sectioned("optimiser", settings), backbone_lr=0.1))
    assert isinstance(made, torch.optim.AdamW)
    of = {id(p): (g["lr"], g["weight_decay"]) for g in made.param_groups for p in g["params"]}
    rules = {name: of.get(id(p)) for name, p in network.named_parameters()}
    slow, none = pytest.approx((0.01, 0.5)), pytest.approx((0.01, 0.0))
    assert rules == {
        "backbone.0.weight": slow,
        "backbone.0.bias": none,
        "backbone.1.weight": none,
        "backbone.1.bias": none,
        "head.weight": (0.1, 0.5),
        "head.bias": (0.1, 0.0),
        "fixed": None,
    }


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"type": "Adamw"}, "optimiser_type=Adamw: no optimiser of torch.optim"),
        ({"type": "lr_scheduler"}, "optimiser_type=lr_scheduler: no optimiser of torch.optim"),
        ({"type": "AdamW", "momentum": 0.9}, r"optimiser: .*momentum.*; see torch.optim.AdamW"),
        ({"type": "SGD", "nesterov": True}, r"optimiser: Nesterov .*; see torch.optim.SGD"),
        ({"type": "SGD", "lr": -1.0}, r"optimiser_lr=-1.0: must be a number above 0"),
    ],
)
def test_no_such_optimiser(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(FusionbenchError, match=text):
        optimiser(Small(), SegmentationSettings(**sectioned("optimiser", settings)))


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"type": "poly", "power": 1.0}, {0: 1, 25: 0.75, 99: 0.01, 100: 0}),
        ({"type": "poly", "power": 0.9}, {50: 0.5**0.9, 100: 0}),
        ({"type": "poly", "warmup": 20}, {0: 1 / 21, 19: 20 / 21, 20: 1, 60: 0.5, 100: 0}),
        ({"type": "poly", "warmup": 300}, {0: 1 / 26, 24: 25 / 26, 25: 1, 100: 0}),  # a quarter of the run at most
        ({"type": "cosine", "last": 0.2}, {0: 1, 50: 0.6, 25: 0.2 + 0.4 * (1 + math.sqrt(0.5)), 100: 0.2}),
        ({"type": "step", "at": (0.5, 0.75), "gamma": 0.1}, {0: 1, 49: 1, 50: 0.1, 74: 0.1, 75: 0.01, 100: 0.01}),
        ({"type": "triangular", "peak": 0.4}, {0: 1e-3, 20: 0.5, 40: 1, 70: 0.5, 100: 1e-3}),
        ({"type": "triangular", "peak": 1.0}, {50: 0.5, 99: 0.99, 100: 1e-3}),
    ],
)
def test_schedule(settings: dict[str, Any], values: dict[int, float]) -> None:
    of_step = factor(SegmentationSettings(**{"schedule_warmup": 0, **sectioned("schedule", settings)}), 100)
    assert {step: of_step(step) for step in values} == pytest.approx(values)


def test_no_such_schedule() -> None:
    with pytest.raises(FusionbenchError, match=r"schedule_type=exp: choose one of poly, cosine, step, triangular"):
        SegmentationSettings(schedule_type="exp")  # type: ignore[arg-type]
