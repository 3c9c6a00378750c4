"""Counts in words: ``1 pair``, ``2 pairs are``, ``0 entries``."""

from __future__ import annotations

ONE = {"are": "is", "have": "has", "were": "was"}


def counted(count: int | str, noun: str, verb: str = "") -> str:
    """A count with its noun, both and the verb in the plural for any but one.

    Args:
        count: how many; as text where the number is unknown (``?``).
        noun: in the singular.
        verb: in the plural; none where it is empty.
    """
    if one := str(count) == "1":
        words = noun
    elif noun.endswith("y") and noun[-2:-1] not in "aeiou":
        words = f"{noun[:-1]}ies"
    else:
        words = f"{noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"
    verb = (ONE.get(verb) or f"{verb}s" if verb else "") if one else verb
    return f"{count} {words} {verb}".rstrip()
