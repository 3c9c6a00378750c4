"""From what a store holds of a board to the rows of its table."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fusionbench.counting import counted
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import Metric
from fusionbench.report.rows import Row
from fusionbench.results.records import SOURCE, SOURCE_NAME, Board
from fusionbench.results.store import Store

Pictures = dict[str, dict[str, int]]  # entry key -> image id -> row of the scores


class NothingToShow(FusionbenchError):
    """A board has no image that every entry which is meant was scored on."""


class BoardScores:
    """What a store holds of one board under some metrics.

    Args:
        store: an output directory's results.
        board: which dataset, split and output rule.
        columns: the metrics.
        ids: only these images; None for all.
    """

    def __init__(self, store: Store, board: Board, columns: tuple[Metric, ...], ids: Iterable[str] | None) -> None:
        self.store, self.board, self.columns = store, board, columns
        self.where = f"{board.dataset} {board.split}"
        wanted = None if ids is None else set(ids)
        pairs = store.pairs(board.dataset, board.split)
        self.pairs = {i: h for i, h in pairs.items() if wanted is None or i in wanted}
        self.entries = store.entries(board.output)
        self.failures = store.failures(board.dataset, board.split)
        self.scores = store.score_table({m.id: m.code for m in columns}, board.dataset, board.split)
        whole = set(np.flatnonzero(self.scores.present.all(axis=1)).tolist())  # rows that lack no column
        self.scored = {picture: row for picture, row in self.scores.rows.items() if row in whole}

    def chosen(self, keys: Iterable[str] | None, names: set[str]) -> list[str]:
        """Keys of the entries that are meant: of these keys, those with one of these ids or method names."""
        known = [k for k in (self.entries if keys is None else keys) if k in self.entries]
        return [k for k in known if not names or names & {self.entries[k].id, self.entries[k].method}]

    def complete(self, keys: Iterable[str]) -> tuple[Pictures, list[str]]:
        """The pictures that have every score, and a note for each entry without any."""
        pictures: Pictures = {}
        notes = []
        for key in keys:
            fused, ident = self._fused(key), self.entries[key].id
            failed = {i for k, i in self.failures if k in (key, SOURCE)}
            rows = {i: self.scored.get((image, self.pairs[i])) for i, image in fused.items() if i not in failed}
            own = {i: row for i, row in rows.items() if row is not None}
            reasons = [why for (k, i), why in self.failures.items() if k == key and i in self.pairs]
            if own:
                pictures[key] = own
            elif reasons:
                notes.append(f"No row for {ident}: {counted(len(reasons), 'image')} failed, e.g. {reasons[0]}")
            elif fused:
                notes.append(f"No row for {ident}: not scored with all of these metrics.")
        return pictures, notes

    def common(self, pictures: Pictures, notes: list[str]) -> tuple[str, ...]:
        """The images that every entry has.

        Raises:
            NothingToShow: there is none.
        """
        if not pictures:
            raise NothingToShow(
                f"{self.store.path}: no complete scores for {self.where} with {', '.join(m.id for m in self.columns)}; "
                + (" ".join(notes) or "run `fusionbench eval` with these metrics")
            )
        common = sorted(set.intersection(*(set(own) for own in pictures.values())))
        if not common:
            raise NothingToShow(
                f"{self.store.path}: the entries share no image of {self.where}; choose some with methods="
            )
        return tuple(common)

    def shown(self, pictures: Pictures, ids: Iterable[str]) -> dict[str, dict[str, str]]:
        """Entry key to image id to hash of the picture, of some images."""
        names = {row: picture for (picture, _), row in self.scores.rows.items()}
        return {key: {i: names[own[i]] for i in ids} for key, own in pictures.items()}

    def row(self, key: str, pictures: dict[str, int], ids: tuple[str, ...]) -> Row:
        """The scores of an entry on some images."""
        values = self.scores.values[[pictures[i] for i in ids]]
        return Row(self.entries[key], {m.id: values[:, number].copy() for number, m in enumerate(self.columns)})

    def excluded(self, pictures: Pictures) -> list[str]:
        """Images that are not in the table, and why."""
        notes = []
        for (key, ident), why in sorted(self.failures.items()):
            if key == SOURCE or key in pictures:
                name = SOURCE_NAME if key == SOURCE else self.entries[key].id
                notes.append(f"Excluded image {ident} ({name}): {why}")
        sizes = {key: len(own) for key, own in pictures.items()}
        if len(set(sizes.values())) > 1:
            most = max(sizes.values())
            fewer = ", ".join(f"{self.entries[k].id} {n}" for k, n in sorted(sizes.items()) if n < most)
            notes.append(f"Only images that every row has are scored; fewer than {most} have: {fewer}.")
        return notes

    def others(self, keys: Iterable[str]) -> bool:
        """Whether further entries have pictures of these pairs."""
        return any(self._fused(key) for key in set(self.entries) - set(keys))

    def _fused(self, key: str) -> dict[str, str]:
        return self.store.images(key, self.board.dataset, self.board.split, self.pairs)


def leave_out_undefined(m: Metric, rows: list[Row]) -> list[str]:
    """Leave out of a column the images on which it is undefined for some ranked row, so that all means are comparable.

    So are images where it is infinite. Rows where it is so everywhere take no part. Changes the rows' values; returns
    what to note.
    """
    why = m.card.facts.undefined_of(m.variant)
    undefined = "infinite or undefined" if any(np.isinf(r.values[m.id]).any() for r in rows) else "undefined"
    for r in rows:
        r.values[m.id][~np.isfinite(r.values[m.id])] = np.nan
    nowhere = [r for r in rows if r.undefined(m.id).all()]
    ranked = [r for r in rows if r.ranked and not r.undefined(m.id).all()]
    notes = []
    if nowhere:
        notes.append(f"{m.title} of {', '.join(sorted(r.id for r in nowhere))} is {undefined} on every image: {why}.")
    gaps = {r.id: int(r.undefined(m.id).sum()) for r in ranked}
    if any(gaps.values()):
        dropped = np.any([r.undefined(m.id) for r in ranked], axis=0)
        for r in ranked:
            r.values[m.id][dropped] = np.nan
        named = ", ".join(f"{name} {n}" for name, n in sorted(gaps.items()) if n)
        notes.append(
            f"{m.title}: {int(dropped.sum())} of {dropped.size} images are left out for all ranked rows, as it is "
            f"{undefined} there for some ({named}): {why}."
        )
    return notes


def out_of_range(m: Metric, rows: list[Row]) -> list[str]:
    """What to note of values that the metric's card rules out; more than rounding, and they stay in the means."""
    low, high = m.card.facts.range_of(m.variant)
    room = 1e-9 * max([1.0, *(abs(bound) for bound in (low, high) if np.isfinite(bound))])
    found: dict[str, np.ndarray] = {}
    for r in rows:
        values = r.values[m.id][~r.undefined(m.id)]
        outside = values[(values < low - room) | (values > high + room)]
        if outside.size:
            found[r.id] = outside
    if not found:
        return []
    named = ", ".join(f"{name} {v.size} (e.g. {v[np.abs(v).argmax()]:.6g})" for name, v in sorted(found.items()))
    return [f"{m.title}: values outside the range on its card, {low:g} to {high:g}: {named}; card or code is wrong."]
