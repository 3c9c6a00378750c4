"""How much memory a picture needs, by method, and what a pair of 3840x2160 would.

    python benchmarks/memory.py gff cddfuse --sizes 96x128,192x256,2160x3840 --out build/memory  # measures what is new
    python benchmarks/memory.py --out build/memory                                               # what was measured
    python benchmarks/memory.py --out build/memory --write                                       # and docs/memory.md

Each picture is made in a process of its own, as ``fusionbench cost`` does it: the most memory while it is made, above
what the process held with the method loaded. ``memory`` on a method's card is the last but one column, of the largest
pair. Memory is taken to grow with the pixels as it does between the two largest sizes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from fusionbench import environment
from fusionbench.cards import card
from fusionbench.evaluation.cost import Cost, measure
from fusionbench.evaluation.entries import entries
from fusionbench.registry import resolve
from fusionbench.report.cost_table import keep, kept

REPO = Path(__file__).parents[1]
PAGE, START, END = REPO / "docs/memory.md", "<!-- memory: begins -->", "<!-- memory: ends -->"
LARGE = (2160, 3840)
TELLING = 64 << 20  # bytes, below which a small picture says more of the process than of the method
BY_ROWS = ("refusion", "tdfusion")


def pixels(row: Cost) -> int:
    return row.height * row.width


def line(name: str, rows: list[Cost]) -> tuple[float, str]:
    """GiB of a large picture, and the table's line."""
    rows = sorted(rows, key=pixels)
    peaks = [(row.peak_mib or 0.0) * 2**20 for row in rows]
    slope = peaks[-1] / pixels(rows[-1])
    if len(rows) > 1:
        slope = max(0.0, peaks[-1] - peaks[-2]) / (pixels(rows[-1]) - pixels(rows[-2]))
    large = peaks[-1] + slope * (LARGE[0] * LARGE[1] - pixels(rows[-1]))
    sizes = ", ".join(f"{row.width}x{row.height}: {peak / 2**20:,.0f}" for row, peak in zip(rows, peaks, strict=True))
    how = "measured" if pixels(rows[-1]) == LARGE[0] * LARGE[1] else "estimated"
    each = large / (LARGE[0] * LARGE[1])
    return large / 2**30, f"| {name} | {sizes} | {each:,.0f} | {large / 2**30:,.1f} ({how}) |"


def in_parts(name: str) -> bool:
    return name in BY_ROWS or bool(getattr(resolve("method", name), "halo", 0))


def table(rows: list[Cost]) -> str:
    by_name: dict[str, list[Cost]] = defaultdict(list)
    for row in rows:
        method = row.entry.partition("[")[0]
        if row.device == "cpu" and row.peak_mib is not None and not row.failure and not in_parts(method):
            by_name[row.entry].append(row)
    told = {
        name: found
        for name, found in by_name.items()
        if max(map(pixels, found)) > 10**6 or max(row.peak_mib or 0 for row in found) * 2**20 >= TELLING
    }
    lines = [text for _, text in sorted(line(name, found) for name, found in told.items())]
    head = "| method | MiB of a picture | bytes a pixel | GiB of 3840x2160 |\n|---|---|---:|---:|"
    return "\n".join([head, *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--sizes", default="96x128,192x256", help="height x width, separated by commas")
    parser.add_argument("--out", type=Path, required=True, help="folder of what was measured")
    parser.add_argument("--write", action="store_true", help="write the table into docs/memory.md")
    arguments = parser.parse_args()
    environment.apply()
    here = {(row.entry, row.height, row.width) for row in kept(arguments.out) if not row.failure}
    for name in arguments.methods:
        found = entries(name, untrained=True)[0]
        for size in arguments.sizes.split(","):
            height, width = map(int, size.split("x"))
            new = [entry for entry in found[:1] if (entry.id, height, width) not in here]
            for row in measure(new, (height, width), "cpu", 1, 1):
                keep(arguments.out, row)
    text = table(kept(arguments.out))
    for row in kept(arguments.out):
        if row.failure:
            text += f"\n- {row.entry} at {row.width}x{row.height}: {row.failure}"
    print(text)
    for name in arguments.methods:
        print(f"{name}: the card says memory = {card('method', name.partition('[')[0]).facts.memory}")
    if arguments.write:
        before, _, rest = PAGE.read_text().partition(START)
        PAGE.write_text(f"{before}{START}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
