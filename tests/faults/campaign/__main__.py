"""Runs the campaign: ``python -m tests.faults.campaign``."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> int:
    """Run what is asked for; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--kinds", default="", help="some of kills, disk, crafted, images, archives [all]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few cases of each kind")
    parser.add_argument(
        "--out", type=Path, default=Path("build/campaign.json"), help="results of the kinds that are run"
    )
    parser.add_argument("--page", type=Path, help="whose figures are written anew, from all results in --out")
    asked = parser.parse_args()
    if any(name not in os.environ for name in SINGLE):  # before any library reads them
        return subprocess.run(
            [sys.executable, "-m", "tests.faults.campaign", *sys.argv[1:]], env={**os.environ, **SINGLE}
        ).returncode

    from tests.faults.campaign import forks, jobs, kinds, record
    from tests.faults.campaign.server import serving

    record.commit()  # as it is now
    forks.warm_up(asked.quick)
    chosen = [name for name in asked.kinds.split(",") if name] or list(kinds.KINDS)
    scratch = Path(tempfile.mkdtemp(prefix="fusionbench-campaign-"))
    results = record.read(asked.out)
    found = 0
    try:
        inputs = jobs.make_inputs(scratch / "inputs", asked.quick)
        with serving(inputs.root) as url:
            for kind in chosen:
                began, verdicts = time.monotonic(), []
                for verdict in kinds.KINDS[kind](replace(inputs, url=url), scratch / kind, asked.seed, asked.quick):
                    verdicts.append(verdict)
                    found += bool(verdict.faults)
                    print(f"{kind} {len(verdicts)}: {verdict.name}: {verdict.outcome}", flush=True)
                    for fault in verdict.faults:
                        print(f"  FAULT {fault}", flush=True)
                    results[kind] = record.kind_of(verdicts, time.monotonic() - began, asked.seed, complete=False)
                    record.write(asked.out, results)  # should this be cut off
                results[kind] = record.kind_of(verdicts, time.monotonic() - began, asked.seed)
                record.write(asked.out, results)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if asked.page:
        record.write_page(asked.page, results)
    print(f"{found} cases with faults", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
