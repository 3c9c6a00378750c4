"""The page of the committed tables, with pictures of generated scenes alone: no image set states a licence to show it.

    python benchmarks/site.py --work build/site --out build/page

Draws pairs in the layouts of a few datasets, fuses and scores them with what is here, and writes the page.
What is there already is kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
LAYOUTS = {"fmb": "FMB", "m3fd": "M3FD"}  # dataset to the folder that its generated tree has


def fusionbench(*words: object, allowed: tuple[int, ...] = (0,)) -> None:
    """Run a command; other exit codes end this."""
    done = subprocess.run([sys.executable, "-m", "fusionbench", *map(str, words)], cwd=REPO)
    if done.returncode not in allowed:
        sys.exit(done.returncode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/site"), help="keeps pairs and results")
    parser.add_argument("--out", type=Path, default=Path("build/page"), help="of the page")
    parser.add_argument("--pairs", type=int, default=12, help="generated for each layout")
    parser.add_argument("--pictures", type=int, default=4, help="images of each that are shown")
    parser.add_argument("--costs", action="store_true", help="measure milliseconds and operations too, in minutes")
    asked = parser.parse_args()
    work, out = asked.work.resolve(), asked.out.resolve()
    for name, folder in LAYOUTS.items():
        tree = work / "data" / folder
        if not tree.is_dir():
            fusionbench("data", "synth", "--like", name, "--test", asked.pairs, "--out", tree)
    results = work / "scenes"
    # Methods without their weights are passed over, which is exit code 1.
    words = ("--datasets", ",".join(LAYOUTS), "--data-root", work / "data", "--out", results)
    fusionbench("eval", "--all", *words, allowed=(0, 1))
    if asked.costs and not (results / "costs.jsonl").is_file():
        fusionbench("cost", "--all", "--size", "256x320", "--out", results, allowed=(0, 1))
    logs = sorted((REPO / "leaderboards/tasks/logs").glob("*-seed0.jsonl"))
    training = [word for log in logs for word in ("--training", log)]
    fusionbench("site", results, REPO / "leaderboards", "--out", out, "--pictures", asked.pictures, *training)


if __name__ == "__main__":
    main()
