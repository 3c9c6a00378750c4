"""A training sample cut, mirrored and resized together with its labels.

Images are arrays in this process or tensors on a device (:mod:`.resident`); labels are arrays in either case. Cutting
and mirroring move values and change none; resizing may round otherwise on a graphics card than on the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.data import Boxes, Sample
from fusionbench.errors import DataError, FusionbenchError

Size = tuple[int, int]  # height, width


def crop(sample: Sample, top: int, left: int, size: Size, visible: float = 0.3) -> Sample:
    """Cut a window of ``size`` (height, width) out of images and labels.

    Args:
        sample: pair and labels.
        top: first row.
        left: first column.
        size: of the window, which lies inside the image.
        visible: boxes of which a smaller share of the area is left are dropped; the others are clipped.
    """
    height, width = size
    if top < 0 or left < 0 or top + height > sample.ir.shape[1] or left + width > sample.ir.shape[2]:
        raise ValueError(f"{sample.id}: window {height}x{width} at {top}, {left} leaves the image")

    def cut(image: Any) -> Any:
        return image[..., top : top + height, left : left + width]

    return _changed(sample, cut, cut, lambda boxes: _clipped(boxes, top, left, size, visible))


def _clipped(boxes: Boxes, top: int, left: int, size: Size, visible: float) -> Boxes:
    old = boxes.xyxy - (left, top, left, top)
    new = old.clip(0, [size[1], size[0], size[1], size[0]])
    rest = (new[:, 2:] - new[:, :2]).prod(1) / (old[:, 2:] - old[:, :2]).prod(1)
    stay = (rest >= visible) & ((new[:, 2:] - new[:, :2]) >= 1).all(1)
    flags = None if boxes.difficult is None else boxes.difficult[stay]
    return Boxes(new[stay], boxes.labels[stay], flags)


def mirror(image: Any) -> Any:
    """An image or map the other way round, left and right."""
    return image.flip(-1) if isinstance(image, Tensor) else np.ascontiguousarray(image[..., ::-1])


def flip(sample: Sample) -> Sample:
    """Mirror left and right."""
    width = sample.ir.shape[2]

    def mirrored(boxes: Boxes) -> Boxes:
        x1, y1, x2, y2 = boxes.xyxy.T
        return replace(boxes, xyxy=np.stack([width - x2, y1, width - x1, y2], 1))

    return _changed(sample, mirror, mirror, mirrored)


def resize(sample: Sample, size: Size) -> Sample:
    """Resize to (height, width): images bilinear (with antialiasing when they shrink), maps to the nearest pixel."""
    old = tuple(sample.ir.shape[1:])
    if old == size:
        return sample
    rows, columns = (_nearest(before, after) for before, after in zip(old, size, strict=True))
    scale = np.array([size[1] / old[1], size[0] / old[0]] * 2)

    def smooth(image: Any) -> Any:
        here = isinstance(image, Tensor)
        x = (image if here else torch.from_numpy(np.ascontiguousarray(image)))[None].float()
        y = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
        rounded = y[0].round_().clamp_(0, 255).byte()
        return rounded if here else rounded.numpy()

    return _changed(
        sample,
        smooth,
        lambda label: label[rows[:, None], columns],
        lambda boxes: replace(boxes, xyxy=boxes.xyxy * scale),
    )


def _nearest(before: int, after: int) -> np.ndarray:
    return np.minimum(((np.arange(after) + 0.5) * (before / after)).astype(np.int64), before - 1)


def _changed(
    sample: Sample,
    image: Callable[[Any], Any],
    label: Callable[[np.ndarray], np.ndarray],
    boxes: Callable[[Boxes], Boxes],
) -> Sample:
    return replace(
        sample,
        ir=image(sample.ir),
        vis=image(sample.vis),
        mask=None if sample.mask is None else label(sample.mask),
        saliency=None if sample.saliency is None else label(sample.saliency),
        boxes=None if sample.boxes is None else boxes(sample.boxes),
    )


def fitting_crop(image: Size, wanted: Size, multiple: int = 32) -> Size:
    """The wanted crop, or in each direction where the image is smaller the largest multiple that fits.

    Raises:
        FusionbenchError: the image is smaller than one multiple.
    """
    size = tuple(w if w <= have else have // multiple * multiple for have, w in zip(image, wanted, strict=True))
    if min(size) == 0:
        raise FusionbenchError(
            f"images of {image[0]}x{image[1]} (height x width) are too small: at least {multiple}x{multiple}"
        )
    return (size[0], size[1])


@dataclass(frozen=True)
class Augment:
    """What happens to a training sample, in this order.

    Attributes:
        resize: to this height and width.
        scale: then by a random factor in this range, but never below the crop.
        crop: then a random window of this height and width.
        flip: probability of mirroring left and right.
        visible: share of a box that must be left in the window.
    """

    resize: Size | None = None
    scale: tuple[float, float] | None = None
    crop: Size | None = None
    flip: float = 0.5
    visible: float = 0.3

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The changed sample.

        Raises:
            DataError: smaller than the crop.
        """
        if self.resize:
            sample = resize(sample, self.resize)
        height, width = sample.ir.shape[1:]
        self.fits(sample.id, (height, width))
        if self.scale:
            factor = rng.uniform(*self.scale)
            least = self.crop or (1, 1)
            sample = resize(sample, (max(least[0], round(height * factor)), max(least[1], round(width * factor))))
        if self.crop:
            height, width = sample.ir.shape[1:]
            top, left = rng.integers(height - self.crop[0] + 1), rng.integers(width - self.crop[1] + 1)
            sample = crop(sample, int(top), int(left), self.crop, self.visible)
        return flip(sample) if rng.random() < self.flip else sample

    def fits(self, name: str, image: Size) -> None:
        """Compare an image's height and width, as on disk or resized, with the crop.

        Raises:
            DataError: smaller than the crop.
        """
        height, width = self.resize or image
        if self.crop and (height < self.crop[0] or width < self.crop[1]):
            raise DataError(
                f"{name}: the image is {height}x{width}, smaller than the crop of {self.crop[0]}x{self.crop[1]} "
                "(height x width); use a smaller crop, or resize (many recipes call the crop patch)"
            )
