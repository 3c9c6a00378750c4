"""Numbers as text."""

from __future__ import annotations


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals; what rounds to zero has no sign."""
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text
