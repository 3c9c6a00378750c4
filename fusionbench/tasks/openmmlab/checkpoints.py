"""Checkpoints of mmsegmentation's and mmdetection's own programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fusionbench.tasks.network import fit

if TYPE_CHECKING:
    from torch import Tensor, nn

INNER = "model."  # where our networks hold one of mmsegmentation or mmdetection
BESIDE = "data_preprocessor."  # normalisation, which comes from the config


def fit_inner(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names of our network, or of the one inside it; its normalisation is its own.

    Raises:
        WeightsError: names or shapes of another network.
    """
    own = network.state_dict()
    given = {name: value for name, value in state.items() if not name.startswith(BESIDE)}
    if not own.keys() & given.keys():
        given = {INNER + name: value for name, value in given.items()}
    rest = {name: value for name, value in own.items() if not name.startswith(INNER)}
    return fit(network, {**rest, **given} if len(rest) < len(own) else given)
