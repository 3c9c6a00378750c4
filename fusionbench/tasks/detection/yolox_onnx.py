"""YOLOX from an ONNX file, as bubbliiiing/yolox-pytorch exports it: convolutions with their normalisation folded in.

Only the convolutions are taken; that the rest of the graph is YOLOX's is checked as far as it decides what they mean:
the operators, the activations' number, the pools of the pyramid. Nothing in the file is executed, and no other file is
read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fusionbench.errors import WeightsError
from fusionbench.runtime.files import read_regular
from fusionbench.tasks.openmmlab import MissingExtra

if TYPE_CHECKING:
    from fusionbench.tasks.openmmlab.detector import DetectionNetwork

LARGEST = 1 << 28  # bytes; YOLOX-s has 36 MB
OPERATORS = frozenset(
    ("Conv", "Sigmoid", "Mul", "Concat", "Slice", "Add", "MaxPool", "Reshape", "Resize", "Transpose", "Constant")
)
POOLS = [5, 9, 13]  # of the pyramid
FLOAT = 1  # of onnx.TensorProto
BRANCHES = ("cls", "reg", "obj")


class Convolution(NamedTuple):
    """One of the file, in the graph's order."""

    name: str  # of its weight
    weight: Tensor
    bias: Tensor
    stride: int
    padding: int
    groups: int


class Place(NamedTuple):
    """Where a convolution of ours stands, and what it has to be called in the file ("": anything)."""

    name: str
    layer: nn.Conv2d
    norm: str
    called: str


def read(path: Path, network: DetectionNetwork) -> dict[str, Tensor]:
    """The tensors of a YOLOX under the names of ours.

    Args:
        path: an ONNX file.
        network: with the shapes that are expected; it is not changed.

    Returns:
        Tensors for ``load_state_dict``: of a folded convolution come one and a normalisation that adds its bias.

    Raises:
        WeightsError: damaged, or another network's, in one line.
        MissingExtra: ``onnx`` is not installed.
    """
    return placed(path, convolutions(path), network)


def placed(path: Path, given: Sequence[Convolution], network: DetectionNetwork) -> dict[str, Tensor]:
    """The tensors of a YOLOX from its folded convolutions in the order of a graph; see :func:`read`.

    Raises:
        WeightsError: another network's.
    """
    own = list(places(network))
    if len(given) != len(own):
        raise WeightsError(f"{path}: {len(given)} convolutions, this YOLOX has {len(own)}")
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for found, place in zip(given, own, strict=True):
        _check(path, found, place)
        state[f"{place.name}.weight"] = found.weight
        if not place.norm:
            state[f"{place.name}.bias"] = found.bias
            continue
        eps = network.get_submodule(place.norm).eps
        assert isinstance(eps, float)
        ones = torch.ones_like(found.bias)
        of_norm = {"weight": ones, "bias": found.bias, "running_mean": 0 * ones, "running_var": (1 - eps) * ones}
        state |= {f"{place.norm}.{name}": tensor for name, tensor in of_norm.items()}
    return state


def convolutions(path: Path) -> list[Convolution]:
    """The convolutions of a YOLOX graph in its order.

    Raises:
        WeightsError: damaged, or a graph that is no YOLOX's with folded normalisation.
        MissingExtra: ``onnx`` is not installed.
    """
    graph = _graph(path)
    kinds = [node.op_type for node in graph.node]
    if other := sorted(set(kinds) - OPERATORS):
        hint = "; export it with normalisation folded in" if "BatchNormalization" in other else ""
        raise WeightsError(f"{path}: no YOLOX as it is exported: it has the operator {other[0][:80]!r}{hint}")
    held = {tensor.name: tensor for tensor in graph.initializer}
    found = [_convolution(path, node, held) for node in graph.node if node.op_type == "Conv"]
    predictions = sum(c.name.startswith("head.") and "_preds." in c.name for c in found)
    pools = [_attributes(node).get("kernel_shape") for node in graph.node if node.op_type == "MaxPool"]
    if kinds.count("Sigmoid") != len(found) - predictions or pools != [[k, k] for k in POOLS]:
        raise WeightsError(f"{path}: no YOLOX as it is exported: its activations or pools are others")
    return found


def _graph(path: Path) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError as error:
        raise MissingExtra(str(path), error, "onnx") from None
    try:
        return onnx.ModelProto.FromString(read_regular(path, "an ONNX file", LARGEST)).graph
    except DecodeError:
        raise WeightsError(f"{path}: damaged or no ONNX file; get it again") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None


def _attributes(node: Any) -> dict[str, list[int] | int]:
    return {a.name: list(a.ints) or a.i for a in node.attribute}


def _convolution(path: Path, node: Any, held: dict[str, Any]) -> Convolution:
    """One node with its numbers.

    Raises:
        WeightsError: it has none in the file, no bias, or a form that YOLOX has not.
    """
    where = f"{path}: convolution {node.name[:80]!r}"
    if len(node.input) != 3 or not all(name in held for name in node.input[1:]):
        raise WeightsError(f"{where} has no weight and bias in the file; export it with normalisation folded in")
    weight, bias = (_tensor(where, held[name]) for name in node.input[1:])
    said = _attributes(node)
    strides, pads = said.get("strides", [1, 1]), said.get("pads", [0, 0, 0, 0])
    plain = said.get("dilations", [1, 1]) == [1, 1] and weight.ndim == 4
    for values, count in ((strides, 2), (pads, 4)):
        plain = plain and isinstance(values, list) and len(values) == count and len(set(values)) == 1
    groups = said.get("group", 1)
    if not plain or not isinstance(strides, list) or not isinstance(pads, list) or not isinstance(groups, int):
        raise WeightsError(f"{where} is of a form that YOLOX has not")
    return Convolution(node.input[1], weight, bias, strides[0], pads[0], groups)


def _tensor(where: str, tensor: Any) -> Tensor:
    """Single precision numbers that lie in the file itself, as many as their shape says.

    Raises:
        WeightsError: others.
    """
    if tensor.data_type != FLOAT or tensor.data_location != 0 or len(tensor.raw_data) % 4:
        raise WeightsError(f"{where}: its numbers are not single precision in whole ones, or lie in another file")
    values = np.frombuffer(tensor.raw_data, "<f4") if tensor.raw_data else np.array(tensor.float_data, np.float32)
    shape = list(tensor.dims)
    size = 1
    for length in shape:
        size *= length
    if size != len(values) or min(shape, default=1) < 1:
        raise WeightsError(f"{where}: {len(values)} numbers for the shape {shape[:8]}")
    if not np.isfinite(values).all():
        raise WeightsError(f"{where} holds numbers that are infinite or none (NaN)")
    return torch.from_numpy(values.copy().reshape(shape))


def _check(path: Path, found: Convolution, place: Place) -> None:
    """Whether a convolution of the file is the one of a place.

    Raises:
        WeightsError: it is another.
    """
    layer = place.layer
    is_named = "_preds." in found.name
    if is_named != bool(place.called) or (is_named and found.name != place.called):
        raise WeightsError(f"{path}: {found.name[:80]!r} stands where {place.called or place.name} is expected")
    form = (tuple(found.weight.shape), len(found.bias), found.stride, found.padding, found.groups)
    wanted = (tuple(layer.weight.shape), layer.out_channels, layer.stride[0], layer.padding[0], layer.groups)
    if form != wanted or found.bias.ndim != 1:
        raise WeightsError(
            f"{path}: {place.called or place.name} is {list(form[0])}, stride {form[2]}, in {form[4]} groups; "
            f"needed is {list(wanted[0])}, stride {wanted[2]}, in {wanted[4]}"
        )


def places(network: DetectionNetwork) -> Iterator[Place]:
    """Our convolutions in the order in which the released program runs them."""
    names = {part: name for name, part in network.named_modules()}
    model: Any = network.model
    neck, head = model.neck, model.bbox_head
    rows: list[nn.Module] = [model.backbone]
    for reduce, block in zip(neck.reduce_layers, neck.top_down_blocks, strict=True):
        rows += [reduce, block]
    for down, block in zip(neck.downsamples, neck.bottom_up_blocks, strict=True):
        rows += [down, block]
    called: dict[nn.Module, str] = {}
    for level, stem in enumerate(neck.out_convs):
        predictors = [getattr(head, f"multi_level_conv_{branch}")[level] for branch in BRANCHES]
        called |= {p: f"head.{branch}_preds.{level}.weight" for p, branch in zip(predictors, BRANCHES, strict=True)}
        rows += [stem, head.multi_level_cls_convs[level], predictors[0]]
        rows += [head.multi_level_reg_convs[level], *predictors[1:]]
    for row in rows:
        for layer, norm in _layers(row):
            yield Place(names[layer], layer, names[norm] if norm else "", called.get(layer, ""))


def _layers(part: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.Module | None]]:
    """Convolutions with their normalisation, as they are run: of a cross-stage block the last one last."""
    if isinstance(part, nn.Conv2d):
        yield part, None
    elif isinstance(conv := getattr(part, "conv", None), nn.Conv2d):
        yield conv, part.get_submodule("bn")
    elif hasattr(part, "final_conv"):
        for name in ("main_conv", "short_conv", "blocks", "final_conv"):
            yield from _layers(part.get_submodule(name))
    else:
        for child in part.children():
            yield from _layers(child)
