"""Which of the names that there are a person means, though it is typed in other letters."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

SEPARATORS = "-_ "


def fold(name: str) -> str:
    """A name without case, dashes, underscores and spaces, and in one form of Unicode."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in text if c not in SEPARATORS and not c.isspace())


def matches(name: str, known: Iterable[str], titles: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """The known names that may be meant.

    Args:
        name: as it was typed.
        known: the names.
        titles: known name to how else it is printed, such as in tables.

    Returns:
        The name itself where it is known; else those that, or whose titles, are the same text; else those that differ
        in case only; else those that also differ in dashes, underscores and spaces. Several where it is not clear.
    """
    names = list(dict.fromkeys(known))
    if name in names:
        return [name]
    spellings = {k: (k, *(titles or {}).get(k, ())) for k in names}
    for form in (_composed, _caseless, fold):
        wanted = form(name)
        if wanted and (found := [k for k, texts in spellings.items() if wanted in map(form, texts)]):
            return found
    return []


def meant(name: str, known: Iterable[str], titles: Mapping[str, Sequence[str]] | None = None) -> str:
    """The one known name that may be meant; what was typed where there is none, or it is not clear."""
    found = matches(name, known, titles)
    return found[0] if len(found) == 1 else name


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names that are most like a name, best first; [] where none is like it."""
    forms: dict[str, str] = {}
    for k in known:
        forms.setdefault(fold(k), k)
    wanted = fold(name)
    near = difflib.get_close_matches(wanted, forms, n=count)
    if len(wanted) > 2:
        near += [f for f in forms if (f.startswith(wanted) or wanted in f) and f not in near]
    return [forms[f] for f in near[:count]]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def _caseless(name: str) -> str:
    return _composed(name).casefold()
