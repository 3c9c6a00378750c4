"""Are weights that were trained on generated scenes worth shipping? Their rows on real pairs beside a released one.

    fusionbench eval --datasets msrs --methods 'cldyn[scenes2]' --out RESULTS
    python benchmarks/scenes_weights.py RESULTS --data-root DIR [--dataset msrs] [--beside TABLE.json] [--row NAME]

A row passes that is within 10 % of the released one or better in six of the eight metrics, has a Qcv of at most 300,
and whose every picture's luma correlates with the larger of both sources by more than 0.8. RESULTS is what `eval` left;
the released row is read from the committed table, or from RESULTS where that has it and the pairs are not all there.
Prints Markdown; ends with 1 where a row does not pass.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fusionbench import environment
from fusionbench.data import Dataset, open_spec
from fusionbench.images import read_image
from fusionbench.pixels.images import grey
from fusionbench.report.tables import Table, build
from fusionbench.results.store import Store

REPO = Path(__file__).parents[1]
QCV, MOST, SHARE, NEEDED, LEAST = "qcv@liu2012", 300.0, 0.1, 6, 0.8


def near(value: float, released: float, direction: str) -> bool:
    """Whether a mean is within 10 % of the released one, or better."""
    return value >= (1 - SHARE) * released if direction == "up" else value <= (1 + SHARE) * released


def correlation(fused: np.ndarray, ir: np.ndarray, vis: np.ndarray) -> float:
    """Pearson's, of a picture and the larger source at each pixel, levels ``[H,W]``. 0 where one is constant."""
    x, y = fused.astype(float).ravel(), np.maximum(ir, vis).astype(float).ravel()
    x, y = x - x.mean(), y - y.mean()
    power = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / power) if power else 0.0


def correlations(store: Store, table: Table, dataset: Dataset, entry: str) -> dict[str, float]:
    """Of every picture of an entry, by image id."""
    board = table.board
    (key,) = (key for key, info in store.entries(board.output).items() if info.id == entry)
    found = {}
    for ident, made in store.fused(key, board.dataset, board.split, store.pairs(board.dataset, board.split)).items():
        pair = dataset.pair("test", ident)
        found[ident] = correlation(grey(read_image(store.folder / made.path))[0], pair.ir[0], grey(pair.vis)[0])
    return found


def alike(row: Mapping[str, float], wanted: Mapping[str, float], directions: Mapping[str, str]) -> list[str]:
    """The metrics in which a row is near the released one; an undefined mean (NaN) is not."""
    return [m for m, direction in directions.items() if near(row[m], wanted[m], direction)]


def released(path: Path, name: str) -> dict[str, float]:
    """Means of a row of a committed table, by metric.

    Raises:
        SystemExit: it has none.
    """
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
        if row["id"] == name:
            return {metric: cell["mean"] for metric, cell in row["scores"].items()}
    raise SystemExit(f"{path}: no row {name}")


def main() -> None:
    """Print the table of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--dataset", default="msrs")
    parser.add_argument("--data-root")
    parser.add_argument("--beside", type=Path, default=REPO / "leaderboards/msrs-fusion@v1.json")
    parser.add_argument("--row", default="refusion[ivif]")
    parser.add_argument("--entries", nargs="*", default=[])
    asked = parser.parse_args()
    environment.apply()
    dataset = open_spec(asked.dataset, asked.data_root)
    with Store(asked.results, create=False) as store:
        (board,) = store.boards(asked.dataset)
        table = build(store, board, entry_ids=asked.entries)
        directions = {m.id: m.card.facts.direction for m in table.metrics}  # QCV among them: every protocol has it
        rows = {row.id: {m: row.mean(m) for m in directions} for row in table.rows if not row.source_only}
        wanted = rows[asked.row] if asked.row in rows else released(asked.beside, asked.row)
        print(f"{board.title}, split {board.split}, {len(table.ids)} pairs; beside {asked.row}\n")
        print(f"| row | {' | '.join(directions)} | within 10 % | lowest correlation | at or below {LEAST} | passes |")
        print(f"|---|{'--:|' * (len(directions) + 3)}---|")
        print(f"| {asked.row} | {' | '.join(f'{wanted[m]:.3f}' for m in directions)} | | | | |")
        failed = []
        for name, row in rows.items():
            if name == asked.row:
                continue
            good, found = alike(row, wanted, directions), correlations(store, table, dataset, name)
            low, worst = sum(c <= LEAST for c in found.values()), min(found, key=lambda i: found[i])
            passes = len(good) >= NEEDED and row[QCV] <= MOST and not low
            failed += [] if passes else [name]
            cells = " | ".join(f"{row[m]:.3f}" if m in good else f"({row[m]:.3f})" for m in directions)
            ending = f"{found[worst]:.3f} ({worst}) | {low} | {'yes' if passes else 'no'} |"
            print(f"| {name} | {cells} | {len(good)} of {len(directions)} | {ending}", flush=True)
    print("\nIn brackets: not within 10 %.")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
