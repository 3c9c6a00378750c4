"""A dataset's split for training: samples with labels, cut, flipped and resized together, and batches of them.

Augmentation takes its randomness from (seed, epoch, index, salt) alone: the order of reading and the number of
workers do not matter.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from fusionbench.data import Dataset, Sample
from fusionbench.errors import DataError
from fusionbench.pixels.images import image_size
from fusionbench.training.augment import Augment as Augment  # recipes take these from here
from fusionbench.training.augment import crop as crop
from fusionbench.training.augment import fitting_crop as fitting_crop
from fusionbench.training.augment import flip as flip
from fusionbench.training.augment import mirror as mirror
from fusionbench.training.augment import resize as resize
from fusionbench.training.decoded import Decoded
from fusionbench.training.order import randomness

LABELS = ("mask", "boxes", "saliency")

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
    ir, vis = (stacked([getattr(s, role) for s in samples]) for role in ("ir", "vis"))
    return Batch([s.id for s in samples], ir, vis, [target(s) for s in samples])


def stacked(images: Sequence[Any]) -> Tensor:
    """Images uint8 ``[C,H,W]``, arrays or tensors on a device, as float32 ``[B,C,H,W]`` in [0,1], where they are."""
    whole = torch.stack(list(images)) if isinstance(images[0], Tensor) else torch.from_numpy(np.stack(images))
    return whole.float().div_(255)


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
        resident: samples whose images lie on a device, which :meth:`held` gives; None until there are.
    """

    decoded: Decoded | None = None
    resident: list[Sample] | None = None

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

    def held(self, index: int) -> Sample:
        """What :meth:`read` gives, to be augmented: ``ir`` and ``vis`` are tensors on a device where they lie there."""
        return self.read(index) if self.resident is None else self.resident[index]

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
        sample = self.held(index)
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
