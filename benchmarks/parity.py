"""Measure how far every metric variant is from what others compute; write a page and the same bounds as data.

The page is ``docs/metrics-parity.md``, the data ``metrics/parity.json``, which ``fusionbench show`` reads.

    python benchmarks/parity.py            # write both
    python benchmarks/parity.py --check    # exit 1, with a diff, where they no longer agree

It needs the reference material beside the checkout (or at ``--shared``). What cannot be measured, for want of that
material or of a library, is taken over from the page as it stands, and the rest still has to agree.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from pathlib import Path

from _parity import REPO
from _parity.certificate import render
from _parity.measure import measure, unclaimed

PAGE, DATA = REPO / "docs/metrics-parity.md", REPO / "metrics/parity.json"


def check(shared: Path | None, page: Path = PAGE, data: Path = DATA, write: bool = False) -> list[str]:
    """What is wrong, as lines to print; nothing when all holds.

    Args:
        shared: the reference material; None: nothing is measured.
        page: the certificate.
        data: its bounds as data.
        write: bring both files up to date, instead of telling how they differ.
    """
    measured = measure(shared) if shared else None
    lines = measured.wrong() + unclaimed(shared) if measured and shared else []
    olds = [path.read_text(encoding="utf-8") if path.exists() else "" for path in (page, data)]
    for path, old, new in zip((page, data), olds, render(measured, olds[0]), strict=True):
        if write:
            path.write_text(new, encoding="utf-8")
        else:
            names = (f"{path.name} on disk", f"{path.name} measured")
            lines += difflib.unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="", n=0)
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing, exit 1 where it does not agree")
    parser.add_argument(
        "--shared", type=Path, default=Path(os.environ.get("FUSIONBENCH_SHARED", REPO.parent / "shared"))
    )
    options = parser.parse_args()
    shared = options.shared if (options.shared / "reference").is_dir() else None
    if shared is None and not options.check:
        parser.error(f"no reference material at {options.shared}")
    lines = check(shared, write=not options.check)
    names = " and ".join(str(path.relative_to(REPO)) for path in (PAGE, DATA))
    held = f"{names}: they hold" + ("" if shared else " (nothing measured)")
    print("\n".join(lines) or (held if options.check else f"wrote {names}"))
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
