"""Corrupted pairs: methods get them, scores look at the good ones; tables, curves, and the same again by reproduce."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from fusionbench.errors import FusionbenchError
from fusionbench.pixels.corruption import KINDS, Corruption, corruption, corruptions
from fusionbench.pixels.images import read_image
from tests.conftest import fusionbench, make_tree

DRAW = np.random.default_rng(3)
IR = DRAW.integers(0, 256, (1, 40, 56), dtype=np.uint8)
VIS = DRAW.integers(0, 256, (3, 40, 56), dtype=np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_same_words_same_pixels_and_the_pair_stays_as_it_is(kind: str) -> None:
    before = IR.copy(), VIS.copy()
    for level in KINDS[kind].levels:
        how = Corruption(kind, level)
        first, second = how.apply(IR, VIS, "a"), how.apply(IR, VIS, "a")
        assert corruption(str(how)) == how
        for one, two, source in zip(first, second, (IR, VIS), strict=True):
            assert np.array_equal(one, two)
            assert (one.dtype, one.shape) == (np.uint8, source.shape)
        assert not (np.array_equal(first[0], IR) and np.array_equal(first[1], VIS))
    assert np.array_equal(before[0], IR)
    assert np.array_equal(before[1], VIS)


@pytest.mark.parametrize("level", [1, 3, 17])
def test_a_shift_is_one_of_eight_directions(level: int) -> None:
    seen = set()
    for ident in map(str, range(60)):
        ir, vis = Corruption("shift", level).apply(IR, VIS, ident)
        assert vis is VIS
        fits = [
            (down, right)
            for down in (-level, 0, level)
            for right in (-level, 0, level)
            if np.array_equal(ir[0], ndimage.shift(IR[0], (down, right), order=0, mode="nearest"))
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == 8
    assert (0, 0) not in seen


def test_a_shift_larger_than_the_picture() -> None:
    ir, _ = Corruption("shift", 256).apply(IR, VIS, "x")
    assert len(np.unique(ir)) <= 56


def test_noise_has_its_deviation_and_one_pattern_for_all_levels() -> None:
    grey = np.full((1, 96, 96), 128, np.uint8), np.full((3, 96, 96), 128, np.uint8)
    weak, strong = (Corruption("noise", level).apply(*grey, "x") for level in (5, 15))
    for part in (0, 1):
        a, b = (x[part].astype(float) - 128 for x in (weak, strong))
        assert a.std() == pytest.approx(5, rel=0.05)
        assert b.std() == pytest.approx(15, rel=0.05)
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99
    assert not np.array_equal(weak[1][0], weak[1][1])
    other = Corruption("noise", 5).apply(*grey, "y")
    assert not np.array_equal(weak[0], other[0])


def test_what_each_kind_touches() -> None:
    for kind in ("lowlight", "fog", "drop-vis"):
        ir, vis = Corruption(kind, 0.5).apply(IR, VIS, "x")
        assert ir is IR
        assert not np.array_equal(vis, VIS)
    ir, vis = Corruption("drop-ir", 1).apply(IR, VIS, "x")
    assert vis is VIS
    assert not ir.any()
    ir, _ = Corruption("drop-ir", 0.25).apply(np.full_like(IR, 9), VIS, "x")
    assert (ir == 0).mean() == pytest.approx(0.25, abs=0.03)
    _, vis = Corruption("fog", 0.25).apply(IR, VIS, "x")
    assert np.array_equal(vis, np.rint(0.25 * VIS + 0.75 * 220).astype(np.uint8))
    _, dark = Corruption("lowlight", 0.1).apply(IR, VIS, "x")
    assert dark.mean() == pytest.approx(0.1 * VIS.mean(), abs=1.5)
    ir, vis = Corruption("blur", 2).apply(IR, VIS, "x")
    assert ir.std() < 0.4 * IR.std()
    assert vis.std() < 0.4 * VIS.std()


@pytest.mark.parametrize(
    "text",
    [
        *("shift=0", "shift=1.5", "shift=-2", "shift=nan", "shift=1e9", "shift=", "shift=1,", "noise=inf", "fog=1"),
        *("fog=0", "drop-ir=1.01", "lowlight=x", "blur=33", "no", "", "=3", "noise=1.23456789"),
    ],
)
def test_levels_out_of_bounds(text: str) -> None:
    with pytest.raises(FusionbenchError):
        corruptions(text)


def test_usual_levels_get_worse() -> None:
    for name in KINDS:
        every = corruptions(name)
        assert len(every) == 3
        lost = []
        for how in every:
            ir, vis = (x.astype(float) for x in how.apply(IR, VIS, "x"))
            lost.append(np.abs(ir - IR).mean() + np.abs(vis - VIS).mean())
        if name != "shift":  # of random pixels any shift is as bad as another
            assert lost == sorted(lost)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corrupted")
    make_tree(root / "data", 3)
    done = fusionbench(
        *("eval", "--methods=average,visible,infrared,maximum", "--metrics=en,ssim", "--datasets=msrs"),
        *("--corrupt=shift=2,6", "--corrupt=drop-ir=1", "--data-root", root / "data", "--out", root / "r"),
    )
    assert done.returncode == 0, done.stderr
    return root


def table(root: Path, change: str) -> dict[str, dict[str, float]]:
    (path,) = (
        p
        for p in (root / "r/tables").glob("*.json")
        if ".provenance" not in p.name and (f"corrupt={change}" in p.name if change else "corrupt" not in p.name)
    )
    rows = json.loads(path.read_text())["rows"]
    return {row["id"]: {name: cell["mean"] for name, cell in row["scores"].items()} for row in rows}


def test_methods_get_the_corrupted_pair_and_scores_look_at_the_good_one(made: Path) -> None:
    good, shifted, gone = table(made, ""), table(made, "shift6"), table(made, "drop-ir1")
    assert shifted["visible"] == good["visible"] == gone["visible"]  # nothing was done to it
    ssim = next(name for name in good["average"] if name.startswith("ssim"))
    en = next(name for name in good["average"] if name.startswith("en"))
    assert shifted["infrared"][ssim] < good["infrared"][ssim]
    assert gone["infrared"][en] == 0  # a black picture
    (picture,) = (made / "r/fused").glob("infrared-*/msrs+drop-ir1-test/" + next(iter(ids(made))) + ".png")
    assert not read_image(picture).any()


def ids(made: Path) -> list[str]:
    return sorted(p.stem for p in (made / "data/MSRS/test/ir").iterdir())


def test_every_table_is_its_own_protocol_and_has_its_own_ranks(made: Path) -> None:
    stems = {p.name for p in (made / "r/tables").glob("*.md")}
    assert sum("corrupt=" in stem for stem in stems) == 3
    text = next(p for p in (made / "r/tables").glob("*.md") if "corrupt=shift2" in p.name).read_text()
    assert "with infrared 2 pixels off" in text
    assert "Methods get the corrupted pair, scores look at the good one." in text


def test_curves(made: Path, tmp_path: Path) -> None:
    done = fusionbench(
        *("robustness", "--datasets=msrs", "--metrics=ssim", "--out", made / "r", "--picture", tmp_path / "c.svg"),
    )
    assert done.returncode == 0, done.stderr
    assert "| Method | good pairs | shift2 | shift6 | drop-ir1 |" in done.stdout
    assert "<svg" in (tmp_path / "c.svg").read_text()
    found = json.loads(
        fusionbench("robustness", "--datasets=msrs", "--metrics=ssim", "--out", made / "r", "--json").stdout
    )
    assert found["images"] == 3
    for change in ("shift2", "shift6", "drop-ir1"):
        for entry, values in table(made, change).items():
            ssim = next(name for name in values if name.startswith("ssim"))
            assert found[change][entry] == pytest.approx(values[ssim], nan_ok=True)
    some = fusionbench(
        *("robustness", "--datasets=msrs", "--metrics=ssim", "--out", made / "r", "--json", "--methods=average"),
    )
    assert list(json.loads(some.stdout)["clean"]) == ["average"]


def test_reproduced_and_verified(made: Path, tmp_path: Path) -> None:
    (path,) = (
        p for p in (made / "r/tables").glob("*.json") if ".provenance" not in p.name and "corrupt=shift2" in p.name
    )
    done = fusionbench("reproduce", path, "--data-root", made / "data", "--out", tmp_path / "again")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for number, spec in enumerate(("msrs", "msrs+shift2")):
        where = ("--datasets", f"{spec}={made / 'data/MSRS'}", "--out", tmp_path / str(number))
        again = fusionbench("reproduce", path, *where)
        assert again.returncode == 0, again.stdout + again.stderr


def test_a_second_run_keeps_everything(made: Path) -> None:
    done = fusionbench(
        *("eval", "--methods=average", "--metrics=en,ssim", "--datasets=msrs+shift6"),
        *("--data-root", made / "data", "--out", made / "r"),
    )
    assert "0 images fused, 3 kept, 0 values computed" in done.stdout + done.stderr


def test_pictures_of_another_program_are_of_good_pairs(made: Path, tmp_path: Path) -> None:
    (folder,) = (made / "r/fused").glob("average-*/msrs-test")
    done = fusionbench(
        *("eval", f"--images=Ours={folder}", "--methods=average", "--metrics=en", "--datasets=msrs"),
        *("--corrupt=noise=5", "--data-root", made / "data", "--out", tmp_path / "r"),
    )
    assert done.returncode == 0, done.stderr
    (corrupted,) = (p for p in (tmp_path / "r/tables").glob("*.md") if "corrupt=noise5" in p.name)
    assert "Ours" not in corrupted.read_text().split("\n- ")[0]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("eval", "--methods=average", "--datasets=msrs", "--corrupt=shfit"), "did you mean shift?"),
        (("eval", "--methods=average", "--datasets=msrs+noise500"), "level '500' is not a number from 0.1 to 100"),
        (("eval", "--methods=average", "--datasets=msrs+noise5", "--corrupt=blur"), "corrupted already"),
        (("eval", "--methods=average", "--datasets=msrs+"), "is no corruption"),
        (("eval", "--methods=average", "--datasets=msrs", "--corrupt=shift,noise"), "say --corrupt once for each kind"),
        (("eval", "--methods=average", "--datasets=msrs", "--corrupt=shift=2,noise=5"), "once for each kind"),
        (("robustness", "--datasets=msrs+shift2", "--metrics=en"), "name the dataset itself, msrs"),
        (("robustness", "--datasets=msrs", "--metrics=no-such"), "has no column"),
        (("robustness", "--datasets=tno", "--metrics=en"), "no results for tno"),
        (("train", "densefuse", "--dataset=msrs+noise5"), "no recipe of densefuse for msrs+noise5"),
    ],
)
def test_what_cannot_be_is_a_line(made: Path, tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    out = ("--out", made / "r" if words[0] == "robustness" else tmp_path / "r")
    data = () if words[0] == "robustness" else ("--data-root", made / "data")
    done = fusionbench(*words, *data, *out)
    assert done.returncode in (1, 2)
    assert line in done.stderr
    assert "Traceback" not in done.stderr
