"""Mean intersection over union: one confusion matrix, and the conventions in print as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Convention:
    """Which classes the mean is taken over, and what a class without pixels counts.

    Attributes:
        background: whether class 0 is one of them.
        absent: ``zero``: every class is in the mean, one without any pixel as 0. ``skip``: a class that neither the
            prediction nor the ground truth has is left out. ``skip-unlabelled``: a class that the ground truth does
            not have is left out, whatever was predicted.
        used_by: evaluators with this convention.
    """

    background: bool
    absent: str
    used_by: str = ""


CONVENTIONS = {
    "tdfusion": Convention(True, "zero", "TDFusion (bubbliiiing/segformer-pytorch)"),
    "skip-bg": Convention(False, "zero", "14-class FMB tables (Road-Former issue 5)"),
    "present": Convention(True, "skip-unlabelled", "SegMiF utils/eval_seg.py"),
    "mmseg": Convention(True, "skip", "mmsegmentation IoUMetric"),
}


class Confusion:
    """The confusion matrix of a data set, from which every convention of mIoU can be computed again.

    ``IoU_c = m[c,c] / max(sum_j m[c,j] + sum_i m[i,c] - m[c,c], 1)``, 0 to 1, higher is better; ``mIoU`` is the
    mean over the classes that the convention names, NaN where it names none. Everingham et al., IJCV 88, 2010,
    section 4.1; the conventions are those of :data:`CONVENTIONS`.

    Pixels whose label is the ignore index, or is no class at all (below 0, or n and above), are not scored; how many
    there were is counted in ``dropped``. Pixels of class 0 are scored under every convention: ``skip-bg`` leaves its
    IoU out of the mean, and a false alarm on the background still counts against the class that was predicted.

    Args:
        classes: n, the number of classes, class 0 included.
        ignore_index: the label that is not scored, or None. It may be one of 0..n-1.
        matrix: a matrix stored before, int64 ``[n,n]``.

    Attributes:
        matrix: int64 ``[n,n]``, pixels by true class (row) and predicted class (column).
        dropped: pixels not scored: ``ignored`` (the ignore index) and ``outside`` (no class).
    """

    def __init__(self, classes: int, ignore_index: int | None = None, matrix: ArrayLike | None = None) -> None:
        self.classes = classes
        self.ignore_index = ignore_index
        self.matrix = np.zeros((classes, classes), np.int64) if matrix is None else np.array(matrix, np.int64)
        self.dropped = {"ignored": 0, "outside": 0}
        if self.matrix.shape != (classes, classes):
            raise ValueError(f"a matrix of {classes} classes is [{classes},{classes}], got {list(self.matrix.shape)}")

    def update(self, pred: Tensor | NDArray[np.integer], target: Tensor | NDArray[np.integer]) -> None:
        """Add one image, or a batch of one size.

        Args:
            pred: predicted class ids, integer ``[...,H,W]``, at the resolution of the label
                (:func:`at_label_resolution` makes them from logits).
            target: true class ids, same shape.

        Raises:
            ValueError: when the shapes differ, or a scored pixel was given an id that is no class.
        """
        pred, target = torch.as_tensor(pred), torch.as_tensor(target)
        if pred.shape != target.shape:
            raise ValueError(
                f"scores are taken at the label's resolution: label {list(target.shape)}, "
                f"prediction {list(pred.shape)}; resize the logits, then take the argmax"
            )
        n = self.classes
        p, t = pred.reshape(-1).long(), target.to(pred.device).reshape(-1).long()
        ignored = torch.zeros_like(t, dtype=torch.bool) if self.ignore_index is None else t == self.ignore_index
        outside = ((t < 0) | (t >= n)) & ~ignored
        scored = ~(ignored | outside)
        p, t = p[scored], t[scored]
        if p.numel() and (int(p.min()) < 0 or int(p.max()) >= n):
            raise ValueError(f"predicted class ids are 0 to {n - 1}, got {int(p.min())} to {int(p.max())}")
        self.matrix += torch.bincount(t * n + p, minlength=n * n).view(n, n).cpu().numpy()
        self.dropped["ignored"] += int(ignored.sum())
        self.dropped["outside"] += int(outside.sum())

    def merge(self, other: Confusion) -> None:
        """Add what another process or part of the data set counted.

        Raises:
            ValueError: when it counted other classes or ignored another label.
        """
        if (self.classes, self.ignore_index) != (other.classes, other.ignore_index):
            raise ValueError("only confusion matrices of the same classes and ignore index can be added")
        self.matrix += other.matrix
        for reason, count in other.dropped.items():
            self.dropped[reason] += count

    def iou(self) -> NDArray[np.float64]:
        """IoU of each class, float64 ``[n]``; NaN for a class that neither prediction nor ground truth has."""
        hits, union = self._counts()
        return np.where(union > 0, hits / np.maximum(union, 1), np.nan)

    def miou(self, convention: str = "tdfusion") -> float:
        """The mean of the IoU over the classes of a convention; NaN where there is none.

        Raises:
            ValueError: an unknown convention, or truth in which all that is not class 0 was left out, so that a network
                that sees nothing would be perfect.
        """
        if convention not in CONVENTIONS:
            raise ValueError(f"convention is one of {', '.join(CONVENTIONS)}, got {convention!r}")
        if any(self.dropped.values()) and self.matrix[0].any() and not self.matrix[1:].any():
            raise ValueError(
                f"the labels are class 0 and {sum(self.dropped.values())} pixels that are not scored "
                f"(ignore_index={self.ignore_index}, classes=0..{self.classes - 1}); if objects are drawn as 255, "
                "write their class ids"
            )
        rule = CONVENTIONS[convention]
        hits, union = self._counts()
        counted = {
            "zero": np.ones(self.classes, bool),
            "skip": union > 0,
            "skip-unlabelled": self.matrix.sum(1) > 0,
        }[rule.absent]
        counted[0] &= rule.background
        iou = (hits / np.maximum(union, 1))[counted]
        return float(iou.mean()) if iou.size else float("nan")

    def compute(self) -> dict[str, float]:
        """``miou@NAME`` for every convention."""
        return {f"miou@{name}": self.miou(name) for name in CONVENTIONS}

    def _counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Correct pixels, and pixels of the union, of each class."""
        hits = np.diag(self.matrix)
        return hits, self.matrix.sum(0) + self.matrix.sum(1) - hits


def at_label_resolution(logits: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Class ids at the size of the label: logits resized bilinearly, then the argmax.

    Args:
        logits: ``[B,n,h,w]``.
        size: height and width of the label.
        align_corners: the grid of the resize: False as in mmsegmentation, True as in TDFusion.

    Returns:
        int64 ``[B,H,W]``.
    """
    if tuple(logits.shape[-2:]) != tuple(size):
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=align_corners)
    return logits.argmax(1)
