"""Errors a user may see: one line that says what is wrong, where, and what to do."""

from __future__ import annotations


class FusionbenchError(Exception):
    """Something the user can mend. The command line prints its text and no traceback, and exits with 2."""


class DataError(FusionbenchError):
    """One image, pair, label or dataset cannot be used as it is."""


class PluginError(FusionbenchError):
    """A card or the code behind it breaks the plugin contract."""


class WeightsError(FusionbenchError):
    """A checkpoint is missing, damaged, or not what its card says."""
