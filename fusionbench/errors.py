"""Errors a user may see: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from fusionbench.commas import listed, typed
from fusionbench.naming import matches, nearest


class FusionbenchError(Exception):
    """Something the user can mend. The command line prints its text and no traceback, and exits with 2."""


class DataError(FusionbenchError):
    """One image, pair, label or dataset cannot be used as it is."""


class PluginError(FusionbenchError):
    """A card or the code behind it breaks the plugin contract."""


class WeightsError(FusionbenchError):
    """A checkpoint is missing, damaged, or not what its card says."""


def did_you_mean(name: str, known: Iterable[str], several: bool = False) -> str:
    """The nearest known names, or all of them when nothing is near; ``several`` as in :func:`find`."""
    names = list(dict.fromkeys(known))
    near = nearest(name, names)
    joined: Callable[[Iterable[str]], str] = listed if several else ", ".join
    return f"did you mean {joined(near)}?" if near else f"there are: {joined(names) or 'none'}"


def find(
    name: str,
    known: Iterable[str],
    what: str,
    titles: Mapping[str, Sequence[str]] | None = None,
    error: type[FusionbenchError] = FusionbenchError,
    hint: str = "",
    several: bool = False,
) -> str:
    """The known name that is meant, see :func:`fusionbench.naming.matches`.

    Args:
        name: as it was typed.
        known: the names.
        what: begins the message, such as ``no metric``; the name and the nearest known ones follow.
        titles: known name to how else it is printed.
        error: the kind that is raised.
        hint: what else could be done, behind the nearest names.
        several: whether the name is of a list with commas; those that have one are named as they are typed there.

    Raises:
        FusionbenchError: no such name, or several that may be meant.
    """
    names = list(dict.fromkeys(known))
    found = matches(name, names, titles)
    if len(found) == 1:
        return found[0]
    if found:
        found = [typed(one) if several else one for one in found]
        raise error(f"{what} {name!r}: it may be {' or '.join(found)}; write it as it is")
    raise error(f"{what} {name!r}; {did_you_mean(name, names, several)}{hint}")
