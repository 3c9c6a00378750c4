"""What a trained network makes of a labelled picture: what scores are computed from, in training and in tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.data import Sample
from fusionbench.errors import DataError
from fusionbench.pixels.colour import luma
from fusionbench.pixels.images import read_image
from fusionbench.tasks.network import Prediction, Target, TaskNetwork
from fusionbench.tasks.task import Task


def picture(path: Path, size: tuple[int, ...]) -> np.ndarray:
    """A saved picture, uint8 ``[3,H,W]``.

    Raises:
        DataError: unreadable, or not of this height and width.
    """
    image = read_image(path)
    if image.shape[1:] != tuple(size):
        raise DataError(
            f"{path}: the fused picture is {image.shape[1]}x{image.shape[2]}, its pair {size[0]}x{size[1]} "
            "(height x width); delete it"
        )
    return image if len(image) == 3 else np.repeat(image, 3, 0)


def network_input(images: Tensor, channels: int) -> Tensor:
    """What a task network sees of RGB pictures ``[B,3,H,W]`` in [0,1]: themselves, or their luma."""
    return images if channels == 3 else luma(images)


def evaluate(
    network: TaskNetwork, task: Task, sample: Sample, device: torch.device | str, size: tuple[int, int] | None
) -> tuple[Prediction, Target]:
    """What a network predicts for one sample, and what is true, both at the size of the label.

    Args:
        network: of the task.
        task: whose targets.
        sample: with labels; ``vis`` is what the network sees.
        device: where the network is.
        size: height and width that the network is given, or None for the image's own.
    """
    image = torch.from_numpy(np.ascontiguousarray(sample.vis))[None].to(device).float() / 255
    own = (image.shape[2], image.shape[3])
    if size and size != own:
        image = nn.functional.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)
    prediction = network.predict(network_input(image, network.channels))[0]
    return at_size(prediction, (image.shape[2], image.shape[3]), own), task.target(sample).to(device)


def at_size(prediction: Prediction, made: tuple[int, int], size: tuple[int, int]) -> Prediction:
    """A prediction made on an image of one (height, width), at that of the label.

    Masks go to the nearest pixel, maps bilinearly, boxes are scaled.
    """
    if made == size:
        return prediction
    changes: dict[str, Tensor] = {}
    if prediction.mask is not None:
        mask = prediction.mask[None, None].float()
        changes["mask"] = nn.functional.interpolate(mask, size, mode="nearest-exact")[0, 0].long()
    if prediction.saliency is not None:
        changes["saliency"] = nn.functional.interpolate(prediction.saliency[None], size, mode="bilinear")[0].clamp(0, 1)
    if prediction.boxes is not None:
        scale = prediction.boxes.new_tensor([size[1] / made[1], size[0] / made[0]] * 2)
        changes["boxes"] = prediction.boxes * scale
    return replace(prediction, **changes)
