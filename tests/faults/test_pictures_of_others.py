"""Pictures of other programs: one picture for each image, one name with a folder for each dataset."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fusionbench.data import Sample
from fusionbench.evaluation.entries import entries
from fusionbench.evaluation.picture_folders import from_folder
from fusionbench.plugins.cards import card
from fusionbench.plugins.registry import resolve
from tests.conftest import Done, fusionbench, make_tree

SIZE = (48, 64)


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, SIZE, dtype=np.uint8))


def flat(level: int) -> Image.Image:
    return Image.new("L", SIZE[::-1], level)


def make_folder(root: Path, names: list[str], first: int = 0) -> Path:
    """A picture of noise for every name, each of its own."""
    root.mkdir(parents=True)
    for number, name in enumerate(names, first):
        noise(number).save(root / f"{name}.png")
    return root


def twins(root: Path, count: int = 2) -> Path:
    """Pairs of which all have the same bytes, and pictures that differ: the first is flat."""
    for role in ("ir", "vis"):
        (root / role).mkdir(parents=True)
        for number in range(count):
            noise(7 if role == "ir" else 8).convert("L" if role == "ir" else "RGB").save(root / role / f"{number}.png")
    make_folder(root / "mine", [str(n) for n in range(count)])
    flat(100).save(root / "mine/0.png")
    return root


def evaluate(out: Path, *arguments: object) -> Done:
    return fusionbench("eval", "--metrics=en", "--out", out, *arguments)


def exported(out: Path) -> dict[tuple[str, str, str], float]:
    """(dataset, entry, id) to entropy."""
    assert fusionbench("export", "--out", out, "-o", out / "s.csv").returncode == 0
    rows = pd.read_csv(out / "s.csv", dtype={"id": str})
    return dict(zip(zip(rows["dataset"], rows["entry"], rows["id"], strict=True), rows["value"], strict=True))


@pytest.mark.parametrize("count", [2, 5])
def test_pairs_of_the_same_bytes_keep_their_own_pictures(tmp_path: Path, count: int) -> None:
    root = twins(tmp_path / "set", count)
    for _ in range(2):
        done = evaluate(tmp_path / "r", f"--images=Mine={root / 'mine'}", "--datasets", f"folder={root}")
        assert done.returncode == 0, done.stderr
        assert "not those of an earlier run" not in done.stderr
        values = exported(tmp_path / "r")
        assert values["folder-set", "images[Mine]", "0"] == 0
        assert all(values["folder-set", "images[Mine]", str(n)] > 6 for n in range(1, count))
        assert len(set(values.values())) == count


def test_methods_may_look_at_the_name(tmp_path: Path) -> None:
    """A plugin that uses what the context tells: pairs of the same bytes are not one picture."""
    root, plugins = twins(tmp_path / "set"), tmp_path / "plugins"
    plugins.mkdir()
    text = card("method", "average").path.read_text().replace('name = "average"', 'name = "named"')
    (plugins / "named.toml").write_text(text.replace('object = "Average"', 'object = "Named"'))
    (plugins / "named.py").write_text(
        "from fusionbench.method import Method\n"
        "class Named(Method):\n"
        "    def fuse(self, ir, vis, context=None):\n"
        "        return ir * int(context.ids[0])\n"
    )
    done = fusionbench(
        *("--plugins", plugins, "eval", "--metrics=en", "--out", tmp_path / "r"),
        *("--methods=named", "--datasets", f"folder={root}", "--json"),
    )
    assert done.returncode == 0, done.stderr
    fused = [np.array(Image.open(p)) for p in sorted((tmp_path / "r/fused").rglob("*.png"))]
    assert fused[0].max() == 0
    assert fused[1].max() > 200


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A data root with MSRS and FMB, and the pictures A of the one and B of the other."""
    make_tree(tmp_path / "data", 3)
    fmb = resolve("dataset", "fmb")(tmp_path / "data/FMB", card("dataset", "fmb"))
    pairs = sorted((tmp_path / "data/MSRS/test/ir").iterdir())
    names = ["00001", "00002"]
    for path, name in zip(pairs, names, strict=False):
        ir, vis = (np.array(Image.open(tmp_path / "data/MSRS/test" / role / path.name)) for role in ("ir", "vi"))
        fmb.write(Sample(name, "test", ir[None], vis.transpose(2, 0, 1)), "test")
    make_folder(tmp_path / "A", [p.stem for p in pairs])
    make_folder(tmp_path / "B", names, 20)
    return tmp_path


def rows(out: Path) -> dict[str, dict[str, float]]:
    """Dataset to entry to mean."""
    done = fusionbench("leaderboard", "--out", out, "--format=json")
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout)
    tables = tables if isinstance(tables, list) else [tables]
    return {t["dataset"]: {r["id"]: r["scores"]["en@bits"]["mean"] for r in t["rows"]} for t in tables}


def test_one_name_has_a_folder_for_each_dataset(two: Path) -> None:
    out, data = two / "r", ("--data-root", two / "data")
    assert evaluate(out, f"--images=X={two / 'A'}", "--datasets=msrs", *data).returncode == 0
    first = rows(out)
    done = evaluate(out, f"--images=X={two / 'B'}", "--datasets=fmb", *data)
    assert done.returncode == 0, done.stderr
    assert "not those of an earlier run" not in done.stderr
    assert set(rows(out)) == {"msrs", "fmb"}
    assert rows(out)["msrs"] == first["msrs"]
    assert "images[X]" in rows(out)["fmb"]


def test_the_key_does_not_hang_on_the_folder(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    keys = {from_folder(f"{label}={tmp_path / name}").key for name in "ab" for label in "XY"}
    assert len(keys) == 2
    assert len({entries(spec)[0][0].key for spec in ("gff", "gff[r1=7]")}) == 2


def test_other_pictures_under_a_known_name_are_announced(two: Path) -> None:
    out, data = two / "r", ("--datasets=msrs", "--data-root", two / "data")
    evaluate(out, f"--images=X={two / 'A'}", *data)
    before = rows(out)
    shutil.copytree(two / "A", two / "moved")  # the same pictures elsewhere mean the same
    done = evaluate(out, f"--images=X={two / 'moved'}", *data)
    assert "not those of an earlier run" not in done.stderr
    assert rows(out) == before
    names = sorted(p.stem for p in (two / "A").iterdir())
    make_folder(two / "C", names, 40)
    done = evaluate(out, f"--images=X={two / 'C'}", *data, "--limit=2")
    assert done.stderr.count("not those of an earlier run") == 1
    assert "images[X] on msrs: 2 pictures" in done.stderr
    assert str(two / "C") in done.stderr
    kept = {key for key in exported(out) if key[1] == "images[X]"}
    assert {ident for _, _, ident in kept} == set(names[:2])  # no row of two folders
    done = evaluate(out, f"--images=X={two / 'A'}", *data, "--json")
    assert "images[X] on msrs: 2 pictures" in json.loads(done.stdout)["replaced"][0]
    assert rows(out) == before


def test_two_folders_of_one_name_at_once_are_refused(two: Path) -> None:
    done = evaluate(
        two / "r", f"--images=X={two / 'A'}", f"--images=X={two / 'B'}", "--datasets=msrs", "--data-root", two / "data"
    )
    assert done.returncode == 2
    assert "two entries would have this id" in done.stderr


def test_one_image_in_two_splits_is_fused_once(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    done = evaluate(out, "--methods=average", "--datasets=msrs", "--data-root", tree)
    assert "4 images fused, 0 kept" in done.stderr
    names = sorted(p.stem for p in (tree / "MSRS/test/ir").iterdir())[:2]
    (tmp_path / "mine.txt").write_text("\n".join(names) + "\n")
    done = evaluate(out, "--methods=average", "--datasets=msrs", "--data-root", tree, "--split", tmp_path / "mine.txt")
    assert "0 images fused, 2 kept, 0 values computed" in done.stderr
    for picture in (out / "fused").rglob("*.png"):
        picture.unlink()
    done = evaluate(out, "--methods=average", "--datasets=msrs", "--data-root", tree)
    assert "4 images fused, 0 kept, 0 values computed" in done.stderr
