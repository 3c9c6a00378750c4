"""Pictures that do not look like what they should be are named, each kind once a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench import evaluate
from fusionbench.data.looks import look
from tests.conftest import fusionbench

SIZE = (32, 40)
RNG = np.random.default_rng(0)
SWAPPED, FALSE, SAME = "are the folders swapped?", "their luma is no temperature", "one folder copied to both?"
UNIT, FLAT = "saved 0..1 as 8 bit?", "the same level everywhere"


def grey() -> np.ndarray:
    return RNG.integers(0, 256, SIZE, dtype=np.uint8)


def colour() -> np.ndarray:
    return RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def three(array: np.ndarray) -> np.ndarray:
    return np.dstack([array] * 3)


def unit() -> np.ndarray:
    return RNG.integers(0, 2, SIZE, dtype=np.uint8)


def tree(root: Path, pairs: list[tuple[np.ndarray, np.ndarray]], suffix: str = ".png") -> Path:
    for role in range(2):
        (root / ("ir", "vis")[role]).mkdir(parents=True)
        for number, pair in enumerate(pairs):
            Image.fromarray(pair[role]).save(root / ("ir", "vis")[role] / f"{number:03}{suffix}")
    return root


def same() -> tuple[np.ndarray, np.ndarray]:
    array = colour()
    return array, array


CASES = {
    "sound": ([(grey(), colour()) for _ in range(3)], ".png", {}),
    "visible is grey too": ([(grey(), grey()) for _ in range(3)], ".png", {}),
    "three equal channels": ([(three(grey()), colour()), (three(grey()), three(grey()))], ".bmp", {}),
    "grey saved as colour jpg": ([(three(grey()), colour()) for _ in range(3)], ".jpg", {}),
    "swapped": ([(colour(), grey()) for _ in range(3)], ".png", {SWAPPED: "3 of 3"}),
    "swapped jpg": ([(colour(), three(grey())) for _ in range(3)], ".jpg", {SWAPPED: "3 of 3"}),
    "most are": ([(colour(), grey()), (colour(), grey()), (grey(), colour())], ".tif", {SWAPPED: "2 of 3"}),
    "few are": ([(colour(), grey()), (grey(), colour()), (grey(), colour())], ".png", {}),
    "false colours": ([(colour(), colour()) for _ in range(4)], ".webp", {FALSE: "4 of 4"}),
    "the same file": ([same(), (grey(), colour()), (grey(), colour())], ".png", {SAME: "1 of 3"}),
    "luma of visible": ([(g := grey(), three(g)), (grey(), colour())], ".png", {SAME: "1 of 2"}),
    "levels 0 and 1": ([(unit(), three(unit())), (grey(), colour())], ".png", {UNIT: "1 of 2"}),
    "black": ([(grey() * 0, colour()), (grey(), colour())], ".png", {FLAT: "1 of 2"}),
    "one level": ([(grey(), three(grey() * 0 + 77)), (grey(), colour())], ".bmp", {FLAT: "1 of 2"}),
}


def lines(text: str, among: str) -> list[str]:
    return [line for line in text.splitlines() if among in line]


@pytest.mark.parametrize("case", CASES)
def test_roles(tmp_path: Path, case: str) -> None:
    pairs, suffix, said = CASES[case]
    root = tree(tmp_path / "set", pairs, suffix)
    done = [
        fusionbench("eval", "--methods=average", "--metrics=en", f"--datasets=folder={root}", "--out", tmp_path / "r"),
        fusionbench("eval", "--methods=average", "--metrics=en", f"--datasets=folder={root}", "--out", tmp_path / "r"),
        fusionbench("fuse", "average", "--ir", root / "ir", "--vis", root / "vis", "-o", tmp_path / "f"),
        fusionbench("data", "check", f"folder={root}"),
    ]
    assert "0 images fused" in done[1].stderr  # said again, where nothing is computed
    for one in done:
        assert one.returncode == 0, one.stderr
        for text in (SWAPPED, FALSE, SAME, UNIT, FLAT):
            found = [line for line in lines(one.stdout + one.stderr, text) if "average on" not in line]
            assert len(found) == (2 if text is UNIT and text in said else text in said), (text, found)
            assert all(said[text] in line for line in found)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (unit, UNIT),
        (lambda: three(unit()), UNIT),
        (lambda: grey() * 0, FLAT),
        (lambda: three(grey() * 0 + 255), FLAT),
        (lambda: grey() * 0 + 1, UNIT),
        (grey, ""),
        (colour, ""),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_pictures_of_others(tmp_path: Path, make, said: str, suffix: str) -> None:
    root = tree(tmp_path / "set", [(grey(), colour()) for _ in range(3)])
    (tmp_path / "mine").mkdir()
    for number in range(3):
        Image.fromarray(make()).save(tmp_path / f"mine/{number:03}{suffix}")
    for _ in range(2):
        done = fusionbench(
            *("eval", "--metrics=en", f"--images=Mine={tmp_path / 'mine'}"),
            *(f"--datasets=folder={root}", "--out", tmp_path / "r"),
        )
        assert done.returncode == 0, done.stderr
        found = [line for line in done.stderr.splitlines() if "images[Mine] on folder-set:" in line]
        assert len(found) == bool(said)
        assert all(said in line and "3 of 3" in line for line in found)
    assert "-0.0" not in done.stdout


def test_a_card_may_say_that_it_is_so(tmp_path: Path) -> None:
    for role in ("RGB", "T", "GT"):
        (tmp_path / "VT5000/Test" / role).mkdir(parents=True)
        for number in range(3):
            array = grey() if role == "GT" else colour()
            Image.fromarray(array).save(
                tmp_path / "VT5000/Test" / role / f"{number}.{'png' if role == 'GT' else 'jpg'}"
            )
    done = fusionbench("data", "check", f"vt5000={tmp_path / 'VT5000'}", "--split", "test")
    assert FALSE not in done.stdout
    result = evaluate(methods=["average"], datasets=["vt5000"], metrics=["en"], data_root=tmp_path)
    assert result.outcome.odd == []


def test_looks() -> None:
    small = RNG.integers(0, 256, (3, 5, 3), dtype=np.uint8)
    assert look(small[:1], small) == frozenset()
    assert look(small, small) == {"ir-colour", "same"}
    assert look(np.zeros((1, 5, 3), np.uint8), small) == {"ir-flat"}
    assert look(small[:, :2], small) == {"ir-colour"}  # another size: said elsewhere
