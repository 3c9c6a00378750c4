"""From a plugin's name to its class or function, imported on first use."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from fusionbench.errors import PluginError
from fusionbench.plugins.cards import KINDS, Card, card

_registries: dict[str, Any] = {}


def _registry(kind: str) -> Any:
    if not _registries:
        from mmengine.registry import Registry

        _registries.update({k: Registry(f"fusionbench {k}") for k in KINDS})
    return _registries[kind]


def _import(entry: Card) -> types.ModuleType:
    """Import the module behind a card; a folder outside any package becomes a package of its own name."""
    package = entry.module.rpartition(".")[0]
    if package.startswith("fusionbench_plugins_") and package not in sys.modules:
        home = types.ModuleType(package)
        home.__path__ = [str(_folder(entry))]
        sys.modules[package] = home
    try:
        return importlib.import_module(entry.module)
    except Exception as error:
        # A stranger's code may raise anything at import; the user gets the file and the reason.
        raise PluginError(f"{entry.source}: importing it failed: {type(error).__name__}: {error}") from error


def _folder(entry: Card) -> Path:
    return entry.path.parent.parent if entry.path.name == "card.toml" else entry.path.parent


def resolve(kind: str, name: str) -> Any:
    """The class or function behind a plugin.

    Args:
        kind: ``method``, ``metric``, ``dataset`` or ``task``.
        name: as on the card.

    Raises:
        PluginError: unknown name, code that cannot be imported, or no such object in it.
    """
    entry = card(kind, name)
    registry = _registry(kind)
    # The module is in the key, as another --plugins folder may reuse the name; a dot would mean a scope to mmengine.
    key = f"{entry.module}:{name}".replace(".", "/")
    found = registry.module_dict.get(key)
    if found is None:
        module = _import(entry)
        found = getattr(module, entry.data["object"], None)
        if found is None:
            raise PluginError(f"{entry.source}: defines no {entry.data['object']!r}, which {entry.path.name} names")
        registry.register_module(name=key, module=found, force=True)
    return registry.get(key)
