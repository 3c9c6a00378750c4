"""What a published result claims, and whether it can be checked at all: read as a stranger's file.

Nothing in the file chooses a path, code that its table does not name, or more work than the bounds below.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.entries import entries
from fusionbench.plugins.cards import MethodCard, cards
from fusionbench.plugins.weights import installed
from fusionbench.report.published import Provenance, PublishedRow, PublishedTable, read
from fusionbench.report.task_claims import task_contradictions
from fusionbench.results.records import EntryInfo

SUFFIXES = (".provenance.json", ".json", ".md", ".csv", ".tex")
MOST = {"rows": 1000, "columns": 500, "pairs": 100_000, "task results": 10_000}
LARGEST_OPTION = 1e6


@dataclass(frozen=True)
class Claims:
    """A result's two files."""

    facts: Provenance
    table: PublishedTable

    @property
    def methods(self) -> dict[str, EntryInfo]:
        """Entry id to its facts."""
        return {entry.id: entry for entry in self.facts.entries}

    def only(self, rows: Collection[str]) -> Claims:
        """What the files say of some rows alone."""
        facts = msgspec.structs.replace(
            self.facts,
            entries=tuple(entry for entry in self.facts.entries if entry.id in rows),
            tasks={entry: own for entry, own in self.facts.tasks.items() if entry in rows},
            signed={entry: own for entry, own in self.facts.signed.items() if entry in rows},
        )
        return Claims(
            facts, msgspec.structs.replace(self.table, rows=tuple(r for r in self.table.rows if r.id in rows))
        )


def read_claims(result: Path) -> Claims:
    """The two files of a result, given any of its files.

    Raises:
        FusionbenchError: not there, no result, or beyond the bounds.
    """
    if result.is_dir():
        raise FusionbenchError(f"{result}: a folder; name a table's .json in it")
    stem = next((result.name.removesuffix(s) for s in SUFFIXES if result.name.endswith(s)), result.name)
    if not stem:
        raise FusionbenchError(f"{result}: not a file; a result is a table's .json")
    facts = read(result.with_name(f"{stem}.provenance.json"), Provenance)
    table = read(result.with_name(f"{stem}.json"), PublishedTable)
    sizes = {
        "rows": max(len(table.rows), len(facts.entries)),
        "columns": max(len(table.metrics), len(facts.metrics), len(facts.board.metrics), len(table.tasks)),
        "pairs": len(facts.pairs),
        "task results": sum(len(own) for own in facts.tasks.values()),
    }
    for what, size in sizes.items():
        if size > MOST[what]:
            raise FusionbenchError(f"{result}: {size} {what}; not more than {MOST[what]} are rerun")
    return Claims(facts, table)


def contradictions(claims: Claims) -> list[str]:
    """Where the files do not agree with each other or name nothing, a line each."""
    facts, table, board = claims.facts, claims.table, claims.facts.board
    count = len(facts.pairs)
    counts = {"the table's images": table.images, "the provenance's images": facts.images}
    lines = [f"{what}: {n}, but {count} pairs are listed" for what, n in counts.items() if n not in (None, count)]
    for name in ("dataset", "split", "protocol", "expected"):
        if getattr(board, name) != getattr(table, name):
            lines.append(f"{name}: {getattr(table, name)} in the table, {getattr(board, name)} in its provenance")
    if not facts.pairs:
        lines.append("no source pair is listed, so nothing can be verified")
    if not (table.rows and facts.entries):
        lines.append("no entry is listed, so nothing can be verified")
    lines += _unequal("rows", [row.id for row in table.rows], [entry.id for entry in facts.entries])
    heads = [head.id for head in table.metrics]
    lines += _unequal("columns", heads, facts.board.metrics)
    lines += _unequal("columns", heads, list(facts.metrics))
    for row in table.rows:
        lines += _row(row, claims, heads)
    return lines + task_contradictions(facts, table)


def _unequal(what: str, table: Iterable[str], provenance: Iterable[str]) -> list[str]:
    first, second = list(table), list(provenance)
    doubled = [name for name in dict.fromkeys((*first, *second)) if max(first.count(name), second.count(name)) > 1]
    lines = [f"{name}: twice among the {what}" for name in doubled]
    lines += [f"{name}: among the {what} of the table, not in its provenance" for name in first if name not in second]
    return lines + [f"{name}: in the provenance, not among the table's {what}" for name in second if name not in first]


def _row(row: PublishedRow, claims: Claims, heads: list[str]) -> list[str]:
    lines = [f"{row.id}: no value under {name}" for name in heads if name not in row.scores]
    lines += [f"{row.id}, {name}: a value without a column" for name in row.scores if name not in heads]
    for name, cell in row.scores.items():
        if cell.mean is not None and not math.isfinite(cell.mean):
            lines.append(f"{row.id}, {name}: {cell.mean} is no mean")
        if (cell.mean is None) is not (cell.n == 0) or not 0 <= cell.n <= len(claims.facts.pairs):
            lines.append(f"{row.id}, {name}: {cell.mean} is no mean over {cell.n} images")
    if entry := claims.methods.get(row.id):
        if (row.source_only, row.unverified) != (entry.source_only, entry.unverified):
            lines.append(f"{row.id}: ranked or not is another in the provenance")
        if row.trained_on != (entry.weights.trained_on if entry.weights else None):
            lines.append(f"{row.id}: what it was trained on is another in the provenance")
    return lines


def runnable_specs(claims: Claims, given: set[str], differences: list[str]) -> tuple[list[str], set[str]]:
    """The table's entries as users type them; those that cannot be run here are noted, as nothing verifies them.

    Args:
        claims: of the file.
        given: names of pictures whose folder the user named.
        differences: takes the notes.

    Returns:
        What can be run; and the ids of those whose pictures or weights are not at hand.
    """
    specs, absent = [], set()
    known = cards("method")
    rows = {row.id for row in claims.table.rows}
    for entry in claims.methods.values():
        card = known.get(entry.method)
        why = ""
        if entry.id not in rows:
            continue
        if card is None:
            why = f"no method {entry.method} here"
        elif card.facts.precomputed:
            name = entry.options.get(card.facts.label_option)
            if name not in given:
                why = f"pictures of another program; name them with images={name}=DIR"
                absent.add(entry.id)
        elif not (why := _unusable(card, entry)):
            if why := _missing(card, entry):
                absent |= {entry.id} if entry.weights and entry.weights.name not in at_hand(card.name) else set()
            else:
                specs.append(_spec(card, entry))
        if why:
            differences.append(f"{entry.id}: not checked: {why}")
    return specs, absent


def at_hand(method: str) -> set[str]:
    """Names of the checkpoints of a method that are here."""
    return {weights.name for weights in installed(method)}


def _unusable(card: MethodCard, entry: EntryInfo) -> str:
    """Why options from a file are not used."""
    for name, value in entry.options.items():
        if name not in card.options or name in card.facts.path_options:
            return f"{card.name} has no option {name} that a file may set"
        if type(value) is not type(card.options[name].default):
            return f"option {name} is no {type(card.options[name].default).__name__}"
        if isinstance(value, str) and any(c in "[],=" for c in value):
            return f"option {name} has a value that nobody can type"
        if not isinstance(value, str) and not abs(value) <= LARGEST_OPTION:
            return f"option {name} is beyond {LARGEST_OPTION:.0f}"
    return ""


def _missing(card: MethodCard, entry: EntryInfo) -> str:
    """Why an entry does not exist here."""
    try:
        rows, skipped = entries(_spec(card, entry), entry.output_rule)
    except FusionbenchError as error:
        return f"cannot run here: {error}"
    if not any(row.id == entry.id for row in rows):
        return f"cannot run here: {skipped[0]}" if skipped else "its method and options give another entry"
    return ""


def _spec(card: MethodCard, entry: EntryInfo) -> str:
    inside = [entry.weights.name] if entry.weights else []
    tied = {k for w in card.facts.weights for k in w.options}  # some checkpoint has its own value for it
    inside += [f"{k}={v}" for k, v in entry.options.items() if k in tied or v != card.defaults.get(k)]
    return entry.method + (f"[{','.join(inside)}]" if inside else "")
