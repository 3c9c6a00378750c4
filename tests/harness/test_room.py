"""A picture that does not fit into memory is refused before it is begun, in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fusionbench as api
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.entries import entries
from fusionbench.evaluation.room import check_room
from fusionbench.plugins.cards import card
from fusionbench.runtime.memory import room
from tests.conftest import fusionbench

CARD = """kind = "method"
name = "huge"
title = "Huge"
summary = "Says how much it needs"
object = "Huge"
version = "1"
memory = {memory}

[output]
stretch = "none"
quantise = "round"
chroma = "none"
"""
CODE = """from pathlib import Path
from fusionbench.method import Method


class Huge(Method):
    def fuse(self, ir, vis, context=None):
        Path(__file__).with_name("began").touch()
        return ir
"""
LINE = "huge: a picture of 64x48 pixels needs about 2,861.0 GiB of memory, and "


@pytest.fixture
def huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "huge.py").write_text(CODE)
    (folder / "huge.toml").write_text(CARD.format(memory=10**9))
    return folder


def test_eval_refuses_and_goes_on(huge: Path, tree: Path, tmp_path: Path) -> None:
    words = ("--plugins", huge, "eval", "--methods", "huge,average", "--datasets", "msrs", "--data-root", tree)
    done = fusionbench(*words, "--out", tmp_path / "out")
    assert done.returncode != 0
    text = " ".join((done.stdout + done.stderr).split())
    assert LINE in text
    assert "GiB are free; make the images smaller, or take another method" in text
    assert "| average |" in done.stdout
    assert not (huge / "began").exists()


def test_fuse_refuses(huge: Path, tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8))
    for name in ("ir", "vis"):
        image.save(tmp_path / f"{name}.png")
    words = ("fuse", "huge", "--ir", tmp_path / "ir.png", "--vis", tmp_path / "vis.png", "-o", tmp_path / "f.png")
    done = fusionbench("--plugins", huge, *words)
    assert done.returncode == 1
    assert sum(LINE in line for line in done.stderr.splitlines()) == 1
    assert not (huge / "began").exists()
    assert not (tmp_path / "f.png").exists()
    modest = tmp_path / "modest"
    modest.mkdir()
    (modest / "huge.py").write_text(CODE)
    (modest / "huge.toml").write_text(CARD.format(memory=100))
    assert fusionbench("--plugins", modest, *words).returncode == 0
    assert (modest / "began").exists()


def test_python_refuses(huge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionbench.evaluation.room.room", lambda: 2**20 * 100)
    side = int((2**30 / card("method", "gff").facts.memory) ** 0.5)
    black = np.zeros((side, side), np.uint8)
    with pytest.raises(FusionbenchError, match=f"^gff: a picture of {side}x{side} pixels needs about 1.0 GiB"):
        api.fuse("gff", black, black)


def test_of_a_method_that_goes_by_tiles_a_tile_has_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = entries("metafusion", untrained=True)[0]
    tile = entry.card.facts.memory * (768 + 2 * 14) ** 2
    monkeypatch.setattr("fusionbench.evaluation.room.room", lambda: tile)
    check_room(entry, (2160, 3840), "cpu")
    check_room(entry, (700, 900), "cpu")
    with pytest.raises(FusionbenchError, match=r"1200x1200 pixels needs about 7\.2 GiB"):  # in one piece
        check_room(entry, (1200, 1200), "cpu")
    monkeypatch.setattr("fusionbench.evaluation.room.room", lambda: tile - 1)
    with pytest.raises(FusionbenchError, match=r"3840x2160 pixels needs about 3\.2 GiB"):
        check_room(entry, (2160, 3840), "cpu")


def test_room_of_this_machine() -> None:
    assert room() is None or room() > 100 << 20


def account(folder: Path, **files: str) -> dict[str, Path]:
    folder.mkdir()
    (folder / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    (folder / "status").write_text("Name: x\nVmRSS:\t 100 kB\n")
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return {"meminfo": folder / "meminfo", "status": folder / "status", "cgroup": folder}


def test_room_of_a_container(tmp_path: Path) -> None:
    assert room(**account(tmp_path / "none")) == 5100 << 10
    version2 = {"memory_dot_max": "2048000\n", "memory_dot_current": "1024000\n"}
    stat = {"memory_dot_stat": "anon 5\ninactive_file 24000\n"}
    assert room(**account(tmp_path / "two", **version2, **stat)) == 1048000 + (100 << 10)
    assert room(**account(tmp_path / "open", **{**version2, "memory_dot_max": "max\n"})) == 5100 << 10
    version1 = {"memory__memory_dot_limit_in_bytes": "2048000\n", "memory__memory_dot_usage_in_bytes": "2049000\n"}
    assert room(**account(tmp_path / "full", **version1)) == 100 << 10
    assert room(meminfo=tmp_path / "nowhere") is None
