"""Errors a user may see: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FusionbenchError(Exception):
    """Something the user can mend. The command line prints its text and no traceback, and exits with 2."""


class DataError(FusionbenchError):
    """One image, pair, label or dataset cannot be used as it is."""


class PluginError(FusionbenchError):
    """A card or the code behind it breaks the plugin contract."""


class WeightsError(FusionbenchError):
    """A checkpoint is missing, damaged, or not what its card says."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest known names, or all of them when nothing is near."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3)
    return f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(names)}"
