"""Errors a user may see: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fusionbench.naming import matches, nearest


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
    names = list(dict.fromkeys(known))
    near = nearest(name, names)
    return f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(names) or 'none'}"


def find(
    name: str,
    known: Iterable[str],
    what: str,
    titles: Mapping[str, Sequence[str]] | None = None,
    error: type[FusionbenchError] = FusionbenchError,
    hint: str = "",
) -> str:
    """The known name that is meant, see :func:`fusionbench.naming.matches`.

    Args:
        name: as it was typed.
        known: the names.
        what: begins the message, such as ``no metric``; the name and the nearest known ones follow.
        titles: known name to how else it is printed.
        error: the kind that is raised.
        hint: what else could be done, behind the nearest names.

    Raises:
        FusionbenchError: no such name, or several that may be meant.
    """
    names = list(dict.fromkeys(known))
    found = matches(name, names, titles)
    if len(found) == 1:
        return found[0]
    if found:
        raise error(f"{what} {name!r}: it may be {' or '.join(found)}; write it as it is")
    raise error(f"{what} {name!r}; {did_you_mean(name, names)}{hint}")
