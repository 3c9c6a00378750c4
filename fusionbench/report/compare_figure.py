"""A grid of pictures as papers print them: infrared, visible and every method, with zoomed details and values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from fusionbench.commas import find_item
from fusionbench.data import Dataset, open_spec
from fusionbench.errors import FusionbenchError, find
from fusionbench.report.figure_style import SMALL, TINY, WIDTHS, ZOOMS, save
from fusionbench.report.numbers import fixed
from fusionbench.report.paper_rows import Naming
from fusionbench.report.places import Places
from fusionbench.report.tables import Table
from fusionbench.results.merged_pictures import is_safe
from fusionbench.results.store import Store

Image = NDArray[np.uint8]  # [H,W,3]
Box = tuple[int, int, int, int]  # left, top, width, height in pixels
Overlay = Callable[[Axes, Image], None]
GAP = 0.02  # inches between pictures
SHARE = 0.42  # of a picture's side that a detail takes at most
CORNERS = ((1, 1), (0, 1), (1, 0), (0, 0))  # right or left, bottom or top: in this order


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is drawn.

    Attributes:
        ids: of the pairs, a row each; none for those that are picked.
        pick: how many pairs are picked, those on which the entries differ most.
        zooms: details, each in a colour, with the pair that it is of; "" for every pair.
        values: whether each picture has its values below it.
        across: pictures in a row; 0 for all of a pair in one.
        span: ``column`` or ``page``.
        rename: what is printed for an entry or a metric, by any name of its.
    """

    ids: tuple[str, ...] = ()
    pick: int = 1
    zooms: tuple[tuple[str, Box], ...] = ()
    values: bool = True
    across: int = 0
    span: str = "page"
    rename: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One picture, its name, the line below it, and its details."""

    image: Image
    name: str
    values: str
    zooms: tuple[Box, ...] = ()


def draw_compare(
    store: Store, table: Table, grid: Grid, path: Path, data_root: Path | None = None, overlay: Overlay | None = None
) -> list[str]:
    """Draw pairs of a table: both sources, and what every entry made of them.

    Args:
        store: with the fused pictures.
        table: whose rows are the methods and whose columns the values.
        grid: what of it.
        path: the picture.
        data_root: where the dataset lies.
        overlay: draws on every picture what a task network finds in it.

    Returns:
        Ids of the pairs.

    Raises:
        FusionbenchError: no such pair, a detail outside of it, a picture or dataset that is not here.
    """
    ids = [find_item(i, table.ids, "the table has no pair") for i in grid.ids] or picked(table, grid.pick)
    dataset = _dataset(table, data_root)
    zooms = [(find(who, ids, "--zoom: the figure has no pair") if who else "", box) for who, box in grid.zooms]
    rows = []
    for ident in ids:
        own = tuple(box for who, box in zooms if who in ("", ident))
        if len(own) > len(ZOOMS):
            raise FusionbenchError(f"--zoom: {len(own)} details of {ident}; a picture has room for {len(ZOOMS)}")
        cells = [replace(cell, zooms=own) for cell in _cells(store, table, dataset, ident, grid)]
        height, width = cells[0].image.shape[:2]
        for left, top, w, h in own:
            if left + w > width or top + h > height:
                raise FusionbenchError(
                    f"--zoom {left},{top},{w},{h}: outside of {ident}, which is {width} wide and {height} high; "
                    "a detail of one pair alone is written ID:LEFT,TOP,WIDTH,HEIGHT"
                )
        rows.append(cells)
    save(_figure(rows, grid, overlay), path)
    return ids


def picked(table: Table, count: int) -> list[str]:
    """The pairs on which the ranked entries differ most: by the spread of their values, in units of its mean."""
    spread = np.zeros(len(table.ids))
    for m in table.metrics:
        values = np.array([row.values[m.id] for row in table.ranked])
        if values.size:
            own = np.nan_to_num(values.std(axis=0))
            spread += own / own.mean() if own.mean() > 0 else 0
    return [table.ids[n] for n in sorted(np.argsort(-spread, kind="stable")[:count].tolist())]


def _dataset(table: Table, data_root: Path | None) -> Dataset:
    problems: list[str] = []
    spec = Places(data_root=data_root).dataset_of(table.board, problems)
    if spec is None:
        raise FusionbenchError(f"{'; '.join(problems)}; say where it lies with --data-root")
    return open_spec(spec, data_root)


def _cells(store: Store, table: Table, dataset: Dataset, ident: str, grid: Grid) -> list[Cell]:
    board = table.board
    pairs = store.pairs(board.dataset, board.split)
    if dataset.hash(board.split, ident) != pairs.get(ident):
        raise FusionbenchError(f"{board.dataset} {ident}: the pair here is not the one that was scored")
    pair = dataset.pair(board.split, ident)
    cells = [Cell(_rgb(pair.ir), "Infrared", ""), Cell(_rgb(pair.vis), "Visible", "")]
    names = Naming([table], grid.rename)
    keys = {info.id: key for key, info in store.entries(board.output).items()}
    place = table.ids.index(ident)
    for row in (row for row in table.rows if not row.source_only):
        fused = store.fused(keys[row.id], board.dataset, board.split, pairs)[ident]
        if not is_safe(fused.path):
            raise FusionbenchError(f"{store.path}: {fused.path!r} is no path of a fused picture")
        values = {names.metric(m)[1]: (row.values[m.id][place], m.digits) for m in table.metrics}
        texts = [f"{title} {'–' if math.isnan(v) else fixed(v, digits)}" for title, (v, digits) in values.items()]
        picture, name = _rgb(store.shelf.read(fused.path, fused.image)), names.entry(row.id)[1]
        cells.append(Cell(picture, name, "  ".join(texts) if grid.values else ""))
    return cells


def _rgb(image: NDArray[np.uint8]) -> Image:
    return np.ascontiguousarray(np.repeat(image, 3, 0) if len(image) == 1 else image).transpose(1, 2, 0)


def _figure(rows: Sequence[Sequence[Cell]], grid: Grid, overlay: Overlay | None) -> Figure:
    """Pictures placed by hand, in inches from the top, so that nothing is left between them."""
    width = WIDTHS[grid.span]
    across = min(grid.across or len(rows[0]), len(rows[0]))
    side = (width - GAP * (across - 1)) / across
    lines = [cells[n : n + across] for cells in rows for n in range(0, len(cells), across)]
    wraps = [_wrapped(cell, side) for line in lines for cell in line]
    below = 0.12 + 0.095 * max((text.count("\n") + 1 if text else 0) for text in wraps)
    heights = [side * max(c.image.shape[0] / c.image.shape[1] for c in line) for line in lines]
    total = sum(heights) + len(lines) * (below + GAP)
    figure = Figure(figsize=(width, total))
    top = total
    for line, height in zip(lines, heights, strict=True):
        for number, cell in enumerate(line):
            own = side * cell.image.shape[0] / cell.image.shape[1]
            x = number * (side + GAP)
            axis = figure.add_axes((x / width, (top - own) / total, side / width, own / total))
            _picture(axis, cell, overlay)
            centre, base = (x + side / 2) / width, top - height
            figure.text(
                centre, (base - 0.03) / total, cell.name, fontsize=_fitting(cell.name, side), ha="center", va="top"
            )
            if text := _wrapped(cell, side):
                figure.text(
                    centre, (base - 0.13) / total, text, fontsize=TINY - 0.5, ha="center", va="top", linespacing=1.1
                )
        top -= height + below + GAP
    return figure


def _fitting(name: str, side: float) -> float:
    """The size of a name that fits its picture."""
    return max(4.0, min(SMALL, side * 72 / (0.56 * max(len(name), 1))))


def _wrapped(cell: Cell, side: float) -> str:
    """The values in lines that fit below a picture."""
    room = side * 72 / (0.6 * (TINY - 0.5))
    lines: list[str] = []
    for part in cell.values.split("  ") if cell.values else ():
        if lines and len(lines[-1]) + 2 + len(part) <= room:
            lines[-1] += "  " + part
        else:
            lines.append(part)
    return "\n".join(lines)


def _picture(axis: Axes, cell: Cell, overlay: Overlay | None) -> None:
    height, width = cell.image.shape[:2]
    axis.imshow(cell.image, extent=(0, width, height, 0), interpolation="antialiased")
    if overlay:
        overlay(axis, cell.image)
    for box, colour, place in zip(cell.zooms, ZOOMS, insets(cell.zooms, (height, width)), strict=False):
        left, top, w, h = box
        axis.add_patch(Rectangle((left, top), w, h, fill=False, edgecolor=colour, linewidth=0.8))
        x, y, wide, high = place
        detail = cell.image[top : top + h, left : left + w]
        axis.imshow(detail, extent=(x, x + wide, y + high, y), interpolation="nearest", zorder=3)
        axis.add_patch(Rectangle((x, y), wide, high, fill=False, edgecolor=colour, linewidth=1.2, zorder=4))
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    axis.axis("off")


def insets(zooms: Sequence[Box], size: tuple[int, int]) -> list[tuple[float, float, float, float]]:
    """Where each detail is shown: left, top, width, height; in a corner that no marked box and no other detail needs.

    Args:
        zooms: the boxes.
        size: height and width of the picture.
    """
    height, width = size
    taken: list[tuple[float, float, float, float]] = []
    for _, _, w, h in zooms:
        scale = min(SHARE * width / w, SHARE * height / h)
        wide, high = w * scale, h * scale
        places = [((width - wide) * right, (height - high) * down, wide, high) for right, down in CORNERS]
        free = [p for p in places if not any(overlap(p, q) for q in taken)] or places
        taken.append(min(free, key=lambda p: sum(overlap(p, z) for z in zooms)))
    return taken


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Area that two boxes share."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(across, 0) * max(down, 0)


def overlay_of(path: Path) -> Overlay:
    """What a trained task network finds in a picture, drawn on it: boxes with their class, masks, or salient parts.

    Args:
        path: a run's folder, or its ``weights.safetensors``.

    Raises:
        FusionbenchError: not a task network.
    """
    import torch

    from fusionbench.tasks.loading import load_network
    from fusionbench.tasks.testing import network_input

    network, facts = load_network(path)
    classes = [str(name) for name in facts["classes"]]
    tints = _tints(classes)

    def draw(axis: Axes, image: Image) -> None:
        batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float() / 255
        with torch.inference_mode():
            found = network.predict(network_input(batch, network.channels))[0]
        height, width = image.shape[:2]
        if found.mask is not None:
            axis.imshow(
                _painted(found.mask.numpy(), tints), extent=(0, width, height, 0), alpha=0.45, interpolation="nearest"
            )
        if found.saliency is not None:
            axis.contour(found.saliency[0].numpy(), levels=[0.5], colors=[ZOOMS[0]], linewidths=0.8)
        if found.boxes is not None and found.scores is not None and found.labels is not None:
            for (x0, y0, x1, y1), score, label in zip(
                found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
            ):
                if score >= 0.5:
                    tint = tints[label % len(tints)]
                    axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=tint, linewidth=0.8))
                    axis.text(x0, y0, f"{classes[label]} {score:.2f}", fontsize=3.5, color="white", va="bottom",
                              bbox={"facecolor": tint, "edgecolor": "none", "pad": 0.4}, clip_on=True)  # fmt: skip

    return draw


def _tints(classes: Sequence[str]) -> list[tuple[float, float, float]]:
    import matplotlib

    tab = matplotlib.colormaps["tab20"]
    return [tab(number % 20)[:3] for number in range(max(1, len(classes)))]


def _painted(mask: NDArray[np.int64], tints: Sequence[tuple[float, float, float]]) -> NDArray[np.float64]:
    """A mask ``[H,W]`` in colours ``[H,W,3]``."""
    table = np.array(tints)
    painted: NDArray[np.float64] = table[np.clip(mask, 0, len(tints) - 1)]
    return painted
