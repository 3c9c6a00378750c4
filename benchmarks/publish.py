"""Copies tables of a run into leaderboards/ and brings the two READMEs up to date with them.

python benchmarks/publish.py results/tables [...]
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

REPO = Path(__file__).parents[1]
BOARDS = REPO / "leaderboards"
SHOWN = "msrs-fusion@v1"  # the table in the README


def between(text: str, name: str, body: str) -> str:
    """Replace what stands between the two marks of a name."""
    begin, end = f"<!-- {name}: begins -->", f"<!-- {name}: ends -->"
    head, _, rest = text.partition(begin)
    return head + begin + "\n" + body.strip() + "\n" + end + rest.partition(end)[2]


def rows() -> str:
    """One line per table."""
    lines = ["| table | images | what it is |", "|---|---|---|"]
    for path in sorted(BOARDS.glob("*.json")):
        if path.name.endswith(".provenance.json"):
            continue
        table = json.loads(path.read_text())
        expected = table["expected"]
        images = f"{table['images']} of {expected}" if expected else str(table["images"])
        what = f"{len(table['rows'])} entries, {len(table['metrics'])} columns; {table['caption'].partition(':')[0]}"
        what += ", generated" if "Synthetic" in table["caption"] else ""
        target = path.with_suffix(".md").name
        lines.append(f"| [{path.stem}]({target}) | {images} | {what} |")
    return "\n".join(lines)


def main() -> None:
    for folder in map(Path, sys.argv[1:]):
        for path in folder.iterdir():
            if re.search(r"\.(md|tex|csv|json)$", path.name):
                shutil.copyfile(path, BOARDS / path.name)
    page = BOARDS / "README.md"
    page.write_text(between(page.read_text(), "tables", rows()))
    readme = REPO / "README.md"
    readme.write_text(between(readme.read_text(), SHOWN, (BOARDS / f"{SHOWN}.md").read_text()))


if __name__ == "__main__":
    main()
