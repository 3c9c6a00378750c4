"""What ``fusionbench doctor`` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fusionbench.cli.spelling import spelt


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: ``bad`` must be mended, ``note`` may be.
        what: was looked at.
        found: what it is.
        fix: how to mend it.
    """

    state: Literal["ok", "note", "bad"]
    what: str
    found: str
    fix: str = ""

    def text(self) -> str:
        """For the terminal."""
        return f"{self.state:<4}  {self.what}: {self.found}" + (f"\n      fix: {spelt(self.fix)}" if self.fix else "")

    def to_dict(self) -> dict[str, str]:
        """For --json."""
        return {"state": self.state, "what": self.what, "found": self.found, "fix": spelt(self.fix)}
