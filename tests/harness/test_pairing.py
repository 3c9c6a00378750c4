"""Which files belong together: patterns, order, trees of pictures; and what is said of those that do not match."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fusionbench.data.opening import open_dataset
from fusionbench.data.pairing import Pattern, Reading, natural, proposed, role_patterns, shown
from fusionbench.data.synth import synth
from fusionbench.errors import DataError
from fusionbench.evaluation.picture_folders import picture_tree
from fusionbench.evaluation.pictures import fused_pictures, labelled
from fusionbench.evaluation.plan import Request, make_plan
from fusionbench.report.numbers import fixed
from fusionbench.results.store import Store
from fusionbench.tasks.task import task
from tests.conftest import Done, fusionbench

SIZE = (24, 32)
EN = ("--metrics=en",)


def noise(seed: int, colour: bool = False) -> Image.Image:
    shape = (*SIZE, 3) if colour else SIZE
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def folder(root: Path, names: list[str], first: int = 0, colour: bool = False) -> Path:
    """A picture of noise for every name, each of its own."""
    root.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, first):
        noise(number, colour).save(root / name)
    return root


def pairs(root: Path, ir: list[str], vis: list[str] | None = None) -> Path:
    folder(root / "ir", ir)
    folder(root / "vis", vis or ir, 100, colour=True)
    return root


def evaluate(out: Path, *arguments: object) -> Done:
    done = fusionbench("eval", *EN, "--out", out, *arguments)
    assert "internal error" not in done.stderr
    return done


def values(out: Path, entry: str) -> dict[str, float]:
    """Image id to entropy."""
    assert fusionbench("export", "--out", out, "-o", out / "s.csv").returncode == 0
    rows = pd.read_csv(out / "s.csv", dtype={"id": str})
    rows = rows[rows["entry"] == entry]
    return dict(zip(rows["id"], rows["value"], strict=True))


def one_line(done: Done, *parts: str) -> None:
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    for part in parts:
        assert part in line


# ---------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("text", "names", "ids"),
    [
        ("{id}", ["a.png", "b.JPG", "c.gif", "._a.png"], ["a", "b"]),
        ("{id}_ir", ["1_ir.png", "2_ir.tif", "1_vis.png"], ["1", "2"]),
        ("IR_{id}", ["IR_x-1.bmp", "ir_y.png"], ["x-1"]),
        ("{id}-fused.png", ["q-fused.webp", "q.png"], ["q"]),
        ("FLIR_*_{id}", ["FLIR_2020_7.png", "FLIR_2021_8.png"], ["7", "8"]),
        ("{id}/fused", ["s1/fused.png", "s2/fused.jpg", "s2/ir.jpg", "fused.png"], ["s1", "s2"]),
        ("set*/{id}", ["set00/1.png", "set01/2.png", "other/3.png"], ["1", "2"]),
        ("{id}.a[b]", ["k.a[b].png", "k.ab.png"], ["k"]),
        ("e\u0301{id}", ["\xe91.png"], ["1"]),
    ],
)
def test_patterns(tmp_path: Path, text: str, names: list[str], ids: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(Pattern(text).find(tmp_path)) == ids


@pytest.mark.parametrize("text", ["", "ir", "{id}{id}", "{id}_{role}", "../{id}", "/tmp/{id}", "{}", "a\\{id}"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(DataError, match="pattern"):
        Reading(patterns=(("ir", text),))


def test_two_files_of_one_id(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        folder(tmp_path / Path(name).parent, [Path(name).name])
    with pytest.raises(DataError, match=r"is .* too under the pattern"):
        Pattern("*/{id}").find(tmp_path)
    folder(tmp_path, ["x_1.png", "y_1.png"])
    with pytest.raises(DataError, match=r"is .* too under the pattern"):
        Pattern("*_{id}").find(tmp_path)


@pytest.mark.parametrize(
    ("ir", "vis", "pattern"),
    [
        (["001_ir.png", "002_ir.png"], ["001_vis.png", "002_vis.png"], "ir={id}_ir,vis={id}_vis"),
        (["IR1.png", "IR2.png", "IR10.png"], ["VIS1.jpg", "VIS2.jpg", "VIS10.jpg"], "ir=IR{id},vis=VIS{id}"),
        (["th-a.tif", "th-b.tif"], ["c-a.bmp", "c-b.bmp"], "ir=th-{id},vis=c-{id}"),
        (["k.thermal.png"], ["k.rgb.png"], "ir={id}.thermal,vis={id}.rgb"),
    ],
)
def test_names_that_tell_their_role(tmp_path: Path, ir: list[str], vis: list[str], pattern: str) -> None:
    """Refused with the pattern that pairs them, which then does; in eval, data check and fuse."""
    root = pairs(tmp_path / "set", ir, vis)
    spec, out = f"--datasets=folder={root}", tmp_path / "out"
    one_line(evaluate(out, "--methods=average", spec), "no infrared picture is named like", f"--pattern {pattern}")
    done = evaluate(out, "--methods=average", spec, "--pattern", pattern)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"\b{len(ir)} images? fused", done.stderr)
    assert fusionbench("data", "check", f"folder={root}", "--pattern", pattern).returncode == 0
    both = ("fuse", "average", "--ir", root / "ir", "--vis", root / "vis", "-o", tmp_path / "fused")
    one_line(fusionbench(*both), f"--pattern {pattern}")
    assert fusionbench(*both, "--pattern", f"{pattern},fused=F_{{id}}").returncode == 0
    assert sorted(values(out, "average")) == sorted(p.stem[2:] for p in (tmp_path / "fused").iterdir())


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["1_ir.png", "1_vis.png", "2_ir.png", "2_vis.png"], "ir={id}_ir,vis={id}_vis"),
        (["thermal-7.png", "RGB-7.jpg", "thermal-8.png", "RGB-8.jpg"], "ir=thermal-{id},vis=RGB-{id}"),
        (["s_LWIR.tif", "s_Visible.tif"], "ir={id}_LWIR,vis={id}_Visible"),
    ],
)
def test_both_roles_in_one_folder(tmp_path: Path, names: list[str], pattern: str) -> None:
    root = folder(tmp_path / "set", names)
    spec = f"--datasets=folder={root}"
    one_line(evaluate(tmp_path / "out", "--methods=average", spec), f"--pattern {pattern}")
    done = evaluate(tmp_path / "out", "--methods=average", spec, "--pattern", pattern)
    assert done.returncode == 0, done.stderr
    done = fusionbench("fuse", "average", "--ir", root, "--vis", root, "-o", tmp_path / "f", "--pattern", pattern)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("before", "after", "suffix"),
    [("", "_fused", ".png"), ("SeAFusion_", "", ".jpg"), ("", "-out", ".WEBP"), ("x_", "_y", ".tif")],
)
def test_pictures_with_something_around_the_name(tmp_path: Path, before: str, after: str, suffix: str) -> None:
    root = pairs(tmp_path / "set", [f"{n:03}.png" for n in range(1, 5)])
    mine = folder(tmp_path / "mine", [f"{before}{n:03}{after}{suffix}" for n in range(1, 5)], 200)
    asked = (f"--datasets=folder={root}", f"--images=Mine={mine}")
    pattern = f"fused={before}{{id}}{after}"
    one_line(evaluate(tmp_path / "out", *asked), "holds 4 pictures", f"--pattern {pattern}")
    done = evaluate(tmp_path / "out", *asked, "--pattern", pattern)
    assert done.returncode == 0, done.stderr
    assert len(values(tmp_path / "out", "images[Mine]")) == 4


@pytest.mark.parametrize("suffix", [".PNG", ".Jpg", ".TIFF", ".webp", ".BMP"])
def test_a_suffix_in_any_case(tmp_path: Path, suffix: str) -> None:
    root = pairs(tmp_path / "set", ["001.png", "002.png"])
    mine = folder(tmp_path / "mine", [f"001{suffix}", f"002{suffix}", "._001.png"], 5)
    done = evaluate(tmp_path / "out", f"--datasets=folder={root}", f"--images=Mine={mine}")
    assert done.returncode == 0, done.stderr


def test_a_pattern_that_fits_some_is_not_praised(tmp_path: Path) -> None:
    """Numbers that begin at 1 beside ids that begin at 0: the order may be meant."""
    root = pairs(tmp_path / "set", [f"{n}.png" for n in range(4)])
    mine = folder(tmp_path / "mine", [f"result_{n}.png" for n in range(1, 5)])
    done = evaluate(tmp_path / "out", f"--datasets=folder={root}", f"--images=Mine={mine}")
    one_line(done, "--pattern fused=result_{id} fits 3 of 4; --match order pairs them by order, as they are as many")


def test_folders_in_folders(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for role, number in (("ir", 0), ("vis", 1)):
        for scene in ("a", "b"):
            folder(root / role / f"scene {scene}", [f"{scene}1.png", f"{scene}2.png"], 2 * number, colour=bool(number))
    spec = f"--datasets=folder={root}"
    pattern = "ir=*/{id},vis=*/{id}"
    one_line(evaluate(tmp_path / "out", "--methods=average", spec), f"--pattern {pattern} goes into them")
    done = evaluate(tmp_path / "out", "--methods=average", spec, "--pattern", pattern)
    assert done.returncode == 0, done.stderr
    assert list(values(tmp_path / "out", "average")) == ["a1", "a2", "b1", "b2"]
    one_line(evaluate(tmp_path / "out", "--methods=average", f"--datasets=folder={tmp_path}"), "2 folders (out, set)")


def test_missing_pictures_are_told_once(tmp_path: Path) -> None:
    names = [f"{n:05}N.png" for n in range(12)]
    root = pairs(tmp_path / "set", names)
    mine = folder(tmp_path / "mine", [*names[:6], "0000N6.png"])
    done = evaluate(tmp_path / "out", f"--datasets=folder={root}", f"--images=Mine={mine}")
    assert done.returncode == 1
    assert "6 of 12 pairs have no picture in" in done.stderr
    assert "first 00006N; near to 00006N are 0000N6" in done.stderr
    assert done.stderr.count("failed:") == 1
    assert "00006N and 5 more images (images[Mine]): " in done.stderr


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["deep/001.png"], "holds no picture itself but 1 folder (deep)"),
        (["001.npy", "002.mat"], "holds no picture but 2 other files (001.npy, 002.mat); read are .png, "),
        ([".DS_Store"], "is empty"),
        (["a/1.png", "b/1.png", "c/1.png", "d/1.png"], "holds no picture itself but 4 folders (a, b, c, ...)"),
    ],
)
def test_what_a_folder_holds_is_said(tmp_path: Path, files: list[str], said: str) -> None:
    root = pairs(tmp_path / "set", ["001.png"])
    for name in files:
        for place in ("mine", "bad/ir", "bad/vis"):
            (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place / name).touch()
    out, good = tmp_path / "out", f"--datasets=folder={root}"
    one_line(evaluate(out, good, f"--images=Mine={tmp_path / 'mine'}"), said)
    one_line(evaluate(out, f"--datasets=folder={tmp_path / 'bad'}", "--methods=average"), f"{tmp_path}/bad/ir {said}")
    both = ("--ir", tmp_path / "bad/ir", "--vis", root / "vis")
    one_line(fusionbench("fuse", "average", *both, "-o", out), f"bad/ir {said}")


# ---------------------------------------------------------------- order


@pytest.mark.parametrize(
    ("count", "name"), [(2, "{}.png"), (11, "{}.png"), (120, "{}.png"), (11, "img{}.jpg"), (11, "{}_result.bmp")]
)
def test_numbered_pictures_by_order(tmp_path: Path, count: int, name: str) -> None:
    """Numbers are sorted as numbers, and the pairing is shown before the run."""
    ids = [f"{100 + 3 * n:05}D" for n in range(count)]
    root = pairs(tmp_path / "set", [f"{i}.png" for i in ids])
    mine = tmp_path / "mine"
    mine.mkdir()
    for number in range(1, count + 1):  # the entropy tells the number
        array = np.zeros(SIZE, np.uint8)
        array.flat[: 3 * number] = 255
        Image.fromarray(array).save(mine / name.format(number), quality=100)
    asked = (f"--datasets=folder={root}", f"--images=Mine={mine}")
    one_line(evaluate(tmp_path / "out", *asked), "they are as many", "--match order")
    done = evaluate(tmp_path / "out", *asked, "--match", "order", "--dry-run")
    assert f"paired by order: {ids[0]} with {name.format(1)}, {ids[1]} with {name.format(2)}" in done.stderr
    assert f"{ids[-1]} with {name.format(count)}" in done.stderr
    done = evaluate(tmp_path / "out", *asked, "--match=order", "--limit", max(1, count - 1))
    assert done.returncode == 0, done.stderr
    got = values(tmp_path / "out", "images[Mine]")
    assert list(got) == ids[: max(1, count - 1)]
    if name != "img{}.jpg":
        assert list(got.values()) == sorted(got.values())


@pytest.mark.parametrize(
    "left", [["t1.png", "t2.png", "t10.png"], ["b.tif", "a.tif", "c.tif"], ["1.jpg", "2.jpg", "3.jpg"]]
)
def test_sources_by_order(tmp_path: Path, left: list[str]) -> None:
    right = ["scene 9.png", "scene 10.png", "scene 100.png"]
    root = pairs(tmp_path / "set", left, right)
    both = ("fuse", "average", "--ir", root / "ir", "--vis", root / "vis", "-o", tmp_path / "f")
    one_line(fusionbench(*both), "they are as many", "--match order")
    done = fusionbench(*both, "--match", "order")
    assert done.returncode == 0, done.stderr
    first = sorted(left, key=natural)
    want = f"paired by order: scene 9.png with {first[0]}, scene 10.png with {first[1]}, scene 100.png with {first[2]}"
    assert want in done.stderr
    done = evaluate(tmp_path / "out", "--methods=average", f"--datasets=folder={root}", "--match=order")
    assert done.returncode == 0, done.stderr
    assert want in done.stderr
    for name in ("scene 9", "scene 100"):
        (fused,) = (tmp_path / "out/fused").rglob(f"{name}.png")
        assert np.array_equal(np.array(Image.open(fused)), np.array(Image.open(tmp_path / f"f/{name}.png")))


def test_order_needs_as_many_and_leaves_names_that_pair_alone(tmp_path: Path) -> None:
    root = pairs(tmp_path / "set", ["1.png", "2.png", "10.png"])
    mine = folder(tmp_path / "mine", ["x.png", "y.png"])
    asked = (f"--datasets=folder={root}", "--match=order")
    one_line(evaluate(tmp_path / "out", *asked, f"--images=Mine={mine}"), "2 pictures for 3 images of folder-set all")
    done = evaluate(
        tmp_path / "out", *asked, f"--images=Mine={folder(tmp_path / 'named', ['2.jpg', '10.png', '1.bmp'])}"
    )
    assert done.returncode == 0, done.stderr
    assert "paired by order" not in done.stderr
    one_line(evaluate(tmp_path / "out", *asked[:1], "--methods=average", "--match=size"), "--match size")


# ---------------------------------------------------------------- trees


@pytest.fixture
def tree_of_pictures(tmp_path: Path) -> Path:
    """Two sets, and pictures of two methods for both."""
    for name, ids in (("one", ["1.png", "2.png"]), ("two", ["a.png", "b.png", "c.png"])):
        pairs(tmp_path / name, ids)
        for number, method in enumerate(("A", "B-2")):
            folder(tmp_path / "tree" / method / name.upper(), ids, 10 * number)
            folder(tmp_path / "turned" / name / method, ids, 10 * number)
    (tmp_path / "tree/notes").mkdir()
    (tmp_path / "tree/.hidden").mkdir()
    return tmp_path


@pytest.mark.parametrize("kind", ["tree", "turned"])
def test_a_tree_of_methods_and_datasets(tree_of_pictures: Path, kind: str) -> None:
    root = tree_of_pictures
    done = evaluate(
        *(root / "out", f"--datasets=folder={root / 'one'},folder={root / 'two'}"),
        *("--images-root", root / kind, "--json"),
    )
    assert done.returncode == 0, done.stderr
    tables = {t["dataset"]: {r["id"] for r in t["rows"]} for t in json.loads(done.stdout)["tables"]}
    assert tables == {f"folder-{n}": {"images[A]", "images[B-2]"} for n in ("one", "two")}
    if kind == "tree":
        assert "no pictures of these datasets in notes; left out" in done.stderr
    assert len(values(root / "out", "images[A]")) == 5


def test_a_tree_for_one_dataset(tree: Path, tmp_path: Path) -> None:
    ids = [p.stem for p in sorted((tree / "MSRS/test/ir").iterdir())]
    for place in ("A", "B/MSRS", "C/msrs/test", "D/Msrs"):
        (tmp_path / "tree" / place).mkdir(parents=True)
        for ident in ids:
            shutil.copy(tree / f"MSRS/test/ir/{ident}.png", tmp_path / "tree" / place / f"{ident}_f.png")
    asked = ("--datasets=msrs", "--data-root", tree, "--images-root", tmp_path / "tree")
    done = evaluate(tmp_path / "out", *asked, "--pattern", "fused={id}_f", "--json")
    assert done.returncode == 0, done.stderr
    (table,) = json.loads(done.stdout)["tables"]
    assert {r["id"] for r in table["rows"]} == {f"images[{m}]" for m in "ABCD"}
    one_line(evaluate(tmp_path / "out", *asked), "--pattern fused={id}_f")


def test_not_every_method_has_every_dataset(tree_of_pictures: Path) -> None:
    """It is no failure, and what an earlier run scored stays."""
    root = tree_of_pictures
    both = f"--datasets=folder={root / 'one'},folder={root / 'two'}"
    assert evaluate(root / "out", both, "--images-root", root / "tree").returncode == 0
    shutil.rmtree(root / "tree/A/TWO")
    done = evaluate(root / "out", both, "--images-root", root / "tree", "--json")
    assert done.returncode == 0, done.stderr
    assert "warning: folder-two: no folder for it of 1 names (images[A])" in done.stderr
    tables = {t["dataset"]: {r["id"] for r in t["rows"]} for t in json.loads(done.stdout)["tables"]}
    assert tables == {"folder-one": {"images[A]", "images[B-2]"}, "folder-two": {"images[B-2]"}}
    assert len(values(root / "out", "images[A]")) == 5
    done = evaluate(root / "new", both, f"--images=Mine={root / 'tree/A'}", "--json")
    assert done.returncode == 0, done.stderr
    assert [t["dataset"] for t in json.loads(done.stdout)["tables"]] == ["folder-one"]
    done = fusionbench("explain", "en", "7.0", both, f"--images=Mine={root / 'tree/A'}", "--json")
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["scored"]) == ["images[Mine] on folder-one all, 2 images"]


def test_a_task_on_a_dataset_that_a_method_has_no_pictures_of(tmp_path: Path) -> None:
    for name in ("msrs", "fmb"):
        synth(name, tmp_path / name.upper(), 0, 2, (64, 80), 0)
    shown = open_dataset("msrs", tmp_path)
    folder(tmp_path / "mine/MSRS", [f"{ident}.png" for ident in shown.ids("test")])
    for picture in (tmp_path / "mine/MSRS").iterdir():
        Image.new("L", (80, 64), 3).save(picture)
    images = (f"Mine={tmp_path / 'mine'}",)
    plan = make_plan(
        Request(
            datasets=("msrs", "fmb"), methods=("average",), images=images, metrics=("en",), data_root=tmp_path, jobs=1
        )
    )
    with Store(tmp_path / "r") as store:
        for source, ids in zip(plan.sources, [{"average", "images[Mine]"}, {"average"}], strict=True):
            on_test = labelled(source, source.split, "mask")
            made, gaps = fused_pictures(plan, plan.entries, store, on_test, task("segmentation"), lambda *_: None)
            assert ({entry.id for entry in plan.entries if entry.key in made}, gaps) == (ids, {})


def test_a_tree_that_fits_nothing(tree: Path, tmp_path: Path) -> None:
    asked = ("--datasets=msrs", "--data-root", tree, "--images-root")
    one_line(evaluate(tmp_path / "out", *asked, tmp_path / "none"), "no such folder")
    folder(tmp_path / "tree/A/tno", ["1.png"])
    one_line(evaluate(tmp_path / "out", *asked, tmp_path / "tree"), "no folder METHOD/msrs in it", "1 folder (A)")
    assert picture_tree(tmp_path / "tree", {"x": ("TNO",)}) == {"A": {"x": tmp_path / "tree/A/tno"}}


# ---------------------------------------------------------------- parts


def test_names_are_sorted_by_their_numbers() -> None:
    assert sorted(["10", "9", "2a", "a2", "a10", "02"], key=natural) == ["02", "2a", "9", "10", "a2", "a10"]
    sorted(["1", "a", "", "1a", "a1", "²", "١"], key=natural)  # any names compare


def test_what_is_proposed() -> None:
    assert proposed(["1", "2", "12"], ["1_f", "2_f", "12_f"]) == "{id}_f"
    assert proposed(["a", "b"], ["c", "d"]) == ""
    assert proposed([], []) == ""
    assert role_patterns(["a_ir", "b_ir"]) == {}
    assert shown({str(n): Path(f"{n}.png") for n in range(9)}).endswith("2 with 2.png, ..., 8 with 8.png")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(-0.0001, 3, "0.000"), (-0.0, 0, "0"), (-0.0006, 3, "-0.001"), (-10.0, 1, "-10.0"), (float("nan"), 2, "nan")],
)
def test_zero_has_no_sign(value: float, digits: int, text: str) -> None:
    assert fixed(value, digits) == text
