"""docs/benchmarks.md, one part per benchmark."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def replace(part: str, title: str, lines: list[str], page: Path = PAGE) -> None:
    """Write a benchmark's part of a page, and print it."""
    begin, end = f"<!-- {part}: begins -->", f"<!-- {part}: ends -->"
    text = page.read_text() if page.exists() else "# Benchmarks\n"
    if begin not in text:
        text += f"\n## {title}\n\n{begin}\n{end}\n"
    head, _, rest = text.partition(begin)
    page.write_text(head + begin + "\n" + "\n".join(lines) + "\n" + end + rest.partition(end)[2])
    print("\n".join(lines))
