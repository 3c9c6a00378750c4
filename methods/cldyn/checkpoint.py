"""What a CLDyN checkpoint holds: the fusion network, and where the loop was trained its compensation and the frozen
task networks, which ``about`` (JSON as bytes, a tensor because every tool keeps those) says how to build.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.plugins.tensors import fitting, read_tensors
from fusionbench.plugins.weights import installed, verify
from fusionbench.registry import resolve

from .rsc import EMBED, RSC, STRUCTURES, VECTORS
from .vfn import VFN

if TYPE_CHECKING:
    from fusionbench.tasks.network import TaskNetwork

    from .loop import ClosedLoop

ABOUT = "about"
M = TypeVar("M", bound=nn.Module)
State = Mapping[str, Tensor]


@dataclass
class Parts:
    """A checkpoint's parts.

    Attributes:
        vfn: the fusion network.
        rsc: its compensation, or None.
        networks: state of each frozen task network, by task.
        about: by task, what it needs to be built: ``network``, ``classes``, ``channels``, ``ignore_index``; and
            ``told``, whether the loop was closed in training.
    """

    vfn: VFN
    rsc: RSC | None = None
    networks: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)

    def network(self, task: str) -> TaskNetwork:
        """A task's frozen network in evaluation mode.

        Raises:
            FusionbenchError: the checkpoint has none, or its plugin is gone.
        """
        if self.rsc is None or task not in self.networks:
            have = f"it has: {', '.join(self.networks)}" if self.networks else "it is the fusion network alone"
            raise FusionbenchError(
                f"cldyn: this checkpoint has no closed loop for task={task}, {have}; "
                "train one: fusionbench train cldyn --stage rsc"
            )
        facts = self.about[task]
        network: TaskNetwork = resolve("task", task)().make(
            facts["network"], tuple(facts["classes"]), facts["channels"], ignore_index=facts["ignore_index"]
        )
        network.load_state_dict(self.networks[task])
        return network.eval().requires_grad_(False)


def pack(loop: ClosedLoop, networks: Mapping[str, TaskNetwork], about: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint with a closed loop."""
    modules = {"vfn": loop.vfn, "rsc": loop.rsc, **{f"task.{name}": network for name, network in networks.items()}}
    state = {f"{k}.{name}": value.detach().cpu() for k, m in modules.items() for name, value in m.state_dict().items()}
    text = json.dumps({name: {**facts, "told": loop.closed} for name, facts in about.items()}, sort_keys=True)
    state[ABOUT] = torch.tensor(list(text.encode()), dtype=torch.uint8)
    return {name: value.contiguous() for name, value in state.items()}


def unpack(state: State) -> Parts:
    """The parts of a checkpoint, strictly.

    Raises:
        ValueError: tensors of something else, or some are missing.
    """
    parts = Parts(_vfn(_below(state, "vfn.")))
    if rsc := _below(state, "rsc."):
        parts.rsc = _fill(RSC(_count(rsc, r"ir\.a2si(\d+)\.")), rsc, "rsc")
        if parts.rsc.blocks != parts.vfn.blocks - 1:
            raise ValueError(f"{parts.rsc.blocks} A2SI blocks do not go with {parts.vfn.blocks} blocks of the network")
    if ABOUT in state:
        parts.about = json.loads(bytes(state[ABOUT].tolist()))
        parts.networks = {name: _below(state, f"task.{name}.") for name in parts.about}
    known = ("vfn.", "rsc.", *(f"task.{name}." for name in parts.about))
    if extra := sorted(name for name in state if name != ABOUT and not name.startswith(known)):
        raise ValueError(f"{len(extra)} tensors are not of this method, first {extra[0]}")
    return parts


def loops(path: Path) -> list[str]:
    """Tasks whose closed loop a checkpoint (safetensors) holds, without reading its networks."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        names = list(file.keys())
        return sorted(json.loads(bytes(file.get_tensor(ABOUT).tolist()))) if ABOUT in names else []


def convert(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A released checkpoint, or one of ours, as the tensors of ours.

    Released are the fusion network under ``net``; and, recognised by what they hold, the A2SI blocks of either
    modality (a name with ``ir``, a name with ``vi``) and the bank ``[4,32,256]``.

    Raises:
        ValueError: something else.
    """
    if not isinstance(state, Mapping):
        raise ValueError("expected a dict of names and tensors")
    if any(name.startswith("vfn.") for name in state):
        unpack(state)
        return dict(state)
    tensors: dict[str, Tensor] = {}
    flat = state if "frb2.f_conv.0.weight" in state else state.get("net", {})
    for name, value in flat.items():
        tensors[f"vfn.{name.removeprefix('module.')}"] = value.detach().float() if value.is_floating_point() else value
    for key, value in state.items():
        if isinstance(value, Mapping) and any("a2si0." in name for name in value):
            branch = "ir" if "ir" in key.lower() else "vi"
            for name, tensor in value.items():
                plain = tensor.detach().float() if tensor.is_floating_point() else tensor
                tensors[f"rsc.{branch}.{name.removeprefix('module.')}"] = plain
        elif isinstance(value, Tensor) and value.shape == (len(STRUCTURES), VECTORS, EMBED):
            tensors["rsc.bank"] = value.detach().float()
    if not tensors:
        raise ValueError("it holds no fusion network (released files have it under 'net')")
    unpack(tensors)
    return tensors


def find_vfn(given: str | None) -> dict[str, Tensor]:
    """The fusion network that stage ``rsc`` starts from, as ``vfn.*``.

    Args:
        given: a checkpoint, a run's folder, or the name of installed weights of ``cldyn``.

    Raises:
        WeightsError: there is none; the text says how to make one.
    """
    how = (
        "set vfn to a checkpoint or to installed weights; make one: fusionbench train cldyn --stage vfn --datasets msrs"
    )
    if not given:
        raise WeightsError(f"stage rsc needs a trained fusion network: {how}")
    path = Path(given)
    if path.is_dir():
        path = path / "weights.safetensors"
    if not path.is_file():
        names = {weights.name: weights for weights in installed("cldyn")}
        if given not in names:
            raise WeightsError(f"vfn={given}: no such file and no installed weights of that name; {how}")
        path = verify(names[given])
    state, _ = fitting(read_tensors(path), path, "cldyn", convert)
    return {name: value for name, value in state.items() if name.startswith("vfn.")}


def _below(state: State, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _count(state: State, pattern: str) -> int:
    return len({match[1] for name in state if (match := re.match(pattern, name))})


def _vfn(state: State) -> VFN:
    if not state:
        raise ValueError("it holds no fusion network (vfn.*)")
    return _fill(VFN(max(1, _count(state, r"ir_feb\.e(\d+)\."))), state, "vfn")


def _fill(module: M, state: State, what: str) -> M:
    wanted = {name: value.shape for name, value in module.state_dict().items()}
    if missing := sorted(wanted.keys() - state.keys()):
        raise ValueError(f"{len(missing)} tensors of {what} are missing, first {missing[0]}")
    if extra := sorted(state.keys() - wanted.keys()):
        raise ValueError(f"{len(extra)} tensors of {what} are not of this network, first {extra[0]}")
    for name, shape in wanted.items():
        if state[name].shape != shape:
            raise ValueError(f"{what} {name} has shape {list(state[name].shape)}; the network needs {list(shape)}")
    module.load_state_dict(dict(state))
    return module
