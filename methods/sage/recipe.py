"""Training SAGE's student by its own losses, and by a teacher's pictures where there are some.

Wu et al., CVPR 2025; values and procedure of the authors' ``train.py`` and ``model_sub/losses.py``. There a teacher
that needs SAM and X-Decoder learns in turn with the student. It is not part of this: ``teacher=FOLDER`` names its fused
pictures of the training split (or another method's, as ``fusionbench fuse`` writes them), one of the pair's name each.
Left out are the distance of features to the teacher's (0.3 there) and the contrast of SAM's features within its masks
(1/3000). Every second batch there is the teacher's, so that half of the cosine is run; here each is the student's, and
the rate falls over the same half.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from fusionbench.data import Sample
from fusionbench.errors import DataError
from fusionbench.images import grey, read_image
from fusionbench.methods.losses.distillation import student_gradient, student_intensity
from fusionbench.methods.pair_recipe import PairRecipe, PairSettings
from fusionbench.training.data import Augment, Batch, TrainingSplit
from fusionbench.training.settings import Count, NotNegative, Positive, Presets

from .network import SAGENet


@dataclass(frozen=True, kw_only=True)
class SAGESettings(PairSettings):
    """Each value with its source: code (the authors') or ours."""

    split: str = "train"  # code: of FMB
    batch: Count = 4  # code
    patch: Count = 192  # height of the random windows; code
    width: Count = 256  # of them; code
    lr: Positive = 2e-3  # of Adam; code
    lr_last: Positive = 1e-5  # at the end of the whole cosine; code
    intensity: NotNegative = 3.0  # code
    gradient: NotNegative = 3.0  # code
    teacher: str = ""  # folder of the teacher's pictures; ours, code: a network that learns along
    epochs: Count = 100  # code


class Taught(TrainingSplit):
    """A split whose pairs bring a teacher's picture along, in the place of a saliency map.

    Args:
        split: as it is without.
        folder: of the pictures.
    """

    def __init__(self, split: TrainingSplit, folder: Path) -> None:
        super().__init__(split.dataset, split.split, split.augment)
        if not folder.is_dir():
            raise DataError(f"teacher={folder}: no such folder of pictures")
        self.files = {path.stem: path for path in sorted(folder.iterdir()) if path.is_file()}

    def read(self, index: int) -> Sample:
        """The pair with the teacher's grey levels ``[H,W]``.

        Raises:
            DataError: there is no picture of the pair, or it has another size.
        """
        sample = super().read(index)
        path = self.files.get(sample.id)
        if path is None:
            raise DataError(f"{sample.id}: the teacher's folder has no picture of that name")
        levels = grey(read_image(path))[0]
        if levels.shape != sample.ir.shape[1:]:
            here, wanted = ("x".join(map(str, shape)) for shape in (levels.shape, sample.ir.shape[1:]))
            raise DataError(f"{path}: is {here}, the pair is {wanted} (height x width)")
        return replace(sample, saliency=levels)

    def check(self) -> None:
        """Also that every pair has its picture."""
        super().check()
        for index in range(len(self)):
            self.read(index)


class SAGERecipe(PairRecipe[SAGESettings]):
    """One network; the terms of a teacher's pictures only where there are some."""

    presets = Presets(
        record=SAGESettings,
        sizes={"tiny": {"batch": 4, "patch": 32, "width": 32, "lr": 5e-3, "epochs": 12}},
    )

    def network(self) -> SAGENet:
        """See :meth:`PairRecipe.network`."""
        return SAGENet()

    def augment(self, settings: SAGESettings) -> Augment:
        """Random windows, mirrored half of the time."""
        return Augment(crop=(settings.patch, settings.width), flip=0.5)

    def build(self, settings: SAGESettings, device: torch.device) -> None:
        """See :meth:`Recipe.build`.

        Raises:
            DataError: no such folder of a teacher's pictures.
        """
        super().build(settings, device)
        if settings.teacher:
            self.pairs = Taught(self.pairs, Path(settings.teacher))

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """See :meth:`Recipe.step`."""
        taught = [target["saliency"] for target in batch.targets if "saliency" in target]
        self.teacher = torch.stack(taught).to(self.device) if taught else None
        return super().step(batch)

    def losses(self, ir: Tensor, vis: Tensor) -> dict[str, Tensor]:
        """Both terms, weighted."""
        fused, s = self.net(vis, ir), self.settings
        intensity = s.intensity * student_intensity(fused, ir, vis, self.teacher)
        gradient = s.gradient * student_gradient(fused, ir, vis, self.teacher)
        return {"loss": intensity + gradient, "intensity": intensity, "gradient": gradient}

    def epoch_end(self, epoch: int) -> None:
        """The rate of the next epoch: the first half of a cosine."""
        s = self.settings
        share = (1 + math.cos((epoch + 1) / s.epochs * math.pi / 2)) / 2
        for group in self.adam.param_groups:
            group["lr"] = s.lr_last + (s.lr - s.lr_last) * share
