"""From a plugin's name to its class or function, imported on first use."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

from fusionbench.errors import PluginError
from fusionbench.plugins.cards import OUTSIDE, Card, card
from fusionbench.plugins.records import Facts

if TYPE_CHECKING:
    from torch import Tensor

    from fusionbench.plugins.method import Method

_objects: dict[tuple[str, str], object] = {}  # (module, object) to what was imported


def load_module(entry: Card[Facts], below: str = "") -> types.ModuleType:
    """Import the module behind a card, or one below its package; of a plugin in a file, one beside it.

    A plugin folder outside any package becomes a package of its own name.

    Raises:
        PluginError: there is none, or it cannot be imported.
    """
    package = entry.module.rpartition(".")[0]
    if package.startswith(OUTSIDE) and package not in sys.modules:
        home = types.ModuleType(package)
        home.__path__ = [str(entry.folder)]
        sys.modules[package] = home
    inner = entry.module if entry.source.name == "__init__.py" else package
    try:
        return importlib.import_module(f".{below}", inner) if below else importlib.import_module(entry.module)
    except Exception as error:
        # A stranger's code may raise anything at import; the user gets the file and the reason.
        what = f"importing {below}" if below else "importing it"
        raise PluginError(f"{entry.source}: {what} failed: {type(error).__name__}: {error}") from error


@overload
def resolve(kind: Literal["method"], name: str) -> type[Method]: ...
@overload
def resolve(kind: Literal["metric"], name: str) -> Callable[..., Tensor]: ...
@overload
def resolve(kind: str, name: str) -> Any: ...  # datasets and tasks: their classes lie in rooms above this one
def resolve(kind: str, name: str) -> object:
    """The class or function behind a plugin.

    Args:
        kind: ``method``, ``metric``, ``dataset`` or ``task``.
        name: as on the card.

    Raises:
        PluginError: unknown name, code that cannot be imported, or no such object in it.
    """
    entry = card(kind, name)
    key = (entry.module, entry.facts.object)  # not the name alone: another plugin folder may reuse it
    if key not in _objects:
        try:
            _objects[key] = getattr(load_module(entry), entry.facts.object)
        except AttributeError:
            text = f"{entry.source}: defines no {entry.facts.object!r}, which {entry.path.name} names"
            raise PluginError(text) from None
    return _objects[key]
