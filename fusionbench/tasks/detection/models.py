"""Model configs of the detectors that go by name."""

from __future__ import annotations

from fusionbench.tasks.network import IMAGENET_MEAN, IMAGENET_STD
from fusionbench.tasks.openmmlab import Config, read_config

IMAGENET = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "bgr_to_rgb": True}
UNIT = {"mean": (0.0, 0.0, 0.0), "std": (255.0, 255.0, 255.0), "bgr_to_rgb": True}
NMS = {"score_thr": 0.001, "nms_pre": 30000, "nms": {"type": "nms", "iou_threshold": 0.65}, "max_per_img": 300}
YOLO = {  # family and width; depth is a third in all. The tiny ones are ours, for a laptop's processor
    "yolov8-n": ("v8", 0.25),
    "yolov8-s": ("v8", 0.5),
    "yolov5-s": ("v5", 0.5),
    "yolov8-tiny": ("v8", 0.125),
    "yolov5-tiny": ("v5", 0.125),
}
YOLOX = {"yolox-s": (0.5, False), "yolox-tiny": (0.375, False), "yolox-nano": (0.25, True)}  # width, depthwise


def model_config(network: str, frozen: bool = False) -> Config:
    """The model's config, by name or from a file.

    Args:
        network: a name, or the path of an mmdetection config.
        frozen: keep a ResNet's first stage and batch statistics, for a backbone that comes with weights.
    """
    if network in YOLO:
        return _yolo(*YOLO[network])
    if network in YOLOX:
        return _yolox(1 / 3, *YOLOX[network])
    if network == "retinanet-r18":
        return _retinanet(frozen)
    if network == "detr-r50":
        return _detr(frozen)
    return read_config(network)


def _yolo(family: str, width: float) -> Config:
    size = {"family": family, "width": width, "depth": 1 / 3}
    return {
        "type": "SingleStageDetector",
        "data_preprocessor": UNIT,
        "backbone": {"type": "FusionbenchYOLOBackbone", **size},
        "neck": {"type": "FusionbenchYOLONeck", **size},
        "bbox_head": {"type": f"FusionbenchYOLO{family}Head", "num_classes": 80, "width": width},
        "train_cfg": {},
        "test_cfg": NMS,
    }


def _yolox(depth: float, width: float, depthwise: bool) -> Config:
    """YOLOX (Ge et al. 2021) with mmdetection's parts: raw BGR levels 0..255, SimOTA assignment."""
    separable = {"use_depthwise": True} if depthwise else {}
    channels = [int(c * width) for c in (256, 512, 1024)]
    return {
        "type": "YOLOX",
        "data_preprocessor": {},
        "backbone": {"type": "CSPDarknet", "deepen_factor": depth, "widen_factor": width, **separable},
        "neck": {
            "type": "YOLOXPAFPN",
            "in_channels": channels,
            "out_channels": channels[0],
            "num_csp_blocks": 1,
            **separable,
        },
        "bbox_head": {
            "type": "FusionbenchYOLOXHead",
            "num_classes": 80,
            "in_channels": channels[0],
            "feat_channels": channels[0],
            "strides": [8, 16, 32],
            **separable,
        },
        "train_cfg": {"assigner": {"type": "SimOTAAssigner", "center_radius": 2.5}},
        "test_cfg": NMS,
    }


def _resnet(depth: int, levels: tuple[int, ...], frozen: bool) -> Config:
    return {
        "type": "ResNet",
        "depth": depth,
        "out_indices": levels,
        "frozen_stages": 1 if frozen else -1,
        "norm_eval": frozen,
        "style": "pytorch",
    }


def _retinanet(frozen: bool) -> Config:
    """RetinaNet (Lin et al. 2017) on a ResNet-18, levels P3 to P7."""
    return {
        "type": "RetinaNet",
        "data_preprocessor": IMAGENET,
        "backbone": _resnet(18, (0, 1, 2, 3), frozen),
        "neck": {
            "type": "FPN",
            "in_channels": [64, 128, 256, 512],
            "out_channels": 256,
            "start_level": 1,
            "add_extra_convs": "on_input",
            "num_outs": 5,
        },
        "bbox_head": {
            "type": "FusionbenchRetinaHead",
            "num_classes": 80,
            "in_channels": 256,
            "stacked_convs": 4,
            "feat_channels": 256,
            "anchor_generator": {
                "type": "AnchorGenerator",
                "octave_base_scale": 4,
                "scales_per_octave": 3,
                "ratios": [0.5, 1.0, 2.0],
                "strides": [8, 16, 32, 64, 128],
            },
            "bbox_coder": {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": [1.0] * 4},
            "loss_cls": {"type": "FocalLoss", "use_sigmoid": True, "gamma": 2.0, "alpha": 0.25},
            "loss_bbox": {"type": "L1Loss"},
        },
        "train_cfg": {
            "assigner": {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4, "min_pos_iou": 0},
            "sampler": {"type": "PseudoSampler"},
            "allowed_border": -1,
            "pos_weight": -1,
            "debug": False,
        },
        "test_cfg": {**NMS, "nms_pre": 1000, "min_bbox_size": 0},
    }


def _detr(frozen: bool) -> Config:
    """DETR (Carion et al. 2020) on a ResNet-50; it needs no suppression of doubles."""
    attention = {"embed_dims": 256, "num_heads": 8, "dropout": 0.1, "batch_first": True}
    forward = {"embed_dims": 256, "feedforward_channels": 2048, "ffn_drop": 0.1}
    backbone = _resnet(50, (3,), frozen)
    return {
        "type": "DETR",
        "num_queries": 100,
        "data_preprocessor": IMAGENET,
        "backbone": {**backbone, "norm_cfg": {"type": "BN", "requires_grad": not frozen}},
        "neck": {
            "type": "ChannelMapper",
            "in_channels": [2048],
            "kernel_size": 1,
            "out_channels": 256,
            "act_cfg": None,
            "norm_cfg": None,
            "num_outs": 1,
        },
        "encoder": {"num_layers": 6, "layer_cfg": {"self_attn_cfg": attention, "ffn_cfg": forward}},
        "decoder": {
            "num_layers": 6,
            "layer_cfg": {"self_attn_cfg": attention, "cross_attn_cfg": attention, "ffn_cfg": forward},
            "return_intermediate": True,
        },
        "positional_encoding": {"num_feats": 128, "normalize": True},
        "bbox_head": {
            "type": "DETRHead",
            "num_classes": 80,
            "embed_dims": 256,
            "loss_cls": {"type": "CrossEntropyLoss", "bg_cls_weight": 0.1, "class_weight": 1.0},
            "loss_bbox": {"type": "L1Loss", "loss_weight": 5.0},
            "loss_iou": {"type": "GIoULoss", "loss_weight": 2.0},
        },
        "train_cfg": {
            "assigner": {
                "type": "HungarianAssigner",
                "match_costs": [
                    {"type": "ClassificationCost", "weight": 1.0},
                    {"type": "BBoxL1Cost", "weight": 5.0, "box_format": "xywh"},
                    {"type": "IoUCost", "iou_mode": "giou", "weight": 2.0},
                ],
            }
        },
        "test_cfg": {"max_per_img": 100},
    }
