"""Writes tables and, beside each, where its numbers come from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from fusionbench.report.formats import FORMATS, as_text
from fusionbench.report.made import signed_rows
from fusionbench.report.recorded import RecordedRow
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table
from fusionbench.report.task_intervals import by_class
from fusionbench.report.task_tables import pages, shown_results
from fusionbench.results.records import TaskResult
from fusionbench.results.storage_errors import storage_error
from fusionbench.results.store import Store
from fusionbench.runtime.files import short_name, sweep


def write_tables(out: Path, tables: Iterable[Table], store: Store) -> list[Path]:
    """Every table in every format below ``out/tables``, with ``STEM.provenance.json`` beside it.

    Raises:
        FusionbenchError: when the files cannot be written.
    """
    written = []
    for table in tables:
        stem = short_name(table.stem)
        texts = {f"{stem}.{suffix}": as_text(table, form) for form, suffix in FORMATS.items()}
        results = [(entry, by_class(result)) for entry, result in _results(table, store)]
        for task, text in pages(results, table.board, [r.id for r in table.rows]).items():
            texts[f"{stem}.{task}.md"] = text
        texts[f"{stem}.provenance.json"] = provenance_of(table, store)
        written += [write_text(out / "tables" / name, text) for name, text in texts.items()]
    return written


def provenance_of(table: Table, store: Store) -> str:
    """Command, commit, versions, hardware, hashes and counts of a table, as JSON text."""
    board, earlier = table.board, table.earlier
    ids = {key: entry.id for key, entry in store.entries(board.output).items()}
    trained: dict[str, list[object]] = {}
    for entry, result in _results(table, store):  # without the scores by class, which are on pages of their own
        trained.setdefault(entry, []).append({k: v for k, v in result.plain().items() if k != "per_class"})
    pairs = store.pairs(board.dataset, board.split)
    signed: dict[str, object] = {**(earlier.signed if earlier else {})}
    signed |= signed_rows(store, board, {key: r.info for key, r in _keyed(ids, table)}, store.makers())
    everything = {
        "table": table.stem,
        "board": board,
        "images": len(table.ids),
        "pairs": {i: pairs[i] for i in table.ids},
        "entries": [r.info for r in table.rows],
        "metrics": {m.id: {"version": m.card.version, "code": m.code, "options": m.options} for m in table.metrics},
        "notes": table.notes,
        **({"tasks": trained} if trained else {}),
        **({"signed": signed} if signed else {}),
        "runs": _once([*(earlier.runs if earlier else ()), *_runs(store, board.dataset)]),
    }
    return json.dumps(msgspec.to_builtins(everything), indent=1, sort_keys=True) + "\n"


def _once(runs: Iterable[object]) -> list[object]:
    """Runs, each once."""
    return list({json.dumps(run, sort_keys=True, default=msgspec.to_builtins): run for run in runs}.values())


def _results(table: Table, store: Store) -> tuple[tuple[str, TaskResult], ...]:
    """(entry id, result) of every network that a table shows."""
    own = table.results
    return shown_results(store, table.board, {row.id for row in table.rows}) if own is None else own


def _keyed(ids: Mapping[str, str], table: Table) -> list[tuple[str, Row]]:
    """Entry keys with the rows of a table; `ids` is key to entry id."""
    rows = {r.id: r for r in table.rows if not isinstance(r, RecordedRow)}
    return [(key, rows[name]) for key, name in ids.items() if name in rows]


def _runs(store: Store, dataset: str) -> list[dict[str, object]]:
    """Every run that computed something for a dataset, oldest first."""
    runs = []
    for run in store.runs():
        if dataset in {source.dataset for source in run.plan.sources} and (run.fused or run.scored):
            facts = run.plain()
            del facts["plan"]
            runs.append({**facts, "device": run.plan.device, "jobs": run.plan.jobs})
    return runs


def write_text(path: Path, text: str | bytes) -> Path:
    """Write a file whole or not at all.

    Raises:
        FusionbenchError: when it cannot be written.
    """
    part = path.with_name(f".{short_name(path.name)}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        part.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):  # its folder may be a file
            part.unlink(missing_ok=True)
        raise storage_error(path, error) from None
    return path
