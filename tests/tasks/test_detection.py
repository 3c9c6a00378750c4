"""Detectors as task networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from _networks import hessian_error, learn, need
from torch import Tensor

from fusionbench.data import Boxes, Sample
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.tasks import detection, openmmlab
from fusionbench.tasks.network import Target

EMPTY = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
OBJECTS = Target(boxes=torch.tensor([[10.0, 12, 40, 50], [44, 20, 62, 60]]), labels=torch.tensor([0, 2]))
LEVEL = {"yolox-s": 128, "yolov8-n": 256, "yolov8-s": 512, "yolov5-s": 512, "retinanet-r18": 256, "detr-r50": 256}
LEVEL |= {"yolov8-tiny": 128, "yolov5-tiny": 128, "yolox-tiny": 96, "yolox-nano": 64}


@pytest.fixture(autouse=True)
def _mmdet() -> None:
    need("mmdet")
    torch.manual_seed(0)


def scene(channels: int) -> Tensor:
    """An image of 64x64 with the two objects."""
    image = torch.rand(1, channels, 64, 64) * 0.2
    for (x0, y0, x1, y1), label in zip(OBJECTS.boxes.int().tolist(), OBJECTS.labels.tolist(), strict=True):
        image[0, :, y0:y1, x0:x1] += 0.3 + 0.2 * label
    return image


@pytest.mark.parametrize(
    ("name", "stated", "exactly"),
    [
        ("yolov8-n", 3.2e6, 3_157_200),
        ("yolov8-s", 11.2e6, 11_166_560),
        ("yolov5-s", 7.2e6, 7_235_389),
        ("yolox-s", 9.0e6, None),
        ("yolox-tiny", 5.06e6, None),
        ("yolox-nano", 0.91e6, None),
    ],
)
def test_parameter_counts(name: str, stated: float, exactly: int | None):
    """Against the publicly stated counts at 80 classes: rounded as in the model tables, and the printed ones.

    The printed ones of YOLOv8 include 16 fixed weights, the distances over which the distribution is averaged.
    """
    count = sum(p.numel() for p in detection.build(name, 80).parameters())
    assert count == pytest.approx(stated, rel=0.015)
    if exactly:
        assert count + (16 if "v8" in name else 0) == exactly


@pytest.mark.parametrize("name", detection.NETWORKS)
def test_any_size(name: str):
    for channels, size in ((1, (64, 64)), (3, (70, 90))):
        network = detection.build(name, 3, channels)
        images = torch.rand(2, channels, *size, requires_grad=True)
        network.loss(images, [OBJECTS, EMPTY]).backward()
        assert images.grad[0].abs().sum() > 0
        before = {k: v.clone() for k, v in network.state_dict().items()}
        found = network.predict(images, confidence=0)
        assert network.training
        assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
        for one in found:
            assert 0 < len(one.boxes) == len(one.scores) == len(one.labels) <= 300
            assert one.boxes.min() >= 0
            assert (one.boxes[:, 2:].amax(0) <= torch.tensor([size[1], size[0]])).all()
            assert (one.scores.diff() <= 0).all()
            assert one.labels.max() < 3
        assert [len(one.boxes) for one in network.predict(images, max_per_img=7, confidence=0)] == [7, 7]
        features = network.eval().features(images)
        assert features.shape[:2] == (2, LEVEL[name])
        if name != "retinanet-r18":  # whose last level is P7
            assert features.shape[2:] == (-(-size[0] // 32), -(-size[1] // 32))
        assert features.requires_grad


@pytest.mark.parametrize("name", detection.NETWORKS)
def test_images_without_objects(name: str):
    network = detection.build(name, 3)
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    loss = network.loss(images, [EMPTY, EMPTY])
    loss.backward()
    assert loss.isfinite()
    assert images.grad.isfinite().all()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["yolox-s", "yolov8-n", "yolov5-s", "retinanet-r18"])
def test_one_image_or_several(name: str):
    network, images = detection.build(name, 3).eval(), torch.rand(3, 3, 64, 64)
    for together, image in zip(network.predict(images, 0), images, strict=True):
        (alone,) = network.predict(image[None], 0)
        assert torch.allclose(together.scores, alone.scores, atol=1e-5)


def test_yolov5_feedback_is_the_last_c3():
    network, seen = detection.build("yolov5-s", 3).eval(), []
    network.model.neck.up5.final_conv.register_forward_hook(lambda part, given, out: seen.append(out))
    assert torch.equal(network.features(torch.rand(1, 3, 64, 64)), seen[0])


LONG = [pytest.param(name, marks=[pytest.mark.slow] * (name == "detr-r50")) for name in detection.NETWORKS]


@pytest.mark.parametrize("name", LONG)
def test_second_derivative(name: str):
    assert hessian_error(detection.build(name, 3), [OBJECTS]) < 1e-4


@pytest.mark.parametrize(
    ("name", "steps", "lr"),
    [
        ("yolov8-tiny", 40, 3e-3),
        ("yolov5-tiny", 60, 3e-3),
        pytest.param("yolox-s", 80, 1e-3, marks=pytest.mark.slow),
        pytest.param("yolov8-n", 30, 2e-3, marks=pytest.mark.slow),
        pytest.param("yolov8-s", 32, 1e-3, marks=pytest.mark.slow),
        pytest.param("yolov5-s", 40, 1e-3, marks=pytest.mark.slow),
        pytest.param("retinanet-r18", 24, 3e-4, marks=pytest.mark.slow),
        pytest.param("detr-r50", 20, 5e-4, marks=pytest.mark.slow),
    ],
)
def test_learns_one_batch(name: str, steps: int, lr: float):
    target = Target(boxes=OBJECTS.boxes[:1], labels=OBJECTS.labels[:1]) if name == "detr-r50" else OBJECTS
    before, after = learn(detection.build(name, 3, 1), scene(1), [target], steps, lr)
    assert after < 0.3 * before, (before, after)


@pytest.mark.parametrize(
    ("name", "steps", "lr"),
    [
        ("yolov8-tiny", 100, 3e-3),
        ("yolov5-tiny", 100, 3e-3),
        pytest.param("yolov8-n", 60, 1e-3, marks=pytest.mark.slow),
        pytest.param("yolov5-s", 60, 1e-3, marks=pytest.mark.slow),
    ],
)
def test_finds_what_it_learned(name: str, steps: int, lr: float, monkeypatch: pytest.MonkeyPatch):
    """Boxes are decoded as they were learned. With the batch's statistics: so few steps do not settle the running."""
    from mmdet.structures.bbox import bbox_overlaps

    network, image = detection.build(name, 3, 1), scene(1)
    learn(network, image, [OBJECTS], steps, lr)
    monkeypatch.setattr(network, "eval", lambda: network)
    (found,) = network.predict(image)
    best = [int((found.labels == label).nonzero()[0]) for label in OBJECTS.labels]
    assert bbox_overlaps(found.boxes[best], OBJECTS.boxes, is_aligned=True).min() > 0.7
    assert found.scores[best].min() > 0.7


# ---------------------------------------------------------------- assignment


def aligned(scores: Tensor, boxes: Tensor, points: Tensor, gt: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The object of each point of an image, or -1, and its target score."""
    from fusionbench.tasks.openmmlab.assign import Objects, task_aligned

    things = Objects(gt[None], labels[None])
    point, weight, has = (x[0] for x in task_aligned(scores[None], boxes[None], points, things))
    owner, target = torch.full((len(points),), -1), torch.zeros(len(points))
    for thing, slot in has.nonzero().tolist():
        assert owner[point[thing, slot]] == -1
        owner[point[thing, slot]], target[point[thing, slot]] = thing, weight[thing, slot]
    return owner, target


def test_task_alignment_as_in_mmdetection():
    """With one object around all points, inside plays no part, and the choice is TOOD's."""
    from mmdet.models.task_modules.assigners import TaskAlignedAssigner
    from mmengine.structures import InstanceData

    points = torch.rand(40, 2) * 60 + 2
    boxes = torch.cat((points - torch.rand(40, 2) * 30, points + torch.rand(40, 2) * 30), 1)
    scores, gt = torch.rand(40, 3), torch.tensor([[0.0, 0, 64, 64]])
    owner, target = aligned(scores, boxes, points, gt, torch.tensor([1]))
    priors = torch.cat((points, points), 1)
    theirs = TaskAlignedAssigner(10).assign(
        InstanceData(priors=priors, bboxes=boxes, scores=scores),
        InstanceData(bboxes=gt, labels=torch.tensor([1])),
        alpha=0.5,
        beta=6.0,
    )
    assert torch.equal(owner + 1, theirs.gt_inds)
    expected = theirs.assign_metrics / theirs.assign_metrics.max() * theirs.max_overlaps.max()
    assert torch.allclose(target, expected, atol=1e-6)


def test_task_alignment_of_a_contested_point():
    points = torch.tensor([[5.0, 5], [15, 5], [50, 50]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [9, 0, 21, 10], [40, 40, 60, 60]])
    gt = torch.tensor([[0.0, 0, 10, 10], [0, 0, 20, 10]])
    owner, target = aligned(torch.ones(3, 1), boxes, points, gt, torch.zeros(2, dtype=torch.long))
    assert owner.tolist() == [0, 1, -1]
    assert target.tolist() == pytest.approx([1, 110 / (120 + 200 - 110), 0], abs=1e-5)


def test_assignment_by_anchor_shape():
    from fusionbench.tasks.openmmlab.assign import Objects, by_anchor_shape

    anchors = torch.tensor([[10.0, 10], [100, 100]])

    def cells(*boxes: tuple[float, ...]) -> list[list[int]]:
        """Object, anchor, row and column of each positive."""
        gt = Objects(torch.tensor([boxes]), torch.zeros(1, len(boxes), dtype=torch.long))
        anchor, row, column, has = (x[0] for x in by_anchor_shape(gt, anchors, 8, (8, 8)))
        return sorted(
            [slot[0], *(int(x[slot]) for x in (anchor, row, column))] for slot in map(tuple, has.nonzero().tolist())
        )

    # 12x12, centre (14, 22): cell (1, 2) of stride 8, at 0.75 and 0.75; 100 is more than 4 times 12
    assert cells((8.0, 16, 20, 28)) == [[0, 0, 2, 1], [0, 0, 2, 2], [0, 0, 3, 1]]
    assert cells((0.0, 0, 4, 4)) == [[0, 0, 0, 0]]  # neighbours outside do not count
    assert [row[0] for row in cells((0.0, 0, 4, 4), (8.0, 16, 20, 28))] == [0, 1, 1, 1]


# ---------------------------------------------------------------- other detectors


def zoo(path: str) -> Path:
    import mmdet

    found = Path(mmdet.__file__).parent / ".mim/configs" / path
    if not found.is_file():
        pytest.skip("this mmdetection comes without its configs")
    return found


def test_config_by_path(monkeypatch: pytest.MonkeyPatch):
    """RTMDet: nothing is downloaded, SyncBN becomes BN, and its Hardsigmoid gets a second derivative."""
    from mmengine.runner import CheckpointLoader

    monkeypatch.setattr(CheckpointLoader, "load_checkpoint", None)
    network = detection.build(zoo("rtmdet/rtmdet_tiny_8xb32-300e_coco.py"), 3, 1)
    assert not any(isinstance(part, torch.nn.SyncBatchNorm) for part in network.modules())
    assert hessian_error(network, [OBJECTS]) < 1e-4


def test_two_stage_is_refused():
    path = zoo("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py")
    if openmmlab.compiled():
        with pytest.raises(FusionbenchError, match="cannot be used for closed-loop"):
            detection.build(path, 3).features(torch.rand(1, 3, 64, 64))
    else:
        with pytest.raises(FusionbenchError, match="two-stage detector needs RoIAlign"):
            detection.build(path, 3)


def test_requests_that_cannot_be_met(tmp_path: Path):
    with pytest.raises(FusionbenchError, match="no detector 'yolov8-x'"):
        detection.build("yolov8-x", 3)
    (tmp_path / "a.py").write_text("model = dict(type='EncoderDecoder')\n")
    with pytest.raises(FusionbenchError, match="no bbox_head"):
        detection.build(tmp_path / "a.py", 3)
    network = detection.build("yolov8-n", 3)
    with pytest.raises(ValueError, match="target 0 has no boxes"):
        network.loss(torch.rand(1, 3, 32, 32), [Target()])
    with pytest.raises(ValueError, match="2 images, 1 targets"):
        network.loss(torch.rand(2, 3, 32, 32), [EMPTY])


def test_target_of_a_sample():
    boxes = Boxes.of([[1, 2, 3, 4]], [2], [True])
    sample = Sample("a", "train", np.zeros((1, 8, 8)), np.zeros((3, 8, 8)), boxes=boxes)
    target = detection.target(sample)
    assert target.boxes.tolist() == [[1, 2, 3, 4]]
    assert target.labels.tolist() == [2]
    assert target.difficult.tolist() == [True]
    sample.boxes = Boxes.of([], [])
    assert detection.target(sample).boxes.shape == (0, 4)
    sample.boxes = None
    with pytest.raises(DataError, match="a: no annotation"):
        detection.target(sample)
