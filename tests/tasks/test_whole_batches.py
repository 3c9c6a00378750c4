"""Losses of detectors as a graphics card computes them: of the whole batch at once, waiting for nothing."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from _networks import need
from torch import Tensor

from fusionbench.metrics import as_on_a_device
from fusionbench.tasks import detection
from fusionbench.tasks.network import Target, TaskNetwork
from tests.waits import NeverWaits, Waits

SIZE = (96, 128)
QUICK = ("yolov8-tiny", "yolov5-tiny", "yolox-nano")
NAMES = [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in detection.NETWORKS]


@pytest.fixture(autouse=True)
def _mmdet() -> None:
    need("mmdet")
    torch.manual_seed(0)


def targets(*counts: int) -> list[Target]:
    """So many objects in each picture; some below a cell's size, some over the edge of another."""
    draw, found = torch.Generator().manual_seed(sum(counts)), []
    edges = torch.tensor([float(SIZE[1]), SIZE[0]])
    for count in counts:
        sides = 3 + torch.rand(count, 2, generator=draw) ** 2 * edges * 0.6
        corner = torch.rand(count, 2, generator=draw) * (edges - sides)
        labels = torch.randint(0, 3, (count,), generator=draw)
        found.append(Target(boxes=torch.cat((corner, corner + sides), 1), labels=labels))
    return found


def slopes(network: TaskNetwork, images: Tensor, wanted: Sequence[Target]) -> tuple[float, list[Tensor]]:
    """Loss, and its derivatives by images and parameters."""
    x = images.clone().requires_grad_()
    loss = network.loss(x, wanted)
    parts = torch.autograd.grad(loss, [x, *network.parameters()], allow_unused=True)
    return float(loss.detach()), [part for part in parts if part is not None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("counts", [(3, 0, 11, 1), (0, 0), (40,)], ids=str)
def test_the_same_loss_and_derivatives(name: str, counts: tuple[int, ...]):
    network = detection.build(name, 3).double()
    network.train(name != "detr-r50")  # whose dropout is random; without statistics of a batch YOLOX's points tie
    images, wanted = torch.rand(len(counts), 3, *SIZE, dtype=torch.float64), targets(*counts)
    loss, expected = slopes(network, images, wanted)
    with as_on_a_device():
        same, found = slopes(network, images, wanted)
    assert same == pytest.approx(loss, rel=1e-6)
    largest = max(float(part.abs().max()) for part in expected)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).abs().max()) <= 1e-6 * largest


@pytest.mark.parametrize("name", [n for n in NAMES if n != "detr-r50"])
def test_nothing_waits(name: str):
    network = detection.build(name, 3).train()
    images = torch.rand(4, 3, *SIZE)
    wanted = targets(3, 0, 11, 1)
    with as_on_a_device(), Waits() as seen:
        loss = network.loss(images, wanted)
    assert not seen.waiting
    with NeverWaits():
        loss.backward()


@pytest.mark.parametrize("name", NAMES)
def test_more_pictures_are_no_more_operations(name: str):
    network, seen = detection.build(name, 3).train(), []
    for counts in ((3, 0), (3, 0, 11, 1, 2, 2)):
        with as_on_a_device(), Waits() as counted:
            copy.deepcopy(network).loss(torch.rand(len(counts), 3, *SIZE), targets(*counts))
        seen.append(counted.operations)
    each = 60 if name == "detr-r50" else 20  # what brings a picture's labels to the device; DETR matches by picture
    assert seen[1] - seen[0] <= 4 * each


def test_points_of_equal_cost_are_still_some():
    """SimOTA of objects far below a cell: no point is in them, and every point near costs as much but for its IoU."""
    network = detection.build("yolox-nano", 3).train()
    tiny = [Target(boxes=torch.tensor([[33.0, 33, 34, 34], [60, 40, 61, 42]]), labels=torch.tensor([0, 1]))]
    image = torch.rand(1, 3, *SIZE)
    with as_on_a_device():
        loss = network.loss(image, tiny)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
