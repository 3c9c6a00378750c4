"""Pictures for a page: chosen images of chosen entries, whole and as thumbnails.

Only pictures whose pixels have the recorded hash; infrared and visible are those of the rows that show the sources.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fusionbench.commas import items
from fusionbench.counting import counted
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.report.compare_figure import picked
from fusionbench.report.entry_names import entry_ids
from fusionbench.report.tables import Table
from fusionbench.results.merged_pictures import LARGEST, is_safe
from fusionbench.results.shelf import Shelf
from fusionbench.results.store import Store
from fusionbench.runtime.files import check_regular

SIDE, QUALITY = 192, 82  # of a thumbnail: longer side in pixels, JPEG
MOST_ENTRIES, MOST_PICTURES = 8, 2000  # entries where none is named; pictures of one page


@dataclass(frozen=True)
class Wanted:
    """Which pictures.

    Attributes:
        ids: of images; none for those that are picked.
        pick: how many are picked, those on which the entries differ most.
        entries: ids, methods or titles; none for the best by average rank.
    """

    ids: tuple[str, ...] = ()
    pick: int = 0
    entries: tuple[str, ...] = ()


def wanted(text: str, entries: Sequence[str]) -> Wanted:
    """What ``--pictures`` says: a number, or ids with commas between them; in quotes an id that is a number or has one.

    Raises:
        FusionbenchError: quotes that are not closed.
    """
    if re.fullmatch(r"[0-9]{1,4}", text):
        return Wanted(pick=int(text), entries=tuple(entries))
    try:
        return Wanted(ids=items(text), entries=tuple(entries))
    except ValueError as error:
        raise FusionbenchError(f"--pictures {error}") from None


def pictures_of(
    table: Table, store: Store, shelves: Sequence[Shelf], asked: Wanted, number: int
) -> tuple[dict[str, object], dict[str, bytes], list[str]]:
    """The pictures of one table.

    Args:
        table: of the store.
        store: that records them.
        shelves: where they may lie.
        asked: which.
        number: of the table on the page; names the folder.

    Returns:
        What the page is told, path to bytes, and what to say of pictures that are not there.

    Raises:
        FusionbenchError: no such entry, or too many pictures.
    """
    ids = [i for i in asked.ids if i in table.ids] if asked.ids else picked(table, asked.pick)
    infos = [row.info for row in table.rows]
    named = entry_ids(asked.entries, infos, str(store.path), "--entries") if asked.entries else ()
    sources = [row.id for row in table.rows if row.source_only]
    best = [row.id for row in table.ranked][:MOST_ENTRIES]
    shown = list(dict.fromkeys([*sources, *(named or best)]))
    if len(ids) * len(shown) > MOST_PICTURES:
        raise FusionbenchError(
            f"{len(ids)} images of {len(shown)} entries are over {MOST_PICTURES} pictures; name fewer"
        )
    files: dict[str, bytes] = {}
    missing: list[str] = []
    keys = {info.id: key for key, info in store.entries(table.board.output).items()}
    pairs = store.pairs(table.board.dataset, table.board.split)
    cells = []
    for column, entry in enumerate(shown):
        fused = store.fused(keys[entry], table.board.dataset, table.board.split, pairs)
        for row, ident in enumerate(ids):
            pixels = _pixels(shelves, fused[ident].path, fused[ident].image) if ident in fused else None
            if pixels is None:
                missing.append(f"{table.board.dataset} {ident} of {entry}")
                continue
            name = f"pictures/{number}/{row}-{column}"
            files[f"{name}.png"], files[f"{name}-small.jpg"] = _packed(pixels)
            cells.append([row, column, f"{name}.png", f"{name}-small.jpg", *pixels.shape[:0:-1]])
    told = f"{counted(len(missing), 'picture')} missing or changed, e.g. {missing[0]}" if missing else ""
    told += "".join(f"; {shelf.folder}: {line}" for shelf in shelves if told and (line := shelf.elsewhere))
    return {"ids": ids, "entries": shown, "sources": sources, "files": cells}, files, [told] if told else []


def _pixels(shelves: Sequence[Shelf], path: str, digest: str) -> np.ndarray | None:
    """The picture of the first that holds it, with the recorded pixels; None elsewhere.

    Raises:
        FusionbenchError: an address cannot be reached.
    """
    if not is_safe(path):
        return None
    for shelf in shelves:
        place = shelf.folder / path
        if any(part.is_symlink() for part in (place, *place.parents) if shelf.folder in part.parents):
            continue
        try:
            if place.exists():
                check_regular(place, limit=LARGEST)
            return shelf.read(path, digest)
        except (OSError, DataError):
            continue
    return None


def _packed(pixels: np.ndarray) -> tuple[bytes, bytes]:
    """As PNG without loss, and a thumbnail."""
    whole = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    full, small = io.BytesIO(), io.BytesIO()
    whole.save(full, "PNG", optimize=False, compress_level=6)
    whole.thumbnail((SIDE, SIDE))
    whole.save(small, "JPEG", quality=QUALITY)
    return full.getvalue(), small.getvalue()
