"""Figures of what methods publish of themselves: their views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fusionbench.errors import DataError, FusionbenchError, PluginError
from fusionbench.evaluation.entries import Entry, entries
from fusionbench.plugins.cards import did_you_mean
from fusionbench.results.store import storage_error


def draw_view(spec: str, ir_path: Path, vis_path: Path, output: Path) -> str:
    """Draw one view of a pair, a row for each entry: both sources, the fused image, and the view's maps.

    Args:
        spec: ``method:view`` or ``method[weights,option=value]:view``.
        ir_path: infrared image.
        vis_path: visible image of the same size.
        output: the picture, in a format that matplotlib knows by its suffix.

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
            f"{ir_path} is {ir.shape[2]}x{ir.shape[1]}, {vis_path} is {vis.shape[2]}x{vis.shape[1]}: "
            "a pair must be aligned pixel by pixel"
        )
    vis = vis if len(vis) == 3 else np.repeat(vis, 3, 0)
    rows, without = [], []
    for entry in chosen:
        try:
            rows.append((entry.id, _maps(entry, view, ir, vis, Context([ir_path.stem]))))
        except FusionbenchError as error:
            without.append(error)  # such as a checkpoint that lacks the part that is looked at
    if not rows:
        raise without[0]
    _save(rows, {"infrared": ir, "visible": vis}, output)
    return "; ".join([f"{output}: {view} of {', '.join(name for name, _ in rows)}", *map(str, without)])


def _chosen(spec: str) -> tuple[list[Entry], str]:
    method, colon, view = spec.rpartition(":")
    if not colon or not method:
        raise FusionbenchError(f"{spec!r} is not METHOD:VIEW, such as tdfusion:weights")
    found, skipped = entries(method)
    if not found:
        raise FusionbenchError(str(skipped[0]))
    views = found[0].card.facts.views
    if view not in views:
        have = did_you_mean(view, views) if views else "it publishes none"
        raise PluginError(f"{found[0].card.name} has no view {view!r}; {have}")
    return found, view


def _maps(entry: Entry, view: str, ir: np.ndarray, vis: np.ndarray, context: Any) -> dict[str, np.ndarray]:
    """The fused picture and the view's maps."""
    import torch

    from fusionbench.evaluation.fusing import fuse_pair

    method = entry.build("cpu")
    found = {"fused": fuse_pair(method, entry.output_rule(), ir, vis, context=context)}
    a, b = (torch.from_numpy(np.ascontiguousarray(x))[None].float() / 255 for x in (ir, vis))
    try:
        maps = method.views(a, b, context)
    except ValueError as error:
        raise FusionbenchError(f"{entry.id}: {error}") from None
    for name in entry.card.facts.views[view]:
        if name not in maps:
            raise PluginError(f"{entry.card.path}: view {view} lists {name!r}; views() gives {', '.join(maps)}")
        found[name] = maps[name].detach().cpu().numpy()
    return found


def _save(rows: list[tuple[str, dict[str, np.ndarray]]], sources: dict[str, np.ndarray], output: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = [*sources, *rows[0][1]]
    height, width = next(iter(sources.values())).shape[1:]
    size = (2.6 * len(columns), (2.6 * height / width + 0.3) * len(rows))
    figure, axes = plt.subplots(len(rows), len(columns), figsize=size, squeeze=False, layout="constrained")
    for number, (line, (name, maps)) in enumerate(zip(axes, rows, strict=True)):
        for axis, column in zip(line, columns, strict=True):
            image = {**sources, **maps}[column]
            one = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            is_map = column in maps and column != "fused"
            limits = {"vmin": 0, "vmax": 1 if image.dtype.kind == "f" else 255}
            shown = axis.imshow(one, cmap="viridis" if is_map else "gray", **limits)
            axis.set_xticks([])
            axis.set_yticks([])
            if number == 0:
                axis.set_title(column, fontsize=9)
        line[0].set_ylabel(name, fontsize=8)
        figure.colorbar(shown, ax=line[-1], fraction=0.05)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output, dpi=150)
    except OSError as error:
        raise storage_error(output, error) from None
    except ValueError as error:
        raise FusionbenchError(f"{output}: {error}") from None
    finally:
        plt.close(figure)
