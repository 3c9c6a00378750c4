"""Sizes, fonts and colours of figures for papers, and how they are saved."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from fusionbench.errors import FusionbenchError
from fusionbench.report.colours import Look
from fusionbench.report.colours import colour_of as colour_of
from fusionbench.results.storage_errors import storage_error

WIDTHS = {"column": 237 / 72.27, "page": 496 / 72.27}  # inches: CVPR's column and page, a little narrower than IEEE's
SMALL, TINY = 7.0, 5.5  # points
ZOOMS = ("#e6194b", "#3cb44b", "#ffd400", "#42a5f5")
DPI = 300
SUFFIXES = (".pdf", ".png", ".svg")
LineStyle = tuple[float, tuple[float, ...]] | Literal["solid"]


def check_suffix(path: Path) -> None:
    """Raise where a figure cannot be written under this name, before it is drawn."""
    if path.suffix.lower() not in SUFFIXES:
        raise FusionbenchError(f"-o {path}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def line_style(look: Look) -> LineStyle:
    """The dashes of an entry's line, as matplotlib takes them."""
    return (0, look.dash) if look.dash else "solid"


def plain_axis(axis: Axes, title: str) -> None:
    """Small type, a light grid, no box."""
    axis.set_title(title, fontsize=SMALL, pad=3)
    axis.tick_params(labelsize=TINY, length=2, pad=1.5)
    axis.grid(alpha=0.3, linewidth=0.4)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for spine in axis.spines.values():
        spine.set_linewidth(0.5)


def panels(count: int, span: str, height: float, legend: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure as wide as a column or a page with so many panels, two or four beside each other.

    Args:
        count: of panels.
        span: ``column`` or ``page``.
        height: of a panel in inches.
        legend: whether there is room left at the bottom.
    """
    across = min(count, 2 if span == "column" else 4)
    down = -(-count // across)
    engine = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    size = (WIDTHS[span], height * down + (0.3 if legend else 0.05))
    figure = Figure(figsize=size, layout=engine)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes[:count]


def save(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """Write a figure in the format of its suffix, with text as text.

    Raises:
        FusionbenchError: it cannot be written, or matplotlib knows no such suffix.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "fusionbench"}):
            figure.savefig(path, dpi=dpi)
    except OSError as error:
        raise storage_error(path, error) from None
    except ValueError as error:
        raise FusionbenchError(f"{path}: {error}") from None
