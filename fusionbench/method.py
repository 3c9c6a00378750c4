"""What a fusion method is to the harness. Public name of :mod:`fusionbench.plugins.method`, for plugins."""

from fusionbench.plugins.method import Context, Method

__all__ = ["Context", "Method"]
