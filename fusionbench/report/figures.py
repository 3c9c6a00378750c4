"""Figures of what methods publish of themselves: their views."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fusionbench.errors import DataError, FusionbenchError, PluginError, find
from fusionbench.evaluation.entries import Entry, entries
from fusionbench.report.figure_style import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fusionbench.plugins.method import Context

Image = NDArray[np.generic]  # [1 or 3, H, W]: 8-bit levels, or floats in 0..1
Maps = dict[str, Image]  # column -> picture or map


def draw_view(spec: str, ir_path: Path, vis_path: Path, output: Path, stretched: bool = False) -> str:
    """Draw one view of a pair, a row for each entry: both sources, the fused image, and the view's maps.

    Args:
        spec: ``method:view`` or ``method[weights,option=value]:view``.
        ir_path: infrared image.
        vis_path: visible image of the same size.
        output: the picture, in a format that matplotlib knows by its suffix.
        stretched: show each map from its smallest to its largest value in place of 0 to 1, and below two rows how they
            differ.

    Returns:
        What was drawn, in a line.

    Raises:
        FusionbenchError: no such method or view, no entry that has it, images that do not fit, a file that cannot be
            written.
    """
    from fusionbench.pixels.images import grey, read_image
    from fusionbench.plugins.method import Context

    chosen, view = _chosen(spec)
    ir, vis = grey(read_image(ir_path)), read_image(vis_path)
    if ir.shape[1:] != vis.shape[1:]:
        raise DataError(
            f"{ir_path} is {ir.shape[1]}x{ir.shape[2]}, {vis_path} is {vis.shape[1]}x{vis.shape[2]} "
            "(height x width): a pair must be aligned pixel by pixel"
        )
    vis = vis if len(vis) == 3 else np.repeat(vis, 3, 0)
    rows, without = [], []
    for entry in chosen:
        try:
            rows.append((entry.id, maps_of(entry, view, ir, vis, Context([ir_path.stem]))))
        except FusionbenchError as error:
            without.append(error)  # such as a checkpoint that lacks the part that is looked at
    if not rows:
        raise without[0]
    save(_grid(rows, {"infrared": ir, "visible": vis}, stretched), output, dpi=150)
    return "; ".join([f"{output}: {view} of {', '.join(name for name, _ in rows)}", *map(str, without)])


def _chosen(spec: str) -> tuple[list[Entry], str]:
    method, colon, view = spec.rpartition(":")
    if not colon or not method:
        raise FusionbenchError(f"{spec!r} is not METHOD:VIEW, such as tdfusion:weights")
    chosen, skipped = entries(method)
    if not chosen:
        raise FusionbenchError(str(skipped[0]))
    card = chosen[0].card
    if not card.facts.views:
        raise PluginError(f"{card.name} has no view {view!r}; it publishes none")
    return chosen, find(view, card.facts.views, f"{card.name} has no view", error=PluginError)


def maps_of(entry: Entry, view: str, ir: Image, vis: Image, context: Context) -> Maps:
    """The fused picture of a pair and the maps of a view.

    Args:
        entry: whose view it is.
        view: its name.
        ir: uint8 ``[1,H,W]``.
        vis: uint8 ``[3,H,W]``.
        context: names the pair.

    Raises:
        FusionbenchError: the entry has no such maps, or fails.
    """
    import torch

    from fusionbench.evaluation.fusing import fuse_pair

    method = entry.build("cpu")
    images: Maps = {"fused": fuse_pair(method, entry.output_rule(), ir, vis, context=context)}
    a, b = (torch.from_numpy(np.ascontiguousarray(x))[None].float() / 255 for x in (ir, vis))
    try:
        maps = method.views(a, b, context)
    except ValueError as error:
        raise FusionbenchError(f"{entry.id}: {error}") from None
    for name in entry.card.facts.views[view]:
        if name not in maps:
            raise PluginError(f"{entry.card.path}: view {view} lists {name!r}; views() gives {', '.join(maps)}")
        images[name] = maps[name].detach().cpu().numpy()
    return images


def _grid(rows: Sequence[tuple[str, Maps]], sources: Maps, stretched: bool) -> Figure:
    """A row for each entry, a column for each image; maps in colours, on a scale from 0 to 1 or of their own."""
    columns = [*sources, *rows[0][1]]
    maps_drawn = [name for name in rows[0][1] if name != "fused"]
    differing = stretched and len(rows) == 2
    height, width = next(iter(sources.values())).shape[1:]
    lines = len(rows) + differing
    figure = Figure(figsize=(2.6 * len(columns), (2.6 * height / width + 0.3) * lines), layout="constrained")
    axes = figure.subplots(lines, len(columns), squeeze=False)
    for number, (line, (name, maps)) in enumerate(zip(axes, rows, strict=False)):
        for axis, column in zip(line, columns, strict=True):
            image = {**sources, **maps}[column]
            picture = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            own = stretched and column in maps_drawn
            low, high = _range(image) if own else (0.0, 1.0 if image.dtype.kind == "f" else 255.0)
            shown = axis.imshow(picture, cmap="viridis" if column in maps_drawn else "gray", vmin=low, vmax=high)
            if number == 0:
                axis.set_title(column, fontsize=9)
            if own:
                figure.colorbar(shown, ax=axis, fraction=0.05)
        line[0].set_ylabel(name, fontsize=8)
        if not stretched:
            figure.colorbar(shown, ax=line[-1], fraction=0.05)
    if differing:
        _differences(figure, axes[-1], columns, rows, maps_drawn)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def _range(values: Image) -> tuple[float, float]:
    """The smallest and the largest value of a map, but for a hundredth at either end."""
    low, high = (float(v) for v in np.percentile(values.astype(float), [1, 99]))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _differences(
    figure: Figure, line: Sequence[Axes], columns: Sequence[str], rows: Sequence[tuple[str, Maps]], drawn: Sequence[str]
) -> None:
    """The second row minus the first, red where it is larger."""
    (_, first), (_, second) = rows
    for axis, column in zip(line, columns, strict=True):
        if column not in drawn:
            for spine in axis.spines.values():
                spine.set_visible(False)
            continue
        difference = second[column][0].astype(float) - first[column][0].astype(float)
        most = float(np.abs(difference).max()) or 1.0
        shown = axis.imshow(difference, cmap="RdBu_r", vmin=-most, vmax=most)
        figure.colorbar(shown, ax=axis, fraction=0.05)
    line[0].set_ylabel("second minus first", fontsize=8)
