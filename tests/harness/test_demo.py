"""``fusionbench demo``: from nothing to a page, and again without doing it twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from fusionbench.cli.demo import write_page
from tests.harness.test_names import fusionbench, refused
from tests.harness.test_names import scored as scored


def test_the_page_has_picture_and_table(scored: Path, tmp_path: Path) -> None:
    shutil.copytree(scored / "r", tmp_path / "results")
    shutil.copytree(scored / "data", tmp_path / "data")
    page = write_page(tmp_path, "msrs")
    assert page == tmp_path / "index.html"
    assert "<td>images[Mine]</td>" in page.read_text()
    assert Image.open(tmp_path / "compare.png").width > 1000


@pytest.mark.slow
def test_the_demo_ends_with_a_page(tmp_path: Path) -> None:
    done = fusionbench("demo", "--out", tmp_path / "d", "--pairs=1", "--jobs=1")
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.splitlines()[-1])
    assert page == tmp_path / "d/index.html"
    text = page.read_text()
    for name in ("average", "gff", "laplacian", "visible"):
        assert f"<td>{name}</td>" in text
    assert 'src="compare.png"' in text
    assert Image.open(page.with_name("compare.png")).width > 1000
    assert "fusionbench leaderboard -o table.tex" in text
    again = fusionbench("demo", "--out", tmp_path / "d", "--pairs=1", "--jobs=1")
    assert again.returncode == 0
    assert " 0 images fused" in again.stderr or "\n0 images fused" in again.stderr
    assert page.read_text() == text


def test_what_the_demo_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "file" in refused("demo", "--out", tmp_path / "file")
    assert "did you mean" in refused("demo", "--like=mrss", "--out", tmp_path / "d")
    assert not (tmp_path / "d").exists()
