"""Lists with commas and ``NAME=VALUE``: read as users type them, and names written so that they can be typed back."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fusionbench.errors import find

_QUOTE = re.compile(r'\s*"')
_QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?:,|\Z)')


def items(text: str) -> tuple[str, ...]:
    """The items of ``a,b``: commas in brackets part nothing, nor do those in double quotes, as in a CSV file.

    ``gff[r1=3,r2=4],average`` has two, ``"a,b",c`` too. A quote counts at the beginning of an item alone; inside, a
    quote is written twice. Blanks around items, and items that are empty, are left out.

    Raises:
        ValueError: a quote that nothing closes, or text behind one that is closed.
    """
    found, place = [], 0
    while place < len(text):
        if not _QUOTE.match(text, place):
            end = _outside(text, ",", place)
            end = len(text) if end < 0 else end
            found.append(text[place:end].strip())
            place = end + 1
        elif match := _QUOTED.match(text, place):
            found.append(match[1].replace('""', '"'))
            place = match.end()
        else:
            left = text[place:].strip()
            raise ValueError(f'{left}: quotes go around a whole name, as in "a,b",c; a quote in it is written twice')
    return tuple(filter(None, found))


def typed(name: str) -> str:
    """A name as an item of such a list: in quotes where it could not be read otherwise."""
    try:
        plain = items(f"{name},x") == (name, "x")
    except ValueError:
        plain = False
    return name if plain else '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str]) -> str:
    """Names as such a list."""
    return ", ".join(map(typed, names))


def find_item(name: str, known: Iterable[str], what: str) -> str:
    """The known name that an item means, see :func:`fusionbench.errors.find`; others are named as they are typed.

    Raises:
        FusionbenchError: no such name, or several that may be meant.
    """
    names = {typed(one): one for one in known}
    return names[find(name, names, what, {written: (one,) for written, one in names.items()})]


def parted(text: str) -> tuple[str, str, str]:
    """``NAME=VALUE`` as :meth:`str.partition` gives it, but at the first ``=`` outside of brackets.

    ``A[b=1,c=2]=DIR`` has the name ``A[b=1,c=2]``. Brackets that nothing closes are none.
    """
    place = _outside(text, "=")
    if place >= 0:
        return text[:place], "=", text[place + 1 :]
    closed = _outside(f"{text}=", "=") >= 0
    return (text, "", "") if closed else text.partition("=")


def _outside(text: str, sign: str, start: int = 0) -> int:
    """Where a sign first stands outside of brackets, -1 for nowhere."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] == sign and not depth:
            return place
        depth = max(0, depth + (text[place] in "[(") - (text[place] in "])"))
    return -1
