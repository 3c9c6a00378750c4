"""Model configs of the networks that go by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionbench.tasks.network import IMAGENET_MEAN, IMAGENET_STD
from fusionbench.tasks.openmmlab import Config, read_config


def _mit(width: int, blocks: Sequence[int]) -> Config:
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


def _segformer(width: int, blocks: Sequence[int], **head: object) -> Config:
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


def model_config(network: str | Path) -> Config:
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
    return read_config(network)
