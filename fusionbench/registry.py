"""From a plugin's name to its class or function. Public name of :mod:`fusionbench.plugins.registry`, for plugins."""

from fusionbench.plugins.registry import resolve

__all__ = ["resolve"]
