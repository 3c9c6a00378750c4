"""Figures for papers: what they show is what the table says, they are as wide as a column, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from fusionbench.errors import FusionbenchError
from fusionbench.report.colours import PALETTE, colour_of, looks_of
from fusionbench.report.compare_figure import Grid, draw_compare, insets, overlap, overlay_of, picked
from fusionbench.report.figure_style import DPI, WIDTHS, ZOOMS
from fusionbench.report.score_figures import draw_box, draw_curves, draw_radar
from fusionbench.report.tables import build
from fusionbench.report.training_figure import draw_training, read_log, smoothed
from fusionbench.results.store import Store
from tests.harness.test_names import fusionbench, refused
from tests.harness.test_names import scored as scored
from tests.harness.test_paper import make


@pytest.mark.parametrize("span", WIDTHS)
@pytest.mark.parametrize("draw", [draw_box, draw_curves, draw_radar])
def test_figures_are_as_wide_as_a_column_or_a_page(draw: Any, span: str, tmp_path: Path) -> None:
    for suffix in ("png", "pdf", "svg"):
        draw(make(), tmp_path / f"f.{suffix}", span)
        assert (tmp_path / f"f.{suffix}").stat().st_size > 3000
    assert Image.open(tmp_path / "f.png").width == pytest.approx(WIDTHS[span] * DPI, abs=2)


def test_boxes_and_curves_show_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = make()
    boxes: list[list[np.ndarray]] = []
    lines: list[np.ndarray] = []
    boxplot = Axes.boxplot
    plot = Axes.plot
    monkeypatch.setattr(Axes, "boxplot", lambda self, x, **k: (boxes.append(x), boxplot(self, x, **k))[1])
    draw_box(table, tmp_path / "b.png", "page")
    monkeypatch.setattr(Axes, "plot", lambda self, x, y, **k: (lines.append(y), plot(self, x, y, **k))[1])
    draw_curves(table, tmp_path / "c.png", "page")
    for number, m in enumerate(table.metrics):
        for place, row in enumerate(table.rows):
            assert boxes[number][place].tolist() == row.values[m.id].tolist()
            assert lines[number * len(table.rows) + place].tolist() == sorted(row.values[m.id])


def test_a_radar_has_the_best_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[list[float]] = []
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda self, x, y, **k: (lines.append(list(y)), plot(self, x, y, **k))[1])
    draw_radar(make(), tmp_path / "r.png", "column")
    assert np.allclose(lines[0], 1)  # GFF, the best of the ranked ones everywhere
    assert np.allclose(lines[-1], 0.15)
    with pytest.raises(FusionbenchError, match="three metrics"):
        draw_radar(make(metrics=("en@bits", "mi@bits")), tmp_path / "r.png", "column")


def test_compare_shows_pictures_names_and_their_values(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    shown: list[np.ndarray] = []
    text, imshow = Figure.text, Axes.imshow
    monkeypatch.setattr(Figure, "text", lambda self, x, y, s, **k: (texts.append(s), text(self, x, y, s, **k))[1])
    monkeypatch.setattr(Axes, "imshow", lambda self, x, **k: (shown.append(x), imshow(self, x, **k))[1])
    with Store(scored / "r", create=False) as store:
        table = build(store, store.boards("msrs")[0], ["en@bits", "mi@bits"], entry_ids=("images[Mine]", "average"))
        ident = table.ids[1]
        grid = Grid(ids=(ident,), zooms=(("", (4, 6, 10, 8)),))
        assert draw_compare(store, table, grid, tmp_path / "c.png", scored / "data") == [ident]
    assert texts[:2] == ["Infrared", "Visible"]
    for row in table.rows:
        name = {"average": "Average", "images[Mine]": "Mine"}[row.id]
        en, mi = (row.values[m][1] for m in ("en@bits", "mi@bits"))
        assert texts[texts.index(name) + 1].split() == ["EN", f"{en:.3f}", "MI", f"{mi:.3f}"]
    picture = np.asarray(Image.open(scored / "Mine" / f"{ident}.png").convert("RGB"))
    assert any(np.array_equal(image, picture) for image in shown)
    assert any(np.array_equal(image, picture[6:14, 4:14]) for image in shown)
    drawn = np.asarray(Image.open(tmp_path / "c.png").convert("RGB")).reshape(-1, 3)
    red = np.array([int(ZOOMS[0][n : n + 2], 16) for n in (1, 3, 5)])
    assert (np.abs(drawn - red).sum(axis=1) == 0).sum() > 500


def test_the_command_compare(scored: Path, tmp_path: Path) -> None:
    words = ("figure", "compare", "--out", scored / "r", "--data-root", scored / "data", "-o", tmp_path / "c.png")
    done = fusionbench(*words, "--pick=2", "--across=2", "--span=column", "--metrics=en")
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "c.png").width == pytest.approx(WIDTHS["column"] * DPI, abs=2)
    assert "outside of" in refused(*words, "--zoom=60,40,20,20")
    assert "the table has no pair 'nowhere'" in refused(*words, "--ids=nowhere")
    assert "is not [ID:]LEFT,TOP,WIDTH,HEIGHT" in refused(*words, "--zoom=1,2,3")
    assert "room for 4" in refused(*words, *["--zoom=1,1,9,9"] * 5)
    assert "the figure has no pair 'nowhere'" in refused(*words, "--zoom=nowhere:1,1,9,9")
    assert "must end in .pdf, .png or .svg" in refused(*words[:-1], tmp_path / "c.jpg")
    assert "not found under" in refused(*words[:4], "--data-root", tmp_path, *words[6:])
    for verb in ("box", "curve"):
        done = fusionbench("figure", verb, "--out", scored / "r", "-o", tmp_path / f"{verb}.pdf")
        assert done.returncode == 0, done.stderr
    assert "three metrics" in refused("figure", "radar", "--out", scored / "r", "-o", tmp_path / "r.pdf")


def test_the_pairs_that_differ_most_are_picked() -> None:
    table = make()
    table.rows[1].values["en@bits"][2] += 3
    assert picked(table, 1) == ["3"]
    assert picked(table, 9) == list(table.ids)


@given(st.lists(st.tuples(*[st.integers(0, 90)] * 2, *[st.integers(2, 60)] * 2), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
def test_details_lie_inside_and_beside_each_other(zooms: list[tuple[int, int, int, int]]) -> None:
    places = insets(zooms, (100, 120))
    for number, place in enumerate(places):
        assert min(place[:2]) >= 0
        assert place[0] + place[2] <= 120 + 1e-9
        assert place[1] + place[3] <= 100 + 1e-9
        assert all(overlap(place, other) == 0 for other in places[:number])


def test_what_a_network_finds_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from fusionbench.tasks import loading
    from fusionbench.tasks.network import Prediction

    class Network:
        channels = 1

        def predict(self, images: torch.Tensor) -> list[Prediction]:
            assert images.shape == (1, 1, 20, 30)
            boxes = torch.tensor([[2.0, 3.0, 10.0, 12.0], [0.0, 0.0, 5.0, 5.0]])
            found = {"boxes": boxes, "scores": torch.tensor([0.9, 0.2]), "labels": torch.tensor([1, 0])}
            return [Prediction(mask=torch.ones(20, 30, dtype=torch.long), **found)]

    monkeypatch.setattr(loading, "load_network", lambda path: (Network(), {"classes": ["car", "person"]}))
    axis = Figure().subplots()
    overlay_of(Path("run"))(axis, np.zeros((20, 30, 3), np.uint8))
    assert [text.get_text() for text in axis.texts] == ["person 0.90"]
    (box,) = axis.patches
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (2, 3, 8, 9)
    assert len(axis.images) == 1


def test_curves_of_training(tmp_path: Path) -> None:
    for name, start in (("a", 2.0), ("b", 1.0)):
        (tmp_path / name).mkdir()
        lines = [
            {"step": n, "epoch": 1, "kind": "k", "loss": start / n, "x": None if n == 2 else n} for n in range(1, 5)
        ]
        (tmp_path / name / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_log(tmp_path / "a") == {"loss": ([1, 2, 3, 4], [2, 1, 2 / 3, 0.5]), "x": ([1, 3, 4], [1, 3, 4])}
    assert smoothed([1.0, 3.0, 5.0, 7.0], 2).tolist() == [1, 2, 4, 6]
    runs = [tmp_path / "a", tmp_path / "b"]
    assert draw_training(runs, tmp_path / "t.svg", "column", ["loss"]) == ["loss"]
    svg = (tmp_path / "t.svg").read_text()
    assert ">loss</text>" in svg
    assert ">a</text>" in svg
    assert "no lss in these logs; there are: loss, x" in refused("figure", "training", runs[0], "--only=lss")
    (tmp_path / "bad.jsonl").write_text('{"step": 1}\n[1]\n')
    assert "bad.jsonl, line 2" in refused("figure", "training", tmp_path / "bad.jsonl")
    assert "name the folder of a run" in refused("figure", "training", tmp_path / "nothing")
    assert "nothing logged yet" in _said(tmp_path)


def _said(folder: Path) -> str:
    (folder / "log.jsonl").write_text("")
    return refused("figure", "training", folder)


def test_weight_maps_of_two_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pair = tmp_path / "ir.png", tmp_path / "vis.png"
    for path in pair:
        Image.fromarray(rng.integers(0, 256, (40, 48), dtype=np.uint8)).save(path)
    done = fusionbench("figure", "weights", "tdfusion", "--pair", *pair, "-o", tmp_path / "w.svg")
    assert done.returncode == 0, done.stderr
    svg = (tmp_path / "w.svg").read_text()
    assert "second minus first" in svg
    assert "tdfusion[scenes-m3fd]" in svg


def test_a_method_has_one_colour_whatever_stands_beside_it() -> None:
    assert colour_of("refusion[ivif]") == colour_of("refusion") == colour_of("ReFusion")
    assert colour_of("images[Ours]") == colour_of("Ours") != colour_of("images")
    assert colour_of("infrared") == colour_of("Visible") not in PALETTE  # grey: they are no methods of fusion
    few, more = looks_of(["gff", "ours"]), looks_of(["average", "ours", "gff", "laplacian[levels=3]", "maximum"])
    for entry, look in few.items():
        assert look.colour == more[entry].colour == colour_of(entry)


@given(st.sets(st.text("abcdefgh", min_size=1, max_size=6), min_size=1, max_size=10))
@settings(deadline=None, max_examples=30)
def test_ten_in_a_picture_can_be_told_apart(names: set[str]) -> None:
    looks = looks_of(names)
    assert len({(look.colour, look.dash) for look in looks.values()}) == len(names)
    seeds = looks_of([f"cldyn[seed{n}]" for n in range(5)])
    assert len({look.colour for look in seeds.values()}) == 5


def test_the_colours_lie_apart() -> None:
    """In OKLab, by its authors' matrices (B. Ottosson, 2020)."""
    levels = np.array([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in PALETTE])
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    lms = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    lab = np.cbrt(lms) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )
    gaps = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + np.eye(len(PALETTE))
    assert gaps.min() > 0.11


def test_names_that_the_user_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = make()
    draw_box(table, tmp_path / "b.svg", "page", {"gff": "Guided filter", "vif": "VIFF"})
    text = (tmp_path / "b.svg").read_text()
    assert "Guided filter" in text
    assert "VIFF ↑" in text
    with pytest.raises(FusionbenchError, match="no such entry, metric or dataset"):
        draw_radar(table, tmp_path / "r.svg", "page", {"nobody": "X"})
