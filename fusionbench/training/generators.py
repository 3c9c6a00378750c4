"""The global random number generators: seeded, looked at, put back."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from fusionbench.errors import WeightsError


def seed_all(seed: int) -> None:
    """Seed Python, numpy and torch on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def get_rng() -> dict[str, Any]:
    """States of all global random number generators, as plain values."""
    state: Any = np.random.get_state(legacy=True)
    name, keys, position, has_gauss, gauss = state
    return {
        "python": random.getstate(),
        "numpy": (
            name,
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_rng(states: Mapping[str, Any]) -> None:
    """Put them back; GPUs that were not there before keep theirs.

    Raises:
        WeightsError: they are no such states.
    """
    try:
        random.setstate(states["python"])
        name, keys, *rest = states["numpy"]
        np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
        torch.set_rng_state(states["torch"])
        for index, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, index)
    except Exception as error:  # whatever a file holds
        raise WeightsError(
            f"the checkpoint's random numbers cannot be used ({' '.join(str(error).split())[:120]})"
        ) from None


@contextmanager
def same_rng() -> Iterator[None]:
    """Leave the generators as they were."""
    states = get_rng()
    try:
        yield
    finally:
        set_rng(states)


def fingerprint() -> int:
    """A number that changes when a random number is drawn."""
    cards = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    states = [bytes(state.numpy()) for state in (torch.get_rng_state(), *cards)]
    drawn: Any = np.random.get_state(legacy=True)
    name, keys, *rest = drawn
    return hash((random.getstate(), name, keys.tobytes(), *rest, *states))
