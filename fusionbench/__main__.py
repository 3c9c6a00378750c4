"""``python -m fusionbench``, and what the command ``fusionbench`` starts."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; Ctrl-C while that is still being imported ends in a line, as it does later."""
    try:
        from fusionbench.cli import main as begin
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing was begun\n")
        sys.exit(130)
    begin()


if __name__ == "__main__":
    main()
