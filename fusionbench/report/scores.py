"""Per-image scores as a data frame, with the hashes of what they were computed from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pandas as pd

from fusionbench.errors import PluginError
from fusionbench.evaluation.protocol import Metric, metric
from fusionbench.report.markup import csv_cell
from fusionbench.results.records import SOURCE, Board, EntryInfo, Made
from fusionbench.results.storage_errors import storage_error
from fusionbench.results.store import Store


def frame(store: Store, boards: Iterable[Board], entries: Iterable[str] = ()) -> pd.DataFrame:
    """Every per-image score of current code, one row each, with the hashes that say what it was computed from.

    Where anybody signed results of the store, each row says besides who made the picture, when and on which machine.

    Args:
        store: an output directory's results.
        boards: which datasets, splits and output rules.
        entries: only these ids or method names.
    """
    metrics: dict[str, Metric] = {}
    for name in store.metrics():
        with contextlib.suppress(PluginError):  # of a plugin that is not here now
            metrics[name] = metric(name)
    scores = store.scores({name: m.code for name, m in metrics.items()})
    names, makers = set(entries), store.makers()
    signed = any(made.signature for made in makers.values())
    return pd.DataFrame(
        {
            "protocol": board.protocol,
            "dataset": board.dataset,
            "split": board.split,
            "split_sha256": board.split_sha256,
            "entry": entry.id,
            "weights_sha256": entry.weights.sha256 if entry.weights else "",
            "output_rule": entry.output_rule,
            "method_code": entry.code,
            "id": ident,
            "metric": name,
            "metric_version": m.card.version,
            "metric_code": m.code,
            "value": scores[image, pair, name],
            "pair_sha256": pair,
            "fused_sha256": image,
            **(_signature(makers.get(made, Made())) if signed else {}),
        }
        for board in boards
        for entry, ident, pair, image, made in _pictures(store, board, names)
        for name, m in metrics.items()
        if (image, pair, name) in scores
    )


def _pictures(store: Store, board: Board, names: set[str]) -> Iterator[tuple[EntryInfo, str, str, str, int]]:
    """(entry, image id, hash of the pair, hash of the fused picture, who made it) of everything that did not fail."""
    pairs = store.pairs(board.dataset, board.split)
    failures = store.failures(board.dataset, board.split)
    for key, entry in store.entries(board.output).items():
        if not names or names & {entry.id, entry.method}:
            for ident, picture in store.fused(key, board.dataset, board.split, pairs).items():
                if (key, ident) not in failures and (SOURCE, ident) not in failures:
                    yield entry, ident, picture.pair, picture.image, picture.made


def _signature(made: Made) -> dict[str, str]:
    """Who made a picture, when and on what; columns of a store in which somebody signed."""
    return {
        "who": "" if made.who is msgspec.UNSET else made.who,
        "when": "" if made.when is msgspec.UNSET else made.when,
        "machine": made.processor,
    }


def write_frame(path: Path, rows: pd.DataFrame) -> None:
    """Write a data frame as ``.parquet`` or ``.csv``, by the name's suffix.

    Raises:
        FusionbenchError: when the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".parquet":
            from pyarrow import Table, parquet

            parquet.write_table(Table.from_pandas(rows, preserve_index=False), path)
        else:
            texts = rows.select_dtypes(["object", "string"]).columns
            safe = {
                name: rows[name].map(lambda text: csv_cell(text) if isinstance(text, str) else text) for name in texts
            }
            rows.assign(**safe).to_csv(path, index=False)
    except OSError as error:
        raise storage_error(path, error) from None
