"""Outcomes of checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import Card
from fusionbench.plugins.records import Facts


class Outcome(NamedTuple):
    """One check: what was looked at, how it ended, and why where it did not pass."""

    name: str
    state: Literal["ok", "fail", "skip"]
    detail: str


class SkippedCheck(Exception):
    """Raised inside a check that cannot be done here; its text is the reason."""


@dataclass
class Report:
    """The outcome of every check of one plugin.

    Attributes:
        card: the plugin's.
        rows: in the order of the checks.
    """

    card: Card[Facts]
    rows: list[Outcome] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(row.state != "fail" for row in self.rows)

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """Run one check; what it raises is its failure, and the next check still runs."""
        try:
            yield
        except SkippedCheck as reason:
            self.rows.append(Outcome(name, "skip", str(reason)))
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            plain = isinstance(error, (AssertionError, FusionbenchError))
            self.rows.append(Outcome(name, "fail", text if plain else f"{type(error).__name__}: {text}"))
        else:
            self.rows.append(Outcome(name, "ok", ""))

    @property
    def passed(self) -> bool:
        """Whether the last check was done and passed."""
        return self.rows[-1].state == "ok"


def need(condition: object, text: str) -> None:
    """Fail the check with this text unless the condition holds.

    Raises:
        AssertionError: it does not.
    """
    if not condition:
        raise AssertionError(text)
