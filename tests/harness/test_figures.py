"""`figure view`: a row per checkpoint, the maps that the card lists, and one line for what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from fusionbench import environment
from fusionbench.errors import FusionbenchError
from fusionbench.report.figures import draw_view


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    found = tmp_path / "ir.png", tmp_path / "vis.png"
    for path, shape in zip(found, ((40, 48), (40, 48, 3)), strict=True):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return found


def test_a_row_for_each_checkpoint(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    rows: list[str] = []
    monkeypatch.setattr(Axes, "set_title", lambda self, text, **_: titles.append(text))
    monkeypatch.setattr(Axes, "set_ylabel", lambda self, text, **_: rows.append(text) if "[" in text else None)
    monkeypatch.setenv("FUSIONBENCH_CACHE", str(tmp_path / "cache"))
    environment.apply()
    drawn = draw_view("tdfusion:weights", *pair, tmp_path / "out.png")
    assert titles == ["infrared", "visible", "fused", "w_a", "w_b"]
    assert rows == ["tdfusion[scenes-fmb]", "tdfusion[scenes-m3fd]"]  # what comes with the package
    assert drawn == f"{tmp_path / 'out.png'}: weights of {', '.join(rows)}"
    assert Image.open(tmp_path / "out.png").width > 1000


def test_an_entry_without_the_part_is_left_out(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusionbench.report import figures

    maps = figures.maps_of

    def without(entry: Any, *rest: Any) -> Any:
        if "m3fd" in entry.id:
            raise FusionbenchError("no G in it")
        return maps(entry, *rest)

    monkeypatch.setattr(figures, "maps_of", without)
    drawn = draw_view("tdfusion:weights", *pair, tmp_path / "out.png")
    assert drawn.endswith("weights of tdfusion[scenes-fmb]; no G in it")
    with pytest.raises(FusionbenchError, match="no G in it"):
        draw_view("tdfusion[scenes-m3fd]:weights", *pair, tmp_path / "out.png")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tdfusion", "is not METHOD:VIEW"),
        ("tdfusion:weigths", "has no view 'weigths'; did you mean weights"),
        ("average:weights", "average has no view 'weights'; it publishes none"),
    ],
)
def test_one_line(pair: tuple[Path, Path], tmp_path: Path, spec: str, message: str) -> None:
    with pytest.raises(FusionbenchError, match=message):
        draw_view(spec, *pair, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
