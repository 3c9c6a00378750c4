"""docs/benchmarks.md, one part per benchmark."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def replace(part: str, title: str, lines: list[str]) -> None:
    """Write a benchmark's part of the page, and print it."""
    begin, end = f"<!-- {part}: begins -->", f"<!-- {part}: ends -->"
    text = PAGE.read_text() if PAGE.exists() else "# Benchmarks\n"
    if begin not in text:
        text += f"\n## {title}\n\n{begin}\n{end}\n"
    head, _, rest = text.partition(begin)
    PAGE.write_text(head + begin + "\n" + "\n".join(lines) + "\n" + end + rest.partition(end)[2])
    print("\n".join(lines))
