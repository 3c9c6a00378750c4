"""The campaign's results as JSON, and as the figures of a page."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.conftest import REPO
from tests.faults.campaign.cases import Verdict, counted

BEGIN, END = "<!-- figures: begins (make campaign) -->", "<!-- figures: ends -->"
TITLES = {
    "kills": "Ended in the middle",
    "disk": "Disk full",
    "crafted": "Crafted stores, results and checkpoints",
    "images": "Bad images",
    "archives": "Archives and servers",
}


def read(path: Path) -> dict[str, Any]:
    """What is there of earlier runs, by kind."""
    return dict(json.loads(path.read_text())) if path.is_file() else {}


@functools.cache
def commit() -> str:
    """What is checked out when this is first called."""
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=REPO, capture_output=True, text=True)
    return git.stdout.strip() or "unknown"


def kind_of(verdicts: Iterable[Verdict], seconds: float, seed: int, complete: bool = True) -> dict[str, Any]:
    """One kind as plain data."""
    verdicts = list(verdicts)
    return {
        "commit": commit(),
        "when": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "seconds": round(seconds),
        "seed": seed,
        "complete": complete,
        "cases": len(verdicts),
        "outcomes": counted(verdicts),
        "faulty": sum(bool(v.faults) for v in verdicts),
        "verdicts": [asdict(v) for v in verdicts],
    }


def write(path: Path, results: dict[str, Any]) -> None:
    """Write the results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, default=str) + "\n")


def write_page(path: Path, results: dict[str, Any]) -> None:
    """Replace the figures of a page."""
    text = path.read_text(encoding="utf-8")
    block = f"{BEGIN}\n{figures(results)}{END}"
    path.write_text(re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, text, flags=re.DOTALL))


def figures(results: dict[str, Any]) -> str:
    """Tables of what was run and what came of it."""
    lines = ["| kind | cases | with a fault | seconds | commit | seed |", "|---|---:|---:|---:|---|---:|"]
    for kind, title in TITLES.items():
        if kind in results:
            r = results[kind]
            shown = title + ("" if r["complete"] else " (cut off)")
            lines.append(f"| {shown} | {r['cases']} | {r['faulty']} | {r['seconds']} | {r['commit']} | {r['seed']} |")
    first = next(iter(results.values()))
    lines += ["", f"{first['when']}, {first['processors']} cores, Python {first['python']}."]
    for kind, title in TITLES.items():
        if kind in results:
            lines += ["", f"### {title}", "", "| | cases | outcomes |", "|---|---:|---|"]
            for group, outcomes in results[kind]["outcomes"].items():
                shown = "; ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
                lines.append(f"| {group} | {sum(outcomes.values())} | {shown} |")
    return "\n".join(lines) + "\n"
