"""Whether a method's authors confirmed a row: ``leaderboards/confirmations.toml``, or another file of the same keys."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from fusionbench.errors import FusionbenchError
from fusionbench.report.printed import committed
from fusionbench.runtime.decoding import decode
from fusionbench.runtime.files import read_regular

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE, MOST_BYTES = "confirmations.toml", 1 << 20
State = Literal["none", "confirmed", "disputed", "withdrawn"]
WORDS = {
    "none": "not confirmed by its authors",
    "confirmed": "confirmed by its authors",
    "disputed": "disputed by its authors",
    "withdrawn": "withdrawn by its authors",
}


class Confirmation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the authors of a method said of its row.

    Attributes:
        entry: id of the row, such as ``refusion[ivif]``, or name of a method for all its rows.
        state: what they said.
        source: where they said it.
        date: when.
        dataset: label of the tables that are meant; "" for all.
        protocol: token of the tables that are meant; "" for all.
        note: a line.
    """

    entry: str
    state: State
    source: str
    date: datetime.date
    dataset: str = ""
    protocol: str = ""
    note: str = ""


class Confirmations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    rows: tuple[Confirmation, ...] = ()


NONE = {"state": "none", "words": WORDS["none"]}


def confirmations(path: Path | None = None) -> tuple[Confirmation, ...]:
    """Every row of a file; by default those that came with the package.

    Raises:
        FusionbenchError: it cannot be read, or is something else.
    """
    file = committed(FILE) if path is None else path
    try:
        data = tomllib.loads(read_regular(file, "confirmations", MOST_BYTES).decode("utf-8"))
    except OSError as error:
        raise FusionbenchError(f"{file}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise FusionbenchError(f"{file}: no TOML file in UTF-8: {' '.join(str(error).split())}") from None
    return decode(Confirmations, data, file, FusionbenchError, "the file").rows


def of_row(known: Iterable[Confirmation], entry: str, method: str, dataset: str, protocol: str) -> dict[str, str]:
    """What is known of a row, for the page: what names it most exactly counts, of those the latest."""
    fitting = [
        (bool(c.protocol), bool(c.dataset), c.entry == entry, c.date, number, c)
        for number, c in enumerate(known)
        if c.entry in (entry, method) and c.dataset in ("", dataset) and c.protocol in ("", protocol)
    ]
    if not fitting:
        return NONE
    said = max(fitting, key=lambda found: found[:5])[-1]
    facts = {"state": said.state, "words": WORDS[said.state], "source": said.source, "date": said.date.isoformat()}
    return facts | ({"note": said.note} if said.note else {})
