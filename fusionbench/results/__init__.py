"""What a run leaves behind: the store, merging of stores, and where numbers come from.

``fusionbench.results("results")`` is the Python interface to a folder, and this package has the same name; so it can
be called, and hands on to :func:`fusionbench.api.results`.
"""

import importlib
import sys
from types import ModuleType


class _Called(ModuleType):
    """This package, which can be called."""

    def __call__(self, folder: object = "results") -> object:
        return importlib.import_module("fusionbench.api").results(folder)


sys.modules[__name__].__class__ = _Called
