"""What a fusion method is to the harness. Public names of :mod:`fusionbench.plugins`, for plugins."""

from fusionbench.plugins.method import Context, Method
from fusionbench.plugins.network_method import NetworkMethod, joined, singly, strict, tiled
from fusionbench.runtime.arithmetic import Arithmetic

__all__ = ["Arithmetic", "Context", "Method", "NetworkMethod", "joined", "singly", "strict", "tiled"]
