"""Starting from weights: tensors of a file put into the networks of a recipe that is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from fusionbench.plugins.tensors import fitting, read_tensors
from fusionbench.training.recipe import B, Recipe
from fusionbench.training.settings import S

Convert = Callable[[dict[str, Tensor]], dict[str, Tensor]]
Slots = dict[str, tuple[str, str]]  # name in a checkpoint to a network of the recipe and the name in that


def begin(recipe: Recipe[S, B], file: Path, convert: Convert | None = None) -> str:
    """Fill the networks of a recipe, as far as the file has them, each wholly.

    Args:
        recipe: built.
        file: a checkpoint; nothing in it is executed.
        convert: of the method, which knows the names of released files.

    Returns:
        What was taken from where and what begins anew, in one line.

    Raises:
        WeightsError: names or shapes of other networks, in one line.
    """
    networks = {name: part for name, part in recipe.state().items() if isinstance(part, nn.Module)}
    exported = set(recipe.export())
    slots = _slots(networks, exported)

    def fit(state: dict[str, Tensor]) -> dict[str, Tensor]:
        own = state if state.keys() & exported or convert is None else convert(state)
        if not own.keys() & exported:
            firsts = sorted({name.partition(".")[0] + "." for name in exported})
            own = next((new for p in firsts if (new := {p + k: v for k, v in own.items()}).keys() & exported), own)
        return _checked(own, slots, networks, exported)

    state, remark = fitting(read_tensors(file), file, "what is trained here", fit)
    filled: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name in slots:
            network, inner = slots[name]
            filled.setdefault(network, {})[inner] = value
    for network, tensors in filled.items():
        networks[network].load_state_dict(tensors, strict=False)
    anew = [name for name in networks if name not in filled]
    rest = f"; {', '.join(anew)} begin{'s' if len(anew) == 1 else ''} anew" if anew else ""
    return f"starting from {file}: {', '.join(filled)}{rest}" + (f"; {remark}" if remark else "")


def _slots(networks: Mapping[str, nn.Module], exported: set[str]) -> Slots:
    """Where the exported names belong: each network stands there under one prefix, or not at all."""
    slots: Slots = {}
    for network, module in networks.items():
        names = list(module.state_dict())
        if not names:
            continue
        ends = (name.removesuffix(names[0]) for name in sorted(exported) if name.endswith(names[0]))
        for prefix in ends:
            if all(prefix + name in exported for name in names) and prefix + names[0] not in slots:
                slots |= {prefix + name: (network, name) for name in names}
                break
    return slots


def _checked(
    state: dict[str, Tensor], slots: Slots, networks: Mapping[str, nn.Module], exported: set[str]
) -> dict[str, Tensor]:
    """The tensors, when each network that they are of is whole and of the same shapes."""
    if extra := sorted(state.keys() - exported):
        raise ValueError(f"{len(extra)} tensors are not of what is trained here, first {extra[0]}")
    begun = {slots[name][0] for name in state if name in slots}
    if not begun:
        raise ValueError("it has none of the networks that are trained here")
    for name, (network, inner) in slots.items():
        if network not in begun:
            continue
        wanted = networks[network].state_dict()[inner]
        if name not in state:
            child = inner.partition(".")[0]
            fixed = not any(p.partition(".")[0] == child for p, _ in networks[network].named_parameters())
            if fixed or inner.endswith("num_batches_tracked"):
                continue  # normalisation of the images, counts of batches
            missing = [n for n, (other, _) in slots.items() if other == network and n not in state]
            raise ValueError(f"{len(missing)} tensors of {network} are missing, first {missing[0]}")
        if state[name].shape != wanted.shape:
            raise ValueError(f"{name} has shape {list(state[name].shape)}, needed is {list(wanted.shape)}")
    return state
