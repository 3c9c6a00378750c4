"""Where this process finds plugins, data and its cache, and for whom; set by the command line or `fusionbench.api`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_cache_path


def _cache() -> Path:
    return user_cache_path("fusionbench")


@dataclass(frozen=True)
class Locations:
    """Folders outside the package, and who works there.

    Attributes:
        plugins: folders of further plugins.
        typed_plugins: those of them that were given with this command alone, as they were typed.
        cache: holds the weights that were added, and decoded training pairs.
        data: holds the datasets, where a command names no other.
        results: the results that `eval` writes, where a command names no other.
        who: who signs the results that are made here; "" where nobody does.
    """

    plugins: tuple[Path, ...] = ()
    typed_plugins: tuple[str, ...] = ()
    cache: Path = field(default_factory=_cache)
    data: Path = Path("data")
    results: Path = Path("results")
    who: str = ""


_locations: Locations | None = None


def current() -> Locations:
    """The folders in use; the defaults until somebody calls :func:`use`."""
    return _locations or Locations()


def use(locations: Locations) -> None:
    """From now on, in this process, these folders."""
    global _locations
    _locations = locations
