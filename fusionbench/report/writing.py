"""Writes tables and, beside each, where its numbers come from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fusionbench.report.formats import FORMATS, render
from fusionbench.report.tables import Table
from fusionbench.report.task_tables import current, pages
from fusionbench.results.store import Store, storage_error


def write_tables(out: Path, tables: Iterable[Table], store: Store) -> list[Path]:
    """Every table in every format below ``out/tables``, with ``STEM.provenance.json`` beside it.

    Raises:
        FusionbenchError: when the files cannot be written.
    """
    written = []
    for table in tables:
        folder = out / "tables"
        texts = {f"{table.stem}.{suffix}": render(table, form) for form, suffix in FORMATS.items()}
        keys = {key: info["id"] for key, info in store.entries(table.board["output"]).items()}
        shown = {r.id: n for n, r in enumerate(table.rows)}
        rows = {k: i for k, i in sorted(keys.items(), key=lambda p: shown.get(p[1], 0)) if i in shown}
        for task, text in pages(store, table.board, rows).items():
            texts[f"{table.stem}.{task}.md"] = text
        texts[f"{table.stem}.provenance.json"] = provenance_of(table, store)
        for name, text in texts.items():
            written.append(write_text(folder / name, text))
    return written


def provenance_of(table: Table, store: Store) -> str:
    """Command, commit, versions, hardware, hashes and counts of a table, as JSON text."""
    label = table.board["dataset"]
    runs = [
        {k: v for k, v in r.items() if k != "plan"} | {"device": r["plan"]["device"], "jobs": r["plan"]["jobs"]}
        for r in store.runs()
        if label in {s["dataset"] for s in r["plan"]["sources"]} and (r["fused"] or r["scored"])
    ]
    ids = {key: info["id"] for key, info in store.entries(table.board["output"]).items()}
    trained: dict[str, list[dict[str, object]]] = {}
    for key, info in current(store, table.board):
        if key in ids:  # everything but the scores, which are on pages of their own
            trained.setdefault(ids[key], []).append({k: v for k, v in info.items() if k not in ("per_class",)})
    pairs = store.pairs(table.board["dataset"], table.board["split"])
    facts = {
        "table": table.stem,
        "board": table.board,
        "images": len(table.ids),
        "pairs": {i: pairs[i] for i in table.ids},
        "entries": [r.info for r in table.rows],
        "metrics": {
            m.id: {"version": m.card.data["version"], "code": m.code, "options": m.options} for m in table.metrics
        },
        "notes": list(table.notes),
        **(
            {"tasks": {e["id"]: found for e in [r.info for r in table.rows] if (found := trained.get(e["id"]))}}
            if trained
            else {}
        ),
        "runs": runs,  # every run that computed something for this dataset, oldest first
    }
    return json.dumps(facts, indent=1, sort_keys=True) + "\n"


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all.

    Raises:
        FusionbenchError: when it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):  # its folder may be a file
            part.unlink(missing_ok=True)
        raise storage_error(path, error) from None
    return path
