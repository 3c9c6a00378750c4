"""What every task network has in common: targets, predictions, normalisation, padding, backbone files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.plugins.tensors import fitting, read_tensors

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, of 255
IMAGENET_STD = (58.395, 57.12, 57.375)
LAYOUTS = ("openmmlab", "torchvision", "timm")


@dataclass
class Target:
    """The labels of one image; a task fills what it needs.

    Attributes:
        mask: int64 ``[H,W]`` class ids.
        boxes: float ``[N,4]``, left, top, right, bottom in pixels; no object is ``[0,4]``.
        labels: int64 ``[N]``, class of each box, from 0.
        saliency: float ``[1,H,W]`` in [0,1].
        difficult: bool ``[N]``, for scores that leave such boxes out. None where the labels have no such flag.
    """

    mask: Tensor | None = None
    boxes: Tensor | None = None
    labels: Tensor | None = None
    saliency: Tensor | None = None
    difficult: Tensor | None = None

    def to(self, device: torch.device | str) -> Target:
        """The same on another device."""
        return Target(**_moved(self, device))


@dataclass
class Prediction:
    """What a network predicts of one image.

    Attributes:
        mask: int64 ``[H,W]`` class ids.
        boxes: float ``[N,4]``, left, top, right, bottom in pixels, best first.
        scores: float ``[N]`` in [0,1].
        labels: int64 ``[N]``.
        saliency: float ``[1,H,W]`` in [0,1].
    """

    mask: Tensor | None = None
    boxes: Tensor | None = None
    scores: Tensor | None = None
    labels: Tensor | None = None
    saliency: Tensor | None = None

    def to(self, device: torch.device | str) -> Prediction:
        """The same on another device."""
        return Prediction(**_moved(self, device))


def _moved(labels: Target | Prediction, device: torch.device | str) -> dict[str, Tensor]:
    values = {field.name: getattr(labels, field.name) for field in fields(labels)}
    return {name: value.to(device) for name, value in values.items() if value is not None}


class TaskNetwork(nn.Module):
    """A network whose loss and predictions tell how useful an image is for a task.

    Images are float ``[B,C,H,W]`` in [0,1], C = 1 or 3 (RGB) as built, of any height and width: networks normalise
    and pad (bottom and right) inside. ``loss`` and ``features`` are differentiable in the images and run in the mode
    the module is in, so call ``eval()`` first where batch statistics are to stay as they are.

    Attributes:
        channels: what ``images`` must have.
        two_stage: a detector whose region features have no second derivative; see :func:`refuse_two_stage`.
    """

    channels: int = 3
    two_stage: bool = False

    def loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        """Training loss, a scalar, differentiable (twice) in the images and the parameters."""
        raise NotImplementedError

    def predict(self, images: Tensor) -> list[Prediction]:
        """One prediction per image, in evaluation mode and without gradients; the mode is put back."""
        raise NotImplementedError

    def features(self, images: Tensor) -> Tensor:
        """The layer that closed-loop methods listen to, ``[B,C',H',W']``."""
        raise NotImplementedError


# ---------------------------------------------------------------- images


class Normalise(nn.Module):
    """From [0,1] RGB or grey to what a network was made for.

    Args:
        mean: per channel in RGB order, of 255. A one-channel network gets the mean of the three.
        std: likewise.
        channels: 1 or 3.
        bgr: hand the channels on in the order blue, green, red.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        channels: int = 3,
        bgr: bool = False,
    ) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise FusionbenchError(f"task networks take 1 or 3 channels, not {channels}")
        self.channels, self.bgr = channels, bgr and channels == 3
        for name, values in (("mean", mean), ("std", std)):
            value = torch.tensor(list(values)).view(1, -1, 1, 1)
            self.register_buffer(name, value.mean(1, keepdim=True) if channels == 1 else value, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """``[B,C,H,W]`` to the same shape.

        Raises:
            ValueError: another number of channels or dimensions.
        """
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise ValueError(f"expected images [B,{self.channels},H,W], got {list(images.shape)}")
        x = (images * 255 - self.mean) / self.std
        return x.flip(1) if self.bgr else x


def pad_to(x: Tensor, multiple: int = 32, value: float = 0.0) -> Tensor:
    """Pad bottom and right until height and width are multiples."""
    height, width = x.shape[-2:]
    more = (0, -width % multiple, 0, -height % multiple)
    return F.pad(x, more, value=value) if any(more) else x


# ---------------------------------------------------------------- modes and derivatives


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; afterwards each part is back in the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


class _HardSigmoid(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x / 6 + 0.5).clamp(0, 1)


class _HardSwish(_HardSigmoid):
    def forward(self, x: Tensor) -> Tensor:
        return x * super().forward(x)


def smooth(module: nn.Module) -> nn.Module:
    """Give activations without a second derivative (``Hardsigmoid``, ``Hardswish``) one, in place; same values."""
    forms: dict[type[nn.Module], type[nn.Module]] = {nn.Hardsigmoid: _HardSigmoid, nn.Hardswish: _HardSwish}
    if type(module) in forms:
        return forms[type(module)]()
    for name, child in module.named_children():
        setattr(module, name, smooth(child))
    return module


class _FirstOrder(torch.autograd.Function):
    """The identity, which refuses to be differentiated twice."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        if torch.is_grad_enabled():  # create_graph=True
            raise FusionbenchError(TWO_STAGE.format(purpose="second derivatives"))
        return gradient


TWO_STAGE = (
    "a two-stage detector cannot be used for {purpose}: its region features (RoIAlign) have no second derivative, "
    "which would be dropped silently; take a one-stage detector or DETR"
)


def first_order(x: Tensor) -> Tensor:
    """The same tensor; asking for a second derivative through it is a :class:`FusionbenchError`."""
    y: Tensor = _FirstOrder.apply(x)  # type: ignore[no-untyped-call]  # PyTorch does not type it
    return y


def refuse_two_stage(network: TaskNetwork, purpose: str = "closed-loop or second-order training") -> None:
    """For recipes that need features or second derivatives.

    Raises:
        FusionbenchError: a two-stage detector.
    """
    if network.two_stage:
        raise FusionbenchError(TWO_STAGE.format(purpose=purpose))


# ---------------------------------------------------------------- backbones


def one_channel(backbone: nn.Module) -> None:
    """Make the first convolution take grey images, in place: its weights are summed over the colours.

    A grey image then gives what its three equal copies gave. A convolution behind a space-to-depth step
    (4 x 3 channels) is summed within each position.
    """
    for part in backbone.modules():
        if isinstance(part, nn.Conv2d):
            if part.in_channels % 3 or part.groups != 1:
                raise FusionbenchError(
                    f"no one-channel form: the first convolution takes {part.in_channels} channels, not RGB"
                )
            part.weight = nn.Parameter(_grey(part.weight.data))
            part.in_channels //= 3
            return
    raise FusionbenchError("no one-channel form: the backbone has no convolution")


def _grey(weight: Tensor) -> Tensor:
    out, into, *kernel = weight.shape
    return weight.view(out, into // 3, 3, *kernel).sum(2)


def load_backbone(module: nn.Module, file: str | Path, layout: str = "openmmlab") -> None:
    """Fill a backbone from a local file; nothing is ever downloaded, and nothing in the file is executed.

    Args:
        module: the backbone.
        file: ``.pth``, ``.pt`` (plain tensors) or ``.safetensors``. Prefixes (``module.``, ``backbone.``), classifier
            layers and batch counters are left out; every other tensor must fit. RGB weights of the first convolution
            are summed for a one-channel backbone.
        layout: ``openmmlab``; ``torchvision`` (ResNet); ``timm`` (ResNet, and Mix Transformers under the names of
            their release, ``patch_embed1.proj.weight``..., which timm-style encoders keep).

    Raises:
        WeightsError: unreadable, or another network's tensors.
    """
    if layout not in LAYOUTS:
        raise FusionbenchError(f"unknown key layout {layout!r}; known are {', '.join(LAYOUTS)}")
    file = Path(file)
    if not file.is_file():
        raise WeightsError(f"{file}: no such file")
    what = f"this backbone in {layout} layout"
    state, _ = fitting(read_tensors(file), file, what, lambda tensors: fit(module, _backbone_tensors(tensors, layout)))
    module.load_state_dict(state, strict=False)


def _backbone_tensors(state: Mapping[str, object], layout: str) -> dict[str, Tensor]:
    """The backbone's tensors of a checkpoint, under the names of our backbones."""
    tensors = {re.sub(r"^module\.", "", k): v for k, v in state.items() if isinstance(v, Tensor)}
    if any(k.startswith("backbone.") for k in tensors):
        tensors = {k.removeprefix("backbone."): v for k, v in tensors.items() if k.startswith("backbone.")}
    if layout != "openmmlab" and "patch_embed1.proj.weight" in tensors:
        tensors = _from_mit(tensors)
    other = re.compile(r"(^|\.)(fc|head|classifier|last_linear)\.(weight|bias)$|num_batches_tracked$")
    return {k: v for k, v in tensors.items() if not other.search(k)}


def fit(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as a network takes them: each but batch counters is there and has the shape.

    Raises:
        WeightsError: names or shapes of another network.
    """
    own = {k: v for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}
    given = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    if missing := sorted(own.keys() - given.keys()):
        raise WeightsError(f"{len(missing)} of {len(own)} tensors are missing, first {missing[0]}")
    if extra := sorted(given.keys() - own.keys()):
        raise WeightsError(f"{len(extra)} tensors are not of this network, first {extra[0]}")
    for name, value in own.items():
        tensor = given[name]
        if tensor.ndim == 4 and tensor.shape[1] == 3 * value.shape[1] and tensor.shape[0] == value.shape[0]:
            given[name] = tensor = _grey(tensor)
        if tensor.shape != value.shape:
            raise WeightsError(f"{name} has shape {list(tensor.shape)}, needed is {list(value.shape)}")
    return given


def _from_mit(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A Mix Transformer under its release's names, renamed for mmseg."""
    renamed = (
        (r"^patch_embed(\d)\.proj\.", r"layers.\1.0.projection."),
        (r"^patch_embed(\d)\.norm\.", r"layers.\1.0.norm."),
        (r"^norm(\d)\.", r"layers.\1.2."),
        (r"^block(\d)\.(\d+)\.", r"layers.\1.1.\2."),
        (r"\.attn\.proj\.", ".attn.attn.out_proj."),
        (r"\.mlp\.fc1\.", ".ffn.layers.0."),
        (r"\.mlp\.dwconv\.dwconv\.", ".ffn.layers.1."),
        (r"\.mlp\.fc2\.", ".ffn.layers.4."),
        (r"\.attn\.q\.", ".attn.attn.in_proj_"),
    )
    result = {}
    for name, value in state.items():
        if ".attn.kv." in name:
            continue  # taken with the queries
        if ".attn.q." in name:
            value = torch.cat((value, state[name.replace(".attn.q.", ".attn.kv.")]))
        if ".mlp.fc" in name and name.endswith("weight"):
            value = value[:, :, None, None]
        for old, new in renamed:
            name = re.sub(old, new, name)
        name = re.sub(r"^layers\.(\d)", lambda match: f"layers.{int(match[1]) - 1}", name)
        result[name] = value
    return result
