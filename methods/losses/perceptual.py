"""Terms of the features of a frozen VGG-16, whose weights the user has; none are shipped."""

from __future__ import annotations

import re
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError
from fusionbench.plugins.tensors import read_tensors

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))  # of the layers of each scale
NEEDED = "a file of VGG-16, such as vgg16-397923af.pth (which torchvision names), from which nothing is executed"


class VGG16(nn.Module):
    """The layers up to relu4_3, frozen; names ``conv1_1`` to ``conv4_3``."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for scale, widths in enumerate(WIDTHS, 1):
            for number, width in enumerate(widths, 1):
                self.add_module(f"conv{scale}_{number}", nn.Conv2d(channels, width, 3, padding=1))
                channels = width
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features after the last layer of each of four scales, of images ``[B,1 or 3,H,W]``; any range."""
        x = x.expand(-1, 3, -1, -1)
        found: list[Tensor] = []
        for scale, widths in enumerate(WIDTHS, 1):
            x = F.max_pool2d(x, 2) if found else x
            for number in range(1, len(widths) + 1):
                x = F.relu(self.get_submodule(f"conv{scale}_{number}")(x))
            found.append(x)
        return found


def vgg16(file: str, setting: str) -> VGG16:
    """The network of a user's file.

    Args:
        file: names as torchvision's (``features.0.weight`` ...) or as here; "" where the user named none.
        setting: that names the file, for errors.

    Raises:
        FusionbenchError: no file is named, there is none, or it is not of VGG-16.
    """
    if not file:
        raise FusionbenchError(f"setting '{setting}' is empty: the loss needs {NEEDED}; give {setting}=FILE")
    if not Path(file).is_file():
        raise FusionbenchError(f"{setting}={file}: no such file; give {NEEDED}")
    state, network = read_tensors(Path(file)), VGG16()
    held = {str(n): v for n, v in state.items() if isinstance(v, Tensor)} if isinstance(state, dict) else {}
    named = [n for n in held if re.fullmatch(r"(features\.\d+|conv\d_\d)\.(weight|bias)", n)]
    layers = sorted({n.rpartition(".")[0] for n in named}, key=lambda n: [int(d) for d in re.findall(r"\d+", n)])
    own = [name for name, _ in network.named_children()]
    tensors = {
        f"{mine}.{part}": held.get(f"{theirs}.{part}")
        for mine, theirs in zip(own, layers, strict=False)
        for part in ("weight", "bias")
    }
    for name, wanted in network.state_dict().items():
        found = tensors.get(name)
        if found is None or found.shape != wanted.shape:
            raise FusionbenchError(f"{setting}={file}: has no {name} of shape {list(wanted.shape)}; give {NEEDED}")
    network.load_state_dict(tensors)
    return network.eval()


def gram(features: Tensor) -> Tensor:
    """Products of the channels of ``[B,C,H,W]``, ``[B,C,C]``, over C*H*W (LRRNet)."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def gram_distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared error of both Gram matrices (LRRNet)."""
    return F.mse_loss(gram(first), gram(second))
