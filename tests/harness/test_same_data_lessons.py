"""benchmarks/same_data_lessons.py: what it says of tables whose orders are known."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO

sys.path.insert(0, str(REPO / "benchmarks"))
import same_data_lessons as lessons

METHODS = "abcde"


def table(folder: Path, dataset: str, own: list[float], width: float, images: int = 3, part: str = "") -> None:
    """Released rows at 10, 20 ... and own ones as given; EN says it upwards, Qcv downwards."""
    released = {f"{m}[paper]": 10.0 * n for n, m in enumerate(METHODS, 1)}
    mine = {f"{m}[same{'-dt' if m == 'a' else ''}]": value for m, value in zip(METHODS, own, strict=True)}
    rows = {"average": 25.0, "maximum": 35.0, **released, **mine, "a[same-ct]": 1.0, "a[paper,task=x]": 99.0}
    heads = [("en@bits", "up"), ("qcv@liu2012", "down")]
    cells = {name: {"en@bits": value, "qcv@liu2012": 1000 / value} for name, value in rows.items()}
    data = {
        "dataset": dataset,
        "images": images,
        "metrics": [{"id": i, "direction": d} for i, d in heads],
        "rows": [{"id": n, "scores": {m: {"mean": v} for m, v in c.items()}} for n, c in cells.items()],
    }
    (folder / f"{dataset}{part}.json").write_text(json.dumps(data))
    (folder / f"{dataset}.provenance.json").write_text("{}")
    lines = [
        f"| {name} | " + " | ".join(f"{v:.3f} [{v - width:.3f}, {v + width:.3f}]" for v in c.values()) + " | – |"
        for name, c in cells.items()
    ]
    (folder / f"{dataset}{part}.md").write_text(
        "\n".join(["A caption.", "", "| Method | EN | Qcv |", "|---|--:|--:|", *lines])
    )


@pytest.fixture
def boards(tmp_path: Path) -> list[lessons.Board]:
    """On scenes equal data keep the order of the released rows, on TNO they turn it round."""
    table(tmp_path, "tno", [49.0, 39.0, 29.0, 19.0, 9.0], 0.01)
    table(tmp_path, "tno", [1.0, 2.0, 3.0, 4.0, 5.0], 0.01, 1, ".partial-1-of-3")  # what has more pairs counts
    table(tmp_path, lessons.HOME, [11.0, 21.0, 31.0, 41.0, 51.0], 40.0)
    return lessons.read(tmp_path)


def test_rows_of_a_method_find_each_other(boards: list[lessons.Board]) -> None:
    home, tno = boards
    assert (home.dataset, tno.dataset) == (lessons.HOME, "tno")
    assert home.both["a"] == ("a[paper]", "a[same-dt]")  # of two stages the first; of two rows the plain one
    assert len(home.both) == 5
    assert tno.gain("a", "en@bits") == pytest.approx(3.9)
    assert tno.gain("a", "qcv@liu2012") == pytest.approx(1 - 10 / 49)
    assert [tno.apart(m, "en@bits") for m in METHODS] == [1, 1, -1, -1, -1]
    assert [home.apart(m, "en@bits") for m in METHODS] == [0] * 5


def test_what_is_said(boards: list[lessons.Board]) -> None:
    said = lessons.sentences(boards)
    assert len(said) == 10
    names = [n for n in boards[0].own if n != "a[same-ct]"]
    assert lessons.agreement(boards[0].ranks(names), boards[1].ranks(names)) == pytest.approx(-1)
    assert "have a correlation of 1.00 on scenes and -1.00 on TNO." in said[3]
    assert "e and e on scenes and e and a on TNO" in said[4]
    assert "0, 10 and 0 on scenes and 6, 0 and 4 on TNO" in said[6]


def test_too_few_rows_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "FEWEST", 6)
    table(tmp_path, lessons.HOME, [11.0, 21.0, 31.0, 41.0, 51.0], 1.0)
    assert lessons.read(tmp_path) == []
    assert "no table of real pictures" in lessons.text(tmp_path)
