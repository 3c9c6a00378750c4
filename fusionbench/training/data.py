"""A dataset's split for training: samples with labels, cut, flipped and resized together, and batches of them.

Augmentation takes its randomness from (seed, epoch, index, salt) alone: the order of reading and the number of
workers do not matter.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.data import Boxes, Dataset, Sample
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.pixels.images import image_size
from fusionbench.training.decoded import Decoded
from fusionbench.training.order import randomness

Size = tuple[int, int]  # height, width
LABELS = ("mask", "boxes", "saliency")

# ---------------------------------------------------------------- one sample


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

    def cut(image: np.ndarray) -> np.ndarray:
        return image[..., top : top + height, left : left + width]

    return _changed(sample, cut, cut, lambda boxes: _clipped(boxes, top, left, size, visible))


def _clipped(boxes: Boxes, top: int, left: int, size: Size, visible: float) -> Boxes:
    old = boxes.xyxy - (left, top, left, top)
    new = old.clip(0, [size[1], size[0], size[1], size[0]])
    rest = (new[:, 2:] - new[:, :2]).prod(1) / (old[:, 2:] - old[:, :2]).prod(1)
    stay = (rest >= visible) & ((new[:, 2:] - new[:, :2]) >= 1).all(1)
    flags = None if boxes.difficult is None else boxes.difficult[stay]
    return Boxes(new[stay], boxes.labels[stay], flags)


def flip(sample: Sample) -> Sample:
    """Mirror left and right."""
    width = sample.ir.shape[2]

    def mirror(image: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(image[..., ::-1])

    def mirrored(boxes: Boxes) -> Boxes:
        x1, y1, x2, y2 = boxes.xyxy.T
        return replace(boxes, xyxy=np.stack([width - x2, y1, width - x1, y2], 1))

    return _changed(sample, mirror, mirror, mirrored)


def resize(sample: Sample, size: Size) -> Sample:
    """Resize to (height, width): images bilinear (with antialiasing when they shrink), maps to the nearest pixel."""
    old = sample.ir.shape[1:]
    if old == size:
        return sample
    rows, columns = (_nearest(before, after) for before, after in zip(old, size, strict=True))
    scale = np.array([size[1] / old[1], size[0] / old[0]] * 2)

    def smooth(image: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(image))[None].float()
        y = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
        return y[0].round_().clamp_(0, 255).byte().numpy()

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
    image: Callable[[np.ndarray], np.ndarray],
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
                "(height x width); use a smaller crop, or resize"
            )


# ---------------------------------------------------------------- batches


def label_tensors(sample: Sample) -> dict[str, Tensor]:
    """The labels that a sample has.

    Returns:
        ``mask`` int64 ``[H,W]``; ``boxes`` float32 ``[N,4]`` (left, top, right, bottom in pixels) with ``labels`` int64
        ``[N]``; ``saliency`` float32 ``[1,H,W]`` in [0,1].
    """
    labels = {}
    if sample.mask is not None:
        labels["mask"] = torch.from_numpy(sample.mask.astype(np.int64))
    if sample.boxes is not None:
        labels["boxes"] = torch.from_numpy(sample.boxes.xyxy.astype(np.float32))
        labels["labels"] = torch.from_numpy(sample.boxes.labels.astype(np.int64))
    if sample.saliency is not None:
        labels["saliency"] = torch.from_numpy(sample.saliency.astype(np.float32) / 255)[None]
    return labels


@dataclass
class Batch:
    """Samples of one size.

    Attributes:
        ids: file stems.
        ir: float32 ``[B,1,H,W]`` in [0,1].
        vis: float32 ``[B,3,H,W]`` in [0,1].
        targets: labels of each sample, as the split's ``target`` makes them.
    """

    ids: list[str]
    ir: Tensor
    vis: Tensor
    targets: list[Any] = field(default_factory=list)

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device; targets are dicts of tensors or have a ``to`` of their own."""
        return Batch(self.ids, self.ir.to(device), self.vis.to(device), [_moved(t, device) for t in self.targets])


def _moved(target: Any, device: torch.device | str) -> Any:
    return {k: v.to(device) for k, v in target.items()} if isinstance(target, dict) else target.to(device)


def collate(samples: Sequence[Sample], target: Callable[[Sample], Any] = label_tensors) -> Batch:
    """A batch of samples.

    Raises:
        DataError: they differ in size.
    """
    for sample in samples[1:]:
        if sample.ir.shape != samples[0].ir.shape:
            (h, w), (height, width) = samples[0].ir.shape[1:], sample.ir.shape[1:]
            raise DataError(
                f"{samples[0].id} is {h}x{w} and {sample.id} is {height}x{width} (height x width): "
                "a batch needs one size; set a crop or a resize"
            )
    ir, vis = (torch.from_numpy(np.stack([getattr(s, role) for s in samples])).float() for role in ("ir", "vis"))
    ir, vis = ir.div_(255), vis.div_(255)
    return Batch([s.id for s in samples], ir, vis, [target(s) for s in samples])


class TrainingSplit:
    """A split of a dataset as batches.

    Args:
        dataset: where from.
        split: name of the split, or a list file.
        augment: what happens to each sample; None leaves them as they are.
        needs: labels that every sample must have: ``mask``, ``boxes``, ``saliency``.
        target: labels of an augmented sample as tensors.
        limit: only the first so many.

    A subclass that overrides :meth:`decode` may put other images (fused ones) in the place of a sample's, and names
    their files in :meth:`sources`.

    Attributes:
        decoded: what :meth:`read` takes samples from in the place of their files; None until there is one.
    """

    decoded: Decoded | None = None

    def __init__(
        self,
        dataset: Dataset,
        split: str = "train",
        augment: Augment | None = None,
        needs: Sequence[str] = (),
        target: Callable[[Sample], Any] = label_tensors,
        limit: int | None = None,
    ) -> None:
        self.dataset, self.split, self.augment = dataset, split, augment
        self.needs, self.target = tuple(needs), target
        self.ids = dataset.ids(split)[:limit]

    def __len__(self) -> int:
        return len(self.ids)

    def names(self, indices: Sequence[int]) -> list[str]:
        """Ids."""
        return [self.ids[i] for i in indices]

    def read(self, index: int) -> Sample:
        """The sample as it is on disk, with its labels where the split needs any."""
        return (self.decoded.read(index) if self.decoded else None) or self.decode(index)

    def decode(self, index: int) -> Sample:
        """What :meth:`read` gives, from the files."""
        sample = self.dataset.pair(self.split, self.ids[index])
        return self.dataset.read_labels(sample) if self.needs else sample

    def sources(self, index: int) -> dict[str, Path]:
        """The files that :meth:`decode` reads, by role."""
        files = self.dataset.files(self.split, self.ids[index])
        roles = ("ir", "vis", *(LABELS if self.needs else ()))
        return {role: path for role in roles if (path := getattr(files, role)) is not None}

    def reading(self) -> str:
        """What :meth:`decode` depends on besides these files: the way to read them, and others' code."""
        own, card = Path(inspect.getfile(type(self))), self.dataset.card.facts
        said = [repr(self.dataset.reading), msgspec.to_builtins(card.classes), card.ignore_index, self.dataset.own_code]
        return json.dumps([*said, hashlib.sha256(own.read_bytes()).hexdigest()], sort_keys=True)

    def sample(self, index: int, seed: int, epoch: int, salt: int = 0) -> Sample:
        """The sample as an epoch sees it; the same for the same arguments."""
        sample = self.read(index)
        return self.augment(sample, randomness(seed, epoch, index, salt)) if self.augment else sample

    def batch(self, indices: Sequence[int], seed: int, epoch: int, salt: int = 0) -> Batch:
        """Samples as an epoch sees them, together."""
        return collate([self.sample(i, seed, epoch, salt) for i in indices], self.target)

    def check(self) -> None:
        """Look at every file's header and every label that is needed, before training.

        Raises:
            DataError: no pairs, a missing image or label, a label that does not fit, an image below the crop.
        """
        name = self.dataset.name
        if not self.ids:
            absent = self.dataset.unmatched(self.split)
            raise DataError(
                absent or f"{name} {self.split}: no pairs under {self.dataset.root}; there is nothing to train on"
            )
        self.dataset.check_depth(self.split, self.ids)
        for ident in self.ids:
            files = self.dataset.files(self.split, ident)
            if files.ir is None or files.vis is None or image_size(files.ir) != image_size(files.vis):
                self.dataset.pair(self.split, ident)  # raises what is wrong
            assert files.ir is not None
            width, height = image_size(files.ir)
            for label in self.needs:
                if getattr(files, label) is None:
                    raise DataError(f"{name} {ident}: no {label} file in split {self.split}, which this recipe needs")
            if self.needs:
                blank = np.broadcast_to(np.uint8(0), (3, height, width))
                self.dataset.read_labels(Sample(ident, self.split, blank[:1], blank))
            if self.augment:
                self.augment.fits(f"{name} {ident}", (height, width))
