"""Counts in words."""

from __future__ import annotations

import pytest

from fusionbench.counting import counted


@pytest.mark.parametrize(
    ("count", "noun", "verb", "text"),
    [
        (0, "pair", "", "0 pairs"),
        (1, "pair", "", "1 pair"),
        ("1", "pixel", "", "1 pixel"),
        ("0.5", "pixel", "", "0.5 pixels"),
        ("?", "pair", "", "? pairs"),
        ("3 of 361", "pair", "", "3 of 361 pairs"),
        (2, "entry", "", "2 entries"),
        (2, "key", "", "2 keys"),
        (24, "box", "", "24 boxes"),
        (3, "class", "", "3 classes"),
        (1, "result", "are", "1 result is"),
        (2, "result", "are", "2 results are"),
        (1, "image", "belong", "1 image belongs"),
        (1, "file", "have", "1 file has"),
    ],
)
def test_counted(count: int | str, noun: str, verb: str, text: str) -> None:
    assert counted(count, noun, verb) == text
