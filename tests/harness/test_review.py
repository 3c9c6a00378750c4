"""Bad input and odd surroundings: one clear line, exit code 2, nothing lost or left behind."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fusionbench as package
from fusionbench.errors import DataError, FusionbenchError, WeightsError
from fusionbench.pixels.images import image_size, read_image
from fusionbench.plugins.weights import broken, check_name, installed
from fusionbench.report.formats import plain
from fusionbench.report.latex import escape_latex
from fusionbench.report.markup import escape_markdown
from fusionbench.results.merge import merge
from fusionbench.results.records import Case
from fusionbench.results.sources import source
from fusionbench.results.store import Fused, Score, Store
from fusionbench.runtime import locations
from tests.conftest import fusionbench, process
from tests.harness.test_eval import run
from tests.harness.test_store import board as make_board
from tests.harness.test_store import entry as make_entry


def refused(*arguments: object, **settings: str) -> str:
    """The one line that a command ends with."""
    done = fusionbench(*arguments, **settings)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# ---------------------------------------------------------------- merge


def make_store(folder: Path, key: str, fused: bool = True, failure: str = "", seqs: int = 0, **board: object) -> Store:
    """One image of one entry."""
    store = Store(folder)
    for older in range(seqs):
        store.put_entry(f"old{older}", make_entry())
    store.put_entry(key, make_entry())
    store.put_board(make_board(**board), [("a", "pair")], ["a"])
    if fused:
        store.put_fused(key, "d", "test", "a", Fused("pair", f"image-{key}", "fused/x/a.png"))
        store.put_scores([Score(f"image-{key}", "pair", "en", "c", 1.0)])
    if failure:
        store.set_failures("d", "test", {Case(key, "a"): failure}, {key})
    return store


def test_merge_keeps_our_entry_in_the_tables(tmp_path: Path) -> None:
    make_store(tmp_path / "b", "theirs", seqs=3).close()
    with make_store(tmp_path / "a", "ours") as ours:
        for _ in range(2):  # named again the second time, and nothing moves
            _, conflicts = merge(ours, [tmp_path / "b"])
            assert len(conflicts) == 1
            assert "entry gff (output released): key theirs" in conflicts[0]
            assert list(ours.entries("released")) == ["ours"]
    with Store(tmp_path / "c") as fresh:
        merge(fresh, [tmp_path / "b"])
        assert list(fresh.entries("released")) == ["theirs"]


def test_merge_drops_failures_of_what_another_machine_fused(tmp_path: Path) -> None:
    make_store(tmp_path / "fails", "k", fused=False, failure="out of memory").close()
    make_store(tmp_path / "works", "k").close()
    for order in (("fails", "works"), ("works", "fails")):
        with Store(tmp_path / order[0] / "merged") as store:
            assert merge(store, [tmp_path / n for n in order])[1] == []
            assert store.failures("d", "test") == {}
    with Store(tmp_path / "alone") as store:
        merge(store, [tmp_path / "fails"])
        assert store.failures("d", "test") == {("k", "a"): "out of memory"}


def test_merge_names_other_protocols_and_not_other_counts(tmp_path: Path) -> None:
    make_store(tmp_path / "count", "k", expected=5).close()
    make_store(tmp_path / "split", "k", split_sha256="other").close()
    with make_store(tmp_path / "a", "k") as ours:
        assert merge(ours, [tmp_path / "count"])[1] == []
        (line,) = merge(ours, [tmp_path / "split"])[1]
        assert "protocol of d test released: split_sha256 other, kept s" in line


def test_merge_checks_its_sources_first(tmp_path: Path) -> None:
    make_store(tmp_path / "50% #1?", "k").close()
    with source(tmp_path / "50% #1?"):
        pass
    with Store(tmp_path / "c") as store:
        assert merge(store, [tmp_path / "50% #1?"])[0]["fused"] == 1
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/results.db").write_bytes(b"nothing of the kind" * 100)
    with (
        pytest.raises(FusionbenchError, match=r"bad/results\.db: is damaged or no results store"),
        source(tmp_path / "bad"),
    ):
        pass
    (tmp_path / "old").mkdir()
    with closing(sqlite3.connect(tmp_path / "old/results.db")) as db:
        db.execute("CREATE TABLE x(y)")
    with pytest.raises(FusionbenchError, match="another program's database"), source(tmp_path / "old"):
        pass


# ---------------------------------------------------------------- weights


def put_record(name: str, text: str | None = None, sha256: str = "0" * 64) -> Path:
    """A checkpoint's record in the cache."""
    facts = {"method": "refusion", "name": name, "sha256": sha256, "stored_sha256": "1", "trained_on": "x"}
    path = locations.current().cache / "weights/refusion" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**facts, "listed": False}) if text is None else text)
    return path


def test_names_of_checkpoints() -> None:
    from fusionbench.plugins.cards import card

    entry, file = card("method", "refusion"), Path("w.pth")
    listed = entry.facts.weights[0]
    check_name(entry, listed.name, listed.sha256, file)
    for name in ("", "a b", "../x", "a,b", "a[b]", "x=1"):
        with pytest.raises(WeightsError, match="letters, digits"):
            check_name(entry, name, "0", file)
    with pytest.raises(WeightsError, match="the card's name of another file"):
        check_name(entry, listed.name, "0", file)
    put_record("mine", sha256="a" * 64)
    check_name(entry, "mine", "a" * 64, file)
    with pytest.raises(WeightsError, match="remove it first: fusionbench weights remove refusion mine"):
        check_name(entry, "mine", "b" * 64, file)


def test_a_damaged_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("cut", '{"method": '), ("list", "[]"), ("fields", '{"method": "refusion"}')):
        put_record(name, text)
    put_record("good")
    for _ in range(2):
        assert [w.name for w in installed("refusion")] == ["good", "scenes"]
    assert capsys.readouterr().err.count("damaged record of weights; delete it") == 3
    assert [p.stem for p in broken("refusion")] == ["cut", "fields", "list"]

    done = fusionbench("doctor", "--json", "--out", tmp_path / "r")
    rows = {r["what"]: r for r in json.loads(done.stdout)}
    assert rows["weights refusion[cut]"]["state"] == "bad"
    assert rows["weights refusion[cut]"]["fix"].startswith("delete it")
    done = process("weights", "list", "--json")  # each record is named once in a process
    assert done.returncode == 0
    assert done.stderr.count("warning: ") == 3
    assert fusionbench("weights", "remove", "refusion", "cut").returncode == 0
    assert "cut" not in [p.stem for p in broken("refusion")]


def test_a_card_s_name_on_another_file() -> None:
    """What is here is told by hash."""
    put_record("ivif")
    rows = json.loads(fusionbench("weights", "list", "--json").stdout)
    assert [r["here"] for r in rows if r["name"] == "ivif"] == [False, True]
    assert [r["sha256"] for r in rows if r["here"] and r["name"] == "ivif"] == ["0" * 64]


def test_the_cache_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "w.pth").write_bytes(b"x")
    for cache in (tmp_path / "file", tmp_path / "file/below"):
        line = refused("weights", "add", "refusion", tmp_path / "w.pth", FUSIONBENCH_CACHE=str(cache))
        assert "file: a file, not a folder; move it away or set FUSIONBENCH_CACHE" in line
    refused("weights", "list", FUSIONBENCH_CACHE=str(tmp_path / "file"))


# ---------------------------------------------------------------- tables


def test_text_in_tables() -> None:
    assert escape_latex("<a|b> →\n") == r"\textless{}a\textbar{}b\textgreater{} $\rightarrow$ "
    assert escape_markdown("a|b\nc") == r"a\|b c"
    assert json.dumps(plain({"x": [float("inf"), (float("nan"), 1.5)]})) == '{"x": [null, [null, 1.5]]}'


def test_any_text_compiles(tmp_path: Path, pdflatex: str) -> None:
    letters = [
        *map(chr, (*range(0x500), 0x2192, 0x2603, 0x4E2D, 0xD800, 0xFB01, 0xFFFD, 0x1F600)),
        "融合",
        "é̌x",
        "שלום",
    ]
    text = "\n\n".join(escape_latex(letter) for letter in letters)
    document = f"\\documentclass{{article}}\\begin{{document}}\n{text}\n\\end{{document}}\n"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_several_tables(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    run(tree, out, methods="--methods=average")
    run(tree, out, "--output-rule=clip-round", methods="--methods=average")
    done = fusionbench("leaderboard", "--out", out, "--format=json")
    assert len(json.loads(done.stdout)) == 2
    line = refused("leaderboard", "--out", out, "--format", "csv")
    assert "choose one with --datasets, --split, --output-rule" in line
    latex = fusionbench("leaderboard", "--out", out, "--format", "latex").stdout
    assert r"MSRS (msrs-fusion@v1+output=clip-round)" in latex
    assert latex.count(r"\begin{table") == latex.count(r"\begin{tabular") == 1
    assert isinstance(
        json.loads(fusionbench("leaderboard", "--out", out, "--format=json", "--output-rule=released").stdout), dict
    )
    line = refused("leaderboard", "--out", out, "--methods=avarage")
    assert "--methods avarage: " in line
    assert "there are: average" in line
    (tmp_path / "file").write_text("x")
    refused("leaderboard", "--out", out, "--output-rule=released", "-o", tmp_path / "file/x.md")


# ---------------------------------------------------------------- the Python interface


def test_what_the_python_interface_refuses(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.zeros((32, 40), np.uint8)
    with pytest.raises(FusionbenchError, match="no output rule 'best'"):
        package.fuse("average", grey, grey, output_rule="best")
    with pytest.raises(FusionbenchError, match="pairs must be aligned"):
        package.fuse("average", grey, grey[1:])
    for wrong in (grey / 255, grey[0], grey[:, :, None].repeat(4, 2), grey[:0]):
        with pytest.raises(FusionbenchError, match=r"vis is .* of shape .*; needs uint8"):
            package.fuse("average", grey, wrong)
    for name in ("a", "b"):
        put_record(name)
    with pytest.raises(FusionbenchError, match=r"choose one of refusion\[a\], refusion\[b\], refusion\[scenes\]"):
        package.fuse("refusion", grey, grey)
    for wrong, words in (
        ({"limit": 0}, "limit=0: must be at least 1"),
        ({"jobs": -1}, "jobs=-1: "),
        ({"device": "cuda:99"}, "device cuda:99: "),
    ):
        with pytest.raises(FusionbenchError, match=words):
            package.evaluate(["average"], ["msrs"], ["en"], data_root=tree, **wrong)


# ---------------------------------------------------------------- files


def test_fuse_goes_on_after_any_error(tree: Path, tmp_path: Path) -> None:
    """The plugin fails on one picture in its own way."""
    from fusionbench.plugins.cards import card

    (tmp_path / "p").mkdir()
    text = card("method", "average").path.read_text().replace('name = "average"', 'name = "odd"')
    (tmp_path / "p/odd.toml").write_text(text.replace('object = "Average"', 'object = "Odd"'))
    (tmp_path / "p/odd.py").write_text(
        "from fusionbench.plugins.method import Method\n"
        "class Odd(Method):\n"
        "    def fuse(self, ir, vis, context=None):\n"
        "        self.seen = getattr(self, 'seen', 0) + 1\n"
        "        if self.seen == 2:\n"
        "            raise IndexError('of its own')\n"
        "        return ir\n"
    )
    ir, vis = tree / "MSRS/test/ir", tree / "MSRS/test/vi"
    done = fusionbench("--plugins", tmp_path / "p", "fuse", "odd", "--ir", ir, "--vis", vis, "-o", tmp_path / "o")
    assert done.returncode == 1, done.stderr
    assert "IndexError: of its own" in done.stderr
    assert "3 of 4 fused" in done.stderr


def test_fuse_never_writes_onto_a_source(tree: Path, tmp_path: Path) -> None:
    ir, vis = tree / "MSRS/test/ir", tree / "MSRS/test/vi"
    before = {p: p.read_bytes() for p in tree.rglob("*.png")}
    assert "is one of the sources" in refused("fuse", "average", "--ir", ir, "--vis", vis, "-o", vis)
    one = sorted(before)[0].name
    (tmp_path / "link.png").symlink_to(ir / one)
    refused("fuse", "average", "--ir", ir / one, "--vis", vis / one, "-o", tmp_path / "link.png")
    assert before == {p: p.read_bytes() for p in tree.rglob("*.png")}


def test_pipes_are_no_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for read in (read_image, image_size):
        with pytest.raises(DataError, match="not a regular file"):
            read(tmp_path / "pipe.png")
        with pytest.raises(DataError):
            read(tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "vis.png")
    done = fusionbench(
        *("fuse", "average", "--ir", tmp_path / "pipe.png", "--vis", tmp_path / "vis.png", "-o", tmp_path / "o.png")
    )
    assert done.returncode == 1
    assert "not a regular file" in done.stderr


def test_files_for_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "file: a file, not a folder" in refused("data", "synth", "--like=msrs", "--out", tmp_path / "file")
    line = refused("data", "synth", "--like=msrs", "--train=0", "--test=0", "--out", tmp_path / "new")
    assert "nothing to draw" in line
    assert not (tmp_path / "new").exists()
    refused("data", "synth", "--like=msrs", "--out", tmp_path / "file/below")
    address = "http://127.0.0.1:9/a.zip"
    assert "--data-root" in refused("data", "download", "tno", "--url", address, "--data-root", tmp_path / "file")
    done = fusionbench("doctor", "--json", "--out", tmp_path / "file")
    (row,) = [r for r in json.loads(done.stdout) if r["what"].startswith("results in")]
    assert (done.returncode, row["state"]) == (1, "bad")
    assert "is no folder" in row["found"]


def test_a_remedy_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "results.db").write_text("my notes\n" * 500)
    assert "move it away, or choose another --out" in refused("leaderboard", "--out", tmp_path)


def test_a_failed_merge_leaves_nothing_behind(tmp_path: Path) -> None:
    done = fusionbench("merge", tmp_path / "nowhere", "--out", tmp_path / "new")
    assert done.returncode == 2
    assert not (tmp_path / "new").exists()
