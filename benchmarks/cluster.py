"""A local Ray cluster of two workers against ``--jobs 2``, turn by turn on the same pairs.

``python benchmarks/cluster.py`` prints a line for each run: seconds of the whole command, and those of the work, which
the command's last line says: without the start of Python, torch and Ray, but with the import of torch in Ray's workers.
Tables have to have the same bytes.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = ("eval", "--methods=average,laplacian,gff,visible", "--metrics=en,sf,vif,qabf,ssim", "--datasets=msrs")
SIDES = {"--jobs 2": ("--jobs=2",), "ray": ("--cluster=local",)}


def fusionbench(*words: object) -> tuple[float, str]:
    began = time.monotonic()
    command = [sys.executable, "-m", "fusionbench", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.monotonic() - began, done.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--size", default="240x320")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    work: dict[str, list[float]] = {side: [] for side in SIDES}
    whole: dict[str, list[float]] = {side: [] for side in SIDES}
    tables: set[bytes] = set()
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "data/MSRS")
        fusionbench("data", "synth", "--like=msrs", "--test", asked.pairs, "--size", asked.size, "--out", tree)
        for turn in range(asked.turns):
            for side, more in SIDES.items():
                out = Path(scratch, f"{side}{turn}".replace(" ", ""))
                seconds, said = fusionbench(*WORDS, "--data-root", tree.parent, "--out", out, *more)
                found = re.search(r"computed in ([0-9.]+) s", said)
                assert found, said
                whole[side].append(seconds)
                work[side].append(float(found[1]))
                tables.add(next(path for path in out.glob("tables/*.md")).read_bytes())
                print(f"{side}: {seconds:.1f} s, of which the work {found[1]} s", flush=True)
    one, ray = SIDES
    for name, times in (("whole commands", whole), ("the work", work)):
        ratio = statistics.median(times[one]) / statistics.median(times[ray])
        print(f"{name}: Ray has {ratio:.2f} of the speed of --jobs 2 (medians of {asked.turns})")
    print(f"tables: {'the same bytes' if len(tables) == 1 else 'THEY DIFFER'}")


if __name__ == "__main__":
    main()
