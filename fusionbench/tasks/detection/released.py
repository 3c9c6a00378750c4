"""YOLOX that others trained on COCO: the classes, how they see a picture, which of their boxes count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.errors import FusionbenchError
from fusionbench.tasks.network import IMAGENET_MEAN, IMAGENET_STD, Normalise, Prediction, Target, TaskNetwork

if TYPE_CHECKING:
    from fusionbench.tasks.openmmlab.detector import DetectionNetwork

# By id; the names of COCO's instances, from which a dataset's classes are found.
COCO = (
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
)


@dataclass(frozen=True)
class Convention:
    """How a released detector sees a picture, and which of its boxes count.

    Attributes:
        size: a picture is scaled to fit into this height and width, lies top left, and the rest is grey.
        grey: its level, 0..255.
        mean: per channel in RGB order, of 255.
        std: likewise.
        bgr: whether the network takes blue first.
        confidence: boxes with a score at or below are dropped.
        nms: boxes that overlap a better one of their class by more than this IoU are dropped.
        boxes: most boxes of a picture and class.
        every: whether a cell of the network stands for each class with enough of a score, or for its best one alone.
    """

    size: tuple[int, int]
    grey: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = True
    confidence: float = 0.01
    nms: float = 0.65
    boxes: int = 100
    every: bool = False

    def __str__(self) -> str:
        size, kind = f"{self.size[0]}x{self.size[1]}", "every" if self.every else "best"
        return f"{size}+{kind}+score{self.confidence:g}+nms{self.nms:g}+max{self.boxes}"

    @property
    def clause(self) -> str:
        """In words."""
        each = "every class of a cell" if self.every else "the best class of a cell"
        return (
            f"pictures fitted into {self.size[0]}x{self.size[1]}, top left, the rest grey {self.grey}; {each} with a "
            f"score above {self.confidence:g}; NMS at {self.nms:g} within a class; {self.boxes} boxes of a class"
        )


# Files name one of these; a number of a file's own would be without bound.
CONVENTIONS = {
    # bubbliiiing/yolox-pytorch and its ONNX exports
    "yolox-pytorch": Convention((640, 640), 128, IMAGENET_MEAN, IMAGENET_STD, bgr=False, every=True),
    # mmdetection's test pipelines of YOLOX-s, and of YOLOX-tiny and -nano
    "mmdet-640": Convention((640, 640), 114),
    "mmdet-416": Convention((416, 416), 114),
}


def rule_of(name: str) -> Convention:
    """One of :data:`CONVENTIONS`.

    Raises:
        FusionbenchError: there is none of this name.
    """
    if name not in CONVENTIONS:
        raise FusionbenchError(f"no way to see pictures is called {name!r}; known are {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]


class Letterboxed(TaskNetwork):
    """A released YOLOX that gets pictures of any size as it knows them; boxes are the picture's.

    Args:
        network: the detector, three channels; its normalisation is replaced.
        rule: how it sees pictures.
    """

    def __init__(self, network: DetectionNetwork, rule: Convention) -> None:
        super().__init__()
        if network.channels != 3:
            raise FusionbenchError("detectors that others released see colours; channels=1 is none of theirs")
        self.network, self.rule = network, rule
        self.channels, self.two_stage = network.channels, network.two_stage
        network.normalise = Normalise(rule.mean, rule.std, bgr=rule.bgr)

    def loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        """The detector's own loss.

        Args:
            images: ``[B,3,H,W]`` in [0,1].
            targets: boxes ``[N,4]`` in pixels of the images, and labels ``[N]``.

        Raises:
            ValueError: a target without boxes.
        """
        seen, scale = letterbox(images, self.rule)
        scaled = [t if t.boxes is None else replace(t, boxes=t.boxes * t.boxes.new_tensor(scale)) for t in targets]
        return self.network.loss(seen, scaled)

    def predict(self, images: Tensor) -> list[Prediction]:
        """Boxes within the picture, best first.

        Args:
            images: ``[B,3,H,W]`` in [0,1].
        """
        from fusionbench.tasks.openmmlab.yolox import kept, scored_boxes

        rule = self.rule
        seen, scale = letterbox(images, rule)
        edges = images.new_tensor([images.shape[3], images.shape[2]] * 2)
        found = []
        for every, scores in zip(*scored_boxes(self.network, seen), strict=True):
            boxes, score, labels = kept(every, scores, rule.confidence, rule.nms, rule.boxes, rule.every)
            boxes = torch.minimum((boxes / boxes.new_tensor(scale)).clamp(min=0), edges)
            found.append(Prediction(boxes=boxes, scores=score, labels=labels))
        return found

    def features(self, images: Tensor) -> Tensor:
        """The last level of the neck, ``[B,C',h/32,w/32]`` of the letterboxed pictures ``[B,3,h,w]``."""
        return self.network.features(letterbox(images, self.rule)[0])


def letterbox(images: Tensor, rule: Convention) -> tuple[Tensor, list[float]]:
    """Pictures ``[B,C,H,W]`` in [0,1] as a network knows them, and the factors of left, top, right, bottom."""
    height, width = images.shape[2:]
    factor = min(rule.size[0] / height, rule.size[1] / width)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    if size != (height, width):
        images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    more = (0, rule.size[1] - size[1], 0, rule.size[0] - size[0])
    return F.pad(images, more, value=rule.grey / 255), [size[1] / width, size[0] / height] * 2
