"""Another machine's scores, some of them computed again from its pictures and the data here."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from fusionbench.counting import counted
from fusionbench.data import Dataset, open_spec
from fusionbench.errors import FusionbenchError, PluginError
from fusionbench.evaluation.protocol import Metric, metric
from fusionbench.evaluation.runner import one_thread
from fusionbench.evaluation.scoring import Views, score
from fusionbench.plugins.registry import resolve
from fusionbench.report.places import Places
from fusionbench.results.merged_pictures import is_safe
from fusionbench.results.records import Board
from fusionbench.results.schema import BoardRow
from fusionbench.results.store import Fused, Store


@dataclass
class Verification:
    """What came of it.

    Attributes:
        checked: number of scores computed again.
        wrong: scores that are not what the store says, a line each.
        unchecked: what could not be computed here, a line each.
        rows: entry key, dataset and split of what has scores that were computed again.
    """

    checked: int = 0
    wrong: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    rows: set[tuple[str, str, str]] = field(default_factory=set)


def verify(
    store: Store, count: int, data_root: Path | None = None, fetch: Callable[[str], str] = lambda _: ""
) -> Verification:
    """Compute the scores of some pictures of every entry again.

    Args:
        store: of another machine.
        count: pictures of each entry and dataset, drawn at random.
        data_root: folder of the datasets.
        fetch: makes the file of a picture be there; why it is refused, or "".
    """
    result = Verification()
    metrics: dict[str, Metric] = {}
    for name in store.metrics():
        with contextlib.suppress(PluginError):  # of a plugin that is not here
            metrics[name] = metric(name)
    scores = store.scores({name: m.code for name, m in metrics.items()})
    if missing := len(store.metrics()) - len({name for _, _, name in scores}):
        result.unchecked.append(f"{counted(missing, 'metric')}: computed by other code, or not here")
    with one_thread(), torch.inference_mode():
        for board in store.boards() if store.rows(BoardRow) else ():
            try:
                spec = Places(data_root=data_root).dataset_of(board, result.unchecked)
                dataset = open_spec(spec, data_root) if spec else None
            except FusionbenchError as error:
                result.unchecked.append(str(error))
                continue
            if dataset is None or board.split not in dataset.splits():
                result.unchecked.append(f"{board.dataset} {board.split}: not here")
                continue
            if line := _other_list(dataset, board):
                result.unchecked.append(line)
            for key, where, ident, fused in _drawn(store, board, count):
                values = {name: scores[fused.image, fused.pair, name] for name in metrics if _has(scores, fused, name)}
                try:
                    if reason := fetch(fused.path):
                        raise FusionbenchError(reason)
                    again = _scores(dataset, board.split, ident, store, fused, {n: metrics[n] for n in values})
                except FusionbenchError as error:
                    result.unchecked.append(f"{where}: {str(error).replace(f'{store.folder}/', '')}")
                    continue
                result.checked += len(again)
                result.rows |= {(key, board.dataset, board.split)} if again else set()
                result.wrong += [
                    f"{where}, {name}: {values[name]}, computed {value}"
                    for name, value in again.items()
                    if value != values[name] and not (math.isnan(value) and math.isnan(values[name]))
                ]
    return result


def _other_list(dataset: Dataset, board: Board) -> str:
    """What is another here of a board's list of images, in a line; "" where it is the same."""
    split = dataset.split(board.split)
    count = len(split.ids) if split.ids is not None else split.count
    if board.split_sha256 != split.sha256:
        return f"{board.dataset} {board.split}: the list of images is another here"
    if not board.origin.generator and None not in (count, board.expected) and count != board.expected:
        return f"{board.dataset} {board.split}: {counted(str(count), 'image', 'belong')} to it, not {board.expected}"
    return ""


def _has(scores: dict[tuple[str, str, str], float], fused: Fused, name: str) -> bool:
    return (fused.image, fused.pair, name) in scores


def _drawn(store: Store, board: Board, count: int) -> Iterator[tuple[str, str, str, Fused]]:
    """Some pictures of every entry: its key, what to call them, the image's id, the picture.

    Those that are in the folder, where some are: a folder may hold a sample, or what is fetched when it is wanted.
    """
    pairs = store.pairs(board.dataset, board.split)
    for key, entry in store.entries(board.output).items():
        every = store.fused(key, board.dataset, board.split, pairs)
        there = {i: f for i, f in every.items() if is_safe(f.path) and (store.folder / f.path).is_file()}
        fused = there or every
        for ident in random.sample(sorted(fused), min(count, len(fused))):
            yield key, f"{entry.id} on {board.dataset} {board.split} {ident}", ident, fused[ident]


def _scores(
    dataset: Dataset, split: str, ident: str, store: Store, fused: Fused, metrics: dict[str, Metric]
) -> dict[str, float]:
    """Scores of a picture by metric id.

    Raises:
        FusionbenchError: the pair here is another, or the picture is not what its record says.
    """
    if dataset.hash(split, ident) != fused.pair:
        raise FusionbenchError("its source pair has other bytes here")
    if not is_safe(fused.path):
        raise FusionbenchError("its path is not one of a fused picture")
    picture = store.shelf.read(fused.path, fused.image)
    pair = dataset.pair(split, ident)
    views = [Views(array, "cpu") for array in (picture, pair.ir, pair.vis)]
    return {name: score(resolve("metric", m.card.name), m, *views) for name, m in metrics.items()}
