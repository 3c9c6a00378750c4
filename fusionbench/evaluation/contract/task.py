"""The contract of a downstream task and of each network that its card lists."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import torch
from torch import Tensor

from fusionbench.evaluation.contract.report import Report, SkippedCheck, need
from fusionbench.evaluation.contract.samples import labelled_sample, sample_images
from fusionbench.plugins.cards import TaskCard
from fusionbench.plugins.records import Label
from fusionbench.plugins.registry import resolve
from fusionbench.tasks.network import Prediction, Target, TaskNetwork
from fusionbench.tasks.openmmlab import MissingExtra
from fusionbench.tasks.task import Task
from fusionbench.training.functional import second_order

CLASSES = ("a", "b", "c")
IGNORED = 255  # where no card says another label
SIZE, ODD_SIZE = (64, 96), (45, 70)


def check_task(entry: TaskCard, report: Report) -> str | None:
    """Class and card agree, the truth scores best, and every network builds, learns, predicts.

    Returns:
        The network with the fewest parameters, or None where none could be built.
    """
    task: Task = resolve("task", entry.name)()
    with report.check("class and card agree"):
        need(task.name == entry.name, f"the class is called {task.name!r}, the card {entry.name!r}")
        need(task.needs == entry.facts.needs, f"the class needs {task.needs!r}, the card says {entry.facts.needs!r}")
    with report.check("scores: the truth is best"):
        _scores(task)
    parameters: dict[str, int] = {}
    for name in entry.facts.networks:
        network: TaskNetwork | None = None
        with report.check(f"{name}: builds"):
            network = _build(task, name)
        if network is None:
            continue
        parameters[name] = sum(parameter.numel() for parameter in network.parameters())
        targets = [task.target(labelled_sample(task.needs, *SIZE, seed=seed)) for seed in (0, 1)]
        with report.check(f"{name}: loss and its derivatives"):
            _loss(network, targets)
        if targets[0].mask is not None:
            with report.check(f"{name}: loss of masks that are ignored"):
                _ignored_loss(network, targets)
        with report.check(f"{name}: predictions"):
            _predictions(network, task.needs)
        with report.check(f"{name}: two threads at once"):
            _threads(network)
    return min(parameters, key=parameters.__getitem__, default=None)


def _build(task: Task, name: str) -> TaskNetwork:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        try:
            network = task.make(name, CLASSES)
        except MissingExtra as error:
            raise SkippedCheck(str(error)) from None
    need(isinstance(network, TaskNetwork), f"make returned {type(network).__name__}, which is no TaskNetwork")
    return network


def _images(network: TaskNetwork, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Two pictures, float ``[2,channels,H,W]``."""
    return sample_images(2, *size, seed)[2].float()[:, : network.channels] / 255


def _loss(network: TaskNetwork, targets: list[Target]) -> None:
    """A finite scalar with a gradient in the images; a second derivative too, unless it is a two-stage detector."""
    network.train()
    images = _images(network, SIZE).requires_grad_()
    with second_order():
        loss = network.loss(images, targets)
    need(loss.ndim == 0, f"loss returned {list(loss.shape)}; expected a scalar")
    need(loss.isfinite(), f"loss is {loss.item()}")
    need(loss.requires_grad, "loss cannot be differentiated in the images")
    (slope,) = torch.autograd.grad(loss, images, create_graph=not network.two_stage, allow_unused=True)
    need(slope is not None and slope.isfinite().all() and slope.any(), "loss has no finite gradient in the images")
    if network.two_stage:
        return
    need(slope.requires_grad, "the gradient of loss cannot be differentiated again in the images")
    direction = torch.linspace(-1, 1, slope.numel()).view_as(slope)
    (curvature,) = torch.autograd.grad((slope * direction).sum(), images, allow_unused=True)
    need(
        curvature is not None and curvature.isfinite().all() and curvature.any(),
        "loss has no finite second derivative in the images",
    )


def _ignored_loss(network: TaskNetwork, targets: list[Target]) -> None:
    """Finite, as its gradient in the weights, where all of every mask is ignored."""
    network.train()
    empty = [replace(t, mask=None if t.mask is None else torch.full_like(t.mask, IGNORED)) for t in targets]
    loss = network.loss(_images(network, SIZE), empty)
    need(loss.isfinite(), f"loss of masks that are ignored everywhere is {loss.item()}")
    if loss.requires_grad:
        weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
        slopes = torch.autograd.grad(loss, weights, allow_unused=True)
        need(
            all(slope is None or slope.isfinite().all() for slope in slopes),
            "loss of masks that are ignored everywhere has a gradient that is not finite",
        )


def _predictions(network: TaskNetwork, label: Label) -> None:
    """One for each image, at its size, and the network as it was before; features that have a gradient."""
    for size in (SIZE, ODD_SIZE):
        network.train()
        images = _images(network, size)
        predictions = network.predict(images)
        need(network.training, "predict left the network in another mode")
        need(len(predictions) == 2, f"predict returned {len(predictions)} predictions for 2 images")
        for prediction in predictions:
            CHECKS[label](prediction, size)
    if network.two_stage:
        return
    network.eval()
    features = network.features(_images(network, SIZE).requires_grad_())
    need(features.ndim == 4 and len(features) == 2, f"features returned {list(features.shape)}; expected [2,C,h,w]")
    need(features.requires_grad, "features cannot be differentiated in the images")


def _mask(prediction: Prediction, size: tuple[int, int]) -> None:
    mask = prediction.mask
    need(mask is not None and mask.shape == size, f"a mask of {size} is expected, got {_shape(mask)}")
    assert mask is not None
    need(mask.dtype == torch.int64, f"a mask is int64, got {mask.dtype}")
    need(mask.min() >= 0 and mask.max() < len(CLASSES), f"mask ids are 0..{len(CLASSES) - 1}, got {int(mask.max())}")


def _saliency(prediction: Prediction, size: tuple[int, int]) -> None:
    saliency = prediction.saliency
    shape = (1, *size)
    need(saliency is not None and saliency.shape == shape, f"a map of {shape} is expected, got {_shape(saliency)}")
    assert saliency is not None
    need(saliency.min() >= 0 and saliency.max() <= 1, "saliency lies in [0,1]")


def _boxes(prediction: Prediction, size: tuple[int, int]) -> None:
    boxes, scores, labels = prediction.boxes, prediction.scores, prediction.labels
    need(boxes is not None and scores is not None and labels is not None, "boxes, scores and labels are needed")
    assert boxes is not None
    assert scores is not None
    assert labels is not None
    count = len(boxes)
    need(
        boxes.shape == (count, 4) and scores.shape == labels.shape == (count,),
        f"boxes {_shape(boxes)}, scores {_shape(scores)}, labels {_shape(labels)}: expected [N,4], [N], [N]",
    )
    if not count:
        return
    need((scores.diff() <= 0).all() and scores[-1] >= 0 and scores[0] <= 1, "scores lie in [0,1], best first")
    need(labels.min() >= 0 and labels.max() < len(CLASSES), f"labels are 0..{len(CLASSES) - 1}")
    inside = boxes.min() >= 0 and (boxes[:, 2:].amax(0) <= torch.tensor([size[1], size[0]])).all()
    need(inside, "boxes reach beyond the image")


CHECKS: dict[Label, Callable[[Prediction, tuple[int, int]], None]] = {
    "mask": _mask,
    "boxes": _boxes,
    "saliency": _saliency,
}


def _shape(value: Tensor | None) -> str:
    return "none" if value is None else str(list(value.shape))


def _threads(network: TaskNetwork) -> None:
    """Two threads with a batch each against one after the other."""
    network.eval()
    batches = [_images(network, SIZE, seed) for seed in (0, 1)]
    alone = [network.predict(batch) for batch in batches]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(network.predict, batches))
    same = all(_alike(a, b) for one, two in zip(alone, together, strict=True) for a, b in zip(one, two, strict=True))
    need(same, "with another thread beside it predict returned another prediction; keep no state in the network")


def _alike(a: Prediction, b: Prediction) -> bool:
    for field in fields(Prediction):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if (x is None) != (y is None):
            return False
        if x is not None and (x.shape != y.shape or not torch.allclose(x.double(), y.double(), atol=1e-4)):
            return False
    return True


def _scores(task: Task) -> None:
    """Of every column the truth, given as a prediction, has a better value than wrong predictions."""
    classes = CLASSES if task.needs != "saliency" else ("salient",)
    target = task.target(labelled_sample(task.needs, *SIZE))
    confidence = None if target.boxes is None else torch.linspace(0.9, 0.8, len(target.boxes))
    truth = Prediction(target.mask, target.boxes, confidence, target.labels, target.saliency)
    values = []
    for prediction in (truth, *_wrong(truth)):
        scores = task.scores(classes)
        scores.update(prediction, target)
        values.append(scores.compute())
        need(set(scores.per_class()) <= set(classes), "per_class names what is no class")
    for column, _ in task.card.facts.columns:
        need(column in values[0], f"columns names {column!r}, which compute() does not return")
        best, *worse = (value[column] for value in values)
        need(all(best > value for value in worse), f"{column} of the truth is {best}, of something wrong {max(worse)}")


def _wrong(truth: Prediction) -> list[Prediction]:
    """Everything moved; and everything turned around, or nothing at all."""
    if truth.mask is not None:
        return [replace(truth, mask=mask) for mask in (truth.mask.roll(9, 1), (truth.mask + 1) % len(CLASSES))]
    if truth.boxes is not None and truth.scores is not None and truth.labels is not None:
        nothing = replace(truth, boxes=truth.boxes[:0], scores=truth.scores[:0], labels=truth.labels[:0])
        return [replace(truth, boxes=truth.boxes + 20), nothing]
    assert truth.saliency is not None
    return [replace(truth, saliency=saliency) for saliency in (truth.saliency.roll(9, 2), 1 - truth.saliency)]
