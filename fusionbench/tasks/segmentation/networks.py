"""Networks of mmsegmentation as task networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from fusionbench.errors import FusionbenchError
from fusionbench.tasks import openmmlab as _mm
from fusionbench.tasks.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Normalise,
    Prediction,
    Target,
    TaskNetwork,
    evaluating,
    load_backbone,
    one_channel,
    pad_to,
    smooth,
)
from fusionbench.training.distributed import all_mean, world


def _mit(width: int, blocks: Sequence[int]) -> dict[str, Any]:
    """Mix Transformer encoder (Xie et al. 2021, table 6)."""
    return {
        "type": "MixVisionTransformer",
        "in_channels": 3,
        "embed_dims": width,
        "num_layers": list(blocks),
        "num_heads": [1, 2, 5, 8],
        "patch_sizes": [7, 3, 3, 3],
        "sr_ratios": [8, 4, 2, 1],
        "drop_path_rate": 0.1,
    }


def _segformer(width: int, blocks: Sequence[int], **head: Any) -> dict[str, Any]:
    return {
        "type": "EncoderDecoder",
        "data_preprocessor": {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "bgr_to_rgb": True},
        "backbone": _mit(width, blocks),
        "decode_head": {
            "in_channels": [width * heads for heads in (1, 2, 5, 8)],
            "in_index": [0, 1, 2, 3],
            "channels": 256,
            "dropout_ratio": 0.1,
            "num_classes": 2,
            "loss_decode": {"type": "CrossEntropyLoss"},
            **head,
        },
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }


def model_config(network: str | Path) -> dict[str, Any]:
    """The model's config, by name or from a file.

    ``segformer-b0`` is decoded as in TDFusion: linear embeddings of width 256, batch normalisation (eps 1e-3, momentum
    0.03) in the fuse layer alone, logits upsampled with aligned corners. ``segformer-b2`` is mmsegmentation's (CLDyN):
    width 256, a normalised convolution per level, corners not aligned. ``segformer-tiny`` is ours, B0 made small
    enough to be trained on a laptop's processor: width 16, one block per stage, decoder of width 64.
    """
    if network == "segformer-b0":
        norm = {"type": "BN", "eps": 1e-3, "momentum": 0.03}
        return _segformer(32, (2, 2, 2, 2), type="LinearSegformerHead", norm_cfg=norm, align_corners=True)
    if network == "segformer-tiny":
        small = {"type": "LinearSegformerHead", "norm_cfg": {"type": "BN"}, "align_corners": True, "channels": 64}
        return _segformer(16, (1, 1, 1, 1), **small)
    if network == "segformer-b2":
        return _segformer(64, (3, 4, 6, 3), type="SegformerHead", norm_cfg={"type": "BN"}, align_corners=False)
    return _mm.read_config(network)


class SegmentationNetwork(TaskNetwork):
    """A network of mmsegmentation.

    Args:
        config: the ``model`` part of its config.
        classes: number of classes.
        channels: 3 (RGB) or 1.
        backbone: a local file with the backbone's weights, or None.
        layout: of that file.
        ignore_index: mask id that counts for nothing.
    """

    model: Any

    def __init__(
        self,
        config: dict[str, Any],
        classes: int,
        channels: int = 3,
        backbone: str | Path | None = None,
        layout: str = "openmmlab",
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        _mm.load("mmseg")
        from mmseg.registry import MODELS

        from . import heads  # noqa: F401  (registers)

        if "decode_head" not in config:
            raise FusionbenchError("the model of this config has no decode_head; is it an mmsegmentation config?")
        if classes < 2 or 0 <= ignore_index < classes:
            raise FusionbenchError(
                f"{classes} classes, ids 0 to {classes - 1}, do not go with ignore_index {ignore_index}"
            )
        _mm.set_classes(config, classes)
        model, preprocess = _mm.build(MODELS, config)
        self.model = smooth(model)
        self.normalise = Normalise(**_mm.normalisation(preprocess), channels=channels)
        self.channels, self.classes, self.ignore_index = channels, classes, ignore_index
        if channels == 1:
            one_channel(self.model.backbone)
        if backbone is not None:
            load_backbone(self.model.backbone, backbone, layout)
        for part in self.model.modules():
            if hasattr(part, "avg_non_ignore"):
                part.avg_non_ignore = True  # the mean is over the pixels that count
            if hasattr(part, "conv_seg") or hasattr(part, "loss_decode"):
                part.ignore_index = ignore_index

    def _prepare(self, images: Tensor) -> Tensor:
        return pad_to(self.normalise(images))

    def loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        """The config's losses (SegFormer: cross entropy) at label resolution, summed over its heads.

        Args:
            images: ``[B,C,H,W]`` in [0,1].
            targets: masks ``[kH,kW]``, ids below the number of classes, or the ignore index. With k above 1 the
                labels are at full size and the images made smaller, as in TDFusion; k is a whole number.

        Returns:
            The mean over the pixels that count; 0 (with zero gradients) where none does.

        Raises:
            ValueError: a mask is missing or of another size.
        """
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        x = self._prepare(images)
        height, width = images.shape[2:]
        samples = []
        for number, one in enumerate(targets):
            times = 0 if one.mask is None else max(1, one.mask.shape[0] // height)
            if one.mask is None or one.mask.shape != (times * height, times * width):
                have = "no mask" if one.mask is None else f"a mask of {list(one.mask.shape)}"
                raise ValueError(f"target {number} has {have}; its image is {list(images.shape[2:])}")
            mask = pad_to(one.mask.to(x.device)[None], 32 * times, self.ignore_index)
            meta = {"img_shape": tuple(x.shape[2:])}
            samples.append(SegDataSample(gt_sem_seg=PixelData(data=mask), metainfo=meta))
        if len(samples) != len(x):
            raise ValueError(f"{len(x)} images, {len(samples)} targets")
        total = _mm.total(self.model.loss(x, samples))
        if world() == 1:
            return total
        counted = sum((s.gt_sem_seg.data != self.ignore_index).sum() for s in samples).to(total)
        return total * counted / all_mean([counted])[0].clamp(min=1)

    def logits(self, images: Tensor) -> Tensor:
        """Logits at the images' size, ``[B,classes,H,W]``."""
        x = self._prepare(images)
        meta = {"img_shape": tuple(x.shape[2:]), "ori_shape": tuple(x.shape[2:]), "pad_shape": tuple(x.shape[2:])}
        return self.model.encode_decode(x, [meta] * len(x))[..., : images.shape[2], : images.shape[3]]

    def predict(self, images: Tensor) -> list[Prediction]:
        """The class of the largest logit of each pixel; logits are upsampled first."""
        with evaluating(self):
            logits = self.logits(images)
            best = logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
        return [Prediction(mask=mask) for mask in best]

    def features(self, images: Tensor) -> Tensor:
        """The last level of the encoder (or of the neck, if any); SegFormer: the output of the last stage's norm.

        Returns:
            ``[B,256,H/32,W/32]`` (MiT-B0) or ``[B,512,H/32,W/32]`` (MiT-B2), sizes rounded up.
        """
        return self.model.extract_feat(self._prepare(images))[-1]
