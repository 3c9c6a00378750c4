"""The smaller verbs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fusionbench as package
from fusionbench.plugins import cards
from fusionbench.results.store import Score, Store
from tests.conftest import fusionbench, process
from tests.harness.test_eval import run


def test_help_is_quick() -> None:
    process("--help")
    times = []
    for _ in range(3):
        began = os.times()
        assert process("--help").returncode == 0
        times.append(sum(os.times()[2:4]) - sum(began[2:4]))  # of the processor: a busy machine makes no difference
    assert min(times) < 0.3


def test_unknown_verb() -> None:
    done = fusionbench("evel")
    assert done.returncode == 2
    assert "did you mean eval" in done.stderr


def test_show_a_metric_prints_every_variant() -> None:
    text = fusionbench("show", "vif").stdout
    for variant in ("vif@tdfusion", "vif@cddfuse", "vif@tang-uint8"):
        assert variant in text
    assert "agrees with HaowenBai/TDFusion (VIF) on 16 images: measured <= 1e-12, claimed 1e-08" in text
    assert "agrees with the published TNO sheet (VIF) on 56 images: measured <= " in text
    assert "fault of" in text


def test_show_falls_back_to_the_claims_on_a_card(tmp_path: Path) -> None:
    """A metric of somebody else's has no measured agreement beside it, or not of everything that it claims."""
    card = cards.card("metric", "vif").path.read_text(encoding="utf-8").replace('name = "vif"', 'name = "mine"')
    (tmp_path / "mine.toml").write_text(card, encoding="utf-8")
    (tmp_path / "mine.py").write_text("vif = None\n")
    claim = "agrees with HaowenBai/TDFusion (VIF) to rtol 1e-08"
    assert claim in fusionbench("--plugins", tmp_path, "show", "mine").stdout
    row = {"theirs": "VIF", "program": "HaowenBai/TDFusion", "images": 3}
    row |= {"claimed": 1e-9, "deviation": 2e-11, "kind": "program"}
    (tmp_path / "parity.json").write_text(json.dumps({"mine@tdfusion": [row]}))
    text = fusionbench("--plugins", tmp_path, "show", "mine").stdout
    assert "agrees with HaowenBai/TDFusion (VIF) on 3 images: measured <= 2e-11, claimed 1e-09" in text
    assert claim not in text
    assert "agrees with the published TNO sheet (VIF) to rtol 2e-08" in text


def test_list_json() -> None:
    found = json.loads(fusionbench("list", "--json").stdout)
    assert "average" in found["methods"]
    assert "msrs-fusion@v1" in found["protocols"]
    assert "tdfusion" in found["profiles"]


def test_list_groups_methods_by_family() -> None:
    lines = fusionbench("list", "methods").stdout.splitlines()
    at = {line.split()[0]: n for n, line in enumerate(lines)}
    assert at["classical"] < at["gff"] < at["cnn"] < at["seafusion"] < at["transformer"] < at["refusion"]
    assert lines[at["seafusion"]].split()[1] == "2022*"  # there are no weights here
    assert "2024* " not in lines[at["refusion"]]
    assert lines[-1].startswith("  * no weights here")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    assert "_FUSIONBENCH_COMPLETE" in fusionbench("completion", shell).stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fusionbench eval --methods aver", "average"),
        ("fusionbench eval --methods gff,maxi", "gff,maximum"),
        ("fusionbench show vi", "vif"),
        ("fusionbench eval --profile tang", "tang-uint8"),
        ("fusionbench data check ms", "msrs"),
    ],
)
def test_completion_knows_real_names(words: str, expected: str) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = fusionbench(_FUSIONBENCH_COMPLETE="bash_complete", **asked)
    assert f"plain,{expected}" in done.stdout.splitlines(), done.stdout + done.stderr


def test_doctor(tree: Path, tmp_path: Path) -> None:
    done = fusionbench("doctor", "--json", "--data-root", tree, "--out", tmp_path / "r")
    assert done.returncode == 0, done.stdout
    rows = {r["what"]: r for r in json.loads(done.stdout)}
    assert "test 4" in rows["data msrs"]["found"]
    assert rows["weights tdfusion[scenes-fmb]"]["state"] == "ok"
    assert rows["torch"]["state"] == "ok"


def test_fuse_files_and_folders(tree: Path, tmp_path: Path) -> None:
    ir, vis = tree / "MSRS/test/ir", tree / "MSRS/test/vi"
    one = sorted(ir.iterdir())[0].name
    done = fusionbench("fuse", "average", "--ir", ir / one, "--vis", vis / one, "-o", tmp_path / "one.png")
    assert done.returncode == 0, done.stderr
    done = fusionbench("fuse", "average", "--ir", ir, "--vis", vis, "-o", tmp_path / "all")
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == sorted(p.name for p in ir.iterdir())
    assert np.array_equal(np.array(Image.open(tmp_path / "one.png")), np.array(Image.open(tmp_path / "all" / one)))
    done = fusionbench("fuse", "average", "--ir", ir / one, "--vis", vis / one, "-o", tmp_path / "grey.png", "--grey")
    assert Image.open(tmp_path / "grey.png").mode == "L"
    (vis / one).write_bytes(b"broken")
    done = fusionbench("fuse", "average", "--ir", ir, "--vis", vis, "-o", tmp_path / "rest")
    assert done.returncode == 1
    assert "3 of 4 fused" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_python_interface_gives_the_same_picture(tree: Path, tmp_path: Path) -> None:
    ir, vis = (sorted((tree / "MSRS/test" / d).iterdir())[0] for d in ("ir", "vi"))
    fusionbench("fuse", "gff", "--ir", ir, "--vis", vis, "-o", tmp_path / "f.png")
    picture = package.fuse("gff", np.array(Image.open(ir)), np.array(Image.open(vis)))
    assert np.array_equal(picture, np.array(Image.open(tmp_path / "f.png")))


def test_export_keeps_every_score_and_its_hashes(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "r")
    for name in ("s.parquet", "s.csv"):
        assert fusionbench("export", "--out", tmp_path / "r", "-o", tmp_path / name).returncode == 0
    a, b = pd.read_parquet(tmp_path / "s.parquet"), pd.read_csv(tmp_path / "s.csv", float_precision="round_trip")
    assert len(a) == 2 * 4 * 2
    assert (a["value"].to_numpy() == b["value"].to_numpy()).all()
    assert a["fused_sha256"].str.len().eq(64).all()
    done = fusionbench("export", "--out", tmp_path / "r", "-o", tmp_path / "s.xlsx")
    assert "must end in .parquet or .csv" in done.stderr


def test_merge_two_machines(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "a", methods="--methods=average")
    run(tree, tmp_path / "b", methods="--methods=visible,maximum")
    done = fusionbench("merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")
    assert done.returncode == 0, done.stdout
    run(tree, tmp_path / "whole", methods="--methods=average,visible,maximum")
    boards = [fusionbench("leaderboard", "--out", tmp_path / n).stdout for n in ("c", "whole")]
    assert boards[0] == boards[1] != ""
    again = run(tree, tmp_path / "c", methods="--methods=average,visible,maximum")
    assert "0 images fused, 12 kept, 0 values computed" in again.stderr


def test_merge_names_conflicts(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "a")
    run(tree, tmp_path / "b")
    with Store(tmp_path / "b") as store:
        first = store.score_rows()[0]
        store.put_scores([Score(*first[:4], first.value + 1)])
    done = fusionbench("merge", tmp_path / "b", "--out", tmp_path / "a")
    assert done.returncode == 1
    assert done.stdout.count("conflict:") == 1
    assert "score" in done.stdout
    assert "no results store" in fusionbench("merge", tmp_path / "nowhere", "--out", tmp_path / "a").stderr


def test_reproduce(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "r")
    result = tmp_path / "r/tables/msrs-fusion@v1.partial-4-of-361.selected.json"
    done = fusionbench("reproduce", result, "--data-root", tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 means compared: all the same" in done.stdout

    text = result.read_text()
    facts = json.loads(text)
    facts["rows"][1]["scores"]["en@bits"]["mean"] += 1e-3
    result.write_text(json.dumps(facts))
    done = fusionbench("reproduce", result, "--data-root", tree)
    assert done.returncode == 1
    assert "largest difference of a mean 0.001" in done.stdout

    result.write_text(text)
    victim = next((tree / "MSRS/test/ir").iterdir())
    Image.fromarray(255 - np.array(Image.open(victim))).save(victim)
    done = fusionbench("reproduce", result, "--data-root", tree)
    assert done.returncode == 1
    assert f"1 source pairs have other bytes, e.g. {victim.stem}" in done.stdout
    assert "not there" in fusionbench("reproduce", tmp_path / "nope.json").stderr


def test_compare(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "r", methods="--methods=average,maximum")
    done = fusionbench("compare", "average", "maximum", "--out", tmp_path / "r", "--json")
    cell = json.loads(done.stdout)[0]["metrics"]["en@bits"]
    assert cell["difference"] == pytest.approx(cell["average"] - cell["maximum"])
    assert cell["ci95"][0] <= cell["difference"] <= cell["ci95"][1]
    assert "no entry 'gff'" in fusionbench("compare", "average", "gff", "--out", tmp_path / "r").stderr


def test_stability(tree: Path, tmp_path: Path) -> None:
    for profile in ("tang", "tang-uint8"):
        fusionbench(
            "eval",
            "--methods=average,maximum,laplacian",
            "--profile",
            profile,
            "--datasets=msrs",
            "--data-root",
            tree,
            "--out",
            tmp_path / "r",
        )
    done = fusionbench(
        "stability", "--datasets=msrs", "--profiles=tang,tang-uint8", "--out", tmp_path / "r", "-o", tmp_path / "s.png"
    )
    assert done.returncode == 0, done.stderr
    assert "Kendall tau: tang/tang-uint8" in done.stdout
    assert Image.open(tmp_path / "s.png").size[0] > 300
    one = fusionbench("stability", "--datasets=msrs", "--profiles=tang", "--out", tmp_path / "r")
    assert "two are needed" in one.stderr


def test_explain(tree: Path) -> None:
    text = fusionbench("explain", "ssim", "1.5").stdout
    assert "impossible  ssim@tdfusion" in text  # a mean of two values that reach at most 1
    assert "did you mean" in fusionbench("explain", "sim", "1").stderr
    theirs = tree / "MSRS/test/vi"
    done = fusionbench(
        "explain", "vif", "1.0", "--images", f"Theirs={theirs}", "--datasets=msrs", "--data-root", tree, "--json"
    )
    scored = next(iter(json.loads(done.stdout)["scored"].values()))
    assert scored["vif@cddfuse"] == pytest.approx(2 * scored["vif@tdfusion"])


def test_synth(tmp_path: Path) -> None:
    for name in ("a", "b"):
        done = fusionbench(
            "data", "synth", "--like=msrs", "--train=2", "--test=3", "--size=96x128", "--out", tmp_path / name
        )
        assert done.returncode == 0, done.stderr
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 5 * 4 + 1  # ir, vi, mask, boxes, and the origin
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert "not empty" in fusionbench("data", "synth", "--like=msrs", "--out", tmp_path / "a").stderr
    done = fusionbench(
        "eval", "--methods=average", "--metrics=en", "--datasets", f"msrs={tmp_path / 'a'}", "--out", tmp_path / "r"
    )
    assert "scenes-msrs-fusion@v1" in done.stdout
    assert "Scenes in the layout of MSRS, split test: 3 of 3 pairs" in done.stdout
    assert "Synthetic images: scenes, seed 0" in done.stdout


def test_varied_scenes_are_another_dataset_and_drawn_again_by_reproduce(tmp_path: Path) -> None:
    words = ("--like=msrs", "--train=0", "--test=3", "--size=64x80", "--generator", "scenes-2", "--out", tmp_path / "a")
    assert fusionbench("data", "synth", *words).returncode == 0
    spec = ("--datasets", f"msrs={tmp_path / 'a'}")
    done = fusionbench("eval", "--methods=average", "--metrics=en", *spec, "--out", tmp_path / "r")
    assert "scenes-2-msrs-fusion@v1" in done.stdout
    assert "Synthetic images: scenes-2, seed 0" in done.stdout
    (table,) = (p for p in (tmp_path / "r/tables").glob("scenes-2-msrs-*.json") if ".provenance" not in p.name)
    shutil.rmtree(tmp_path / "a")
    again = fusionbench("reproduce", table, "--data-root", tmp_path, "--out", tmp_path / "again")
    assert (again.returncode, again.stderr) == (0, ""), again.stdout
    other = ("--like=msrs", "--out", tmp_path / "b", "--generator", "scenes-3")
    refused = fusionbench("data", "synth", *other)
    assert refused.returncode == 2
    assert "'scenes-3' is not one of 'scenes', 'scenes-2'" in refused.stderr


def test_a_profile_may_report_a_metric_twice(tree: Path, tmp_path: Path) -> None:
    done = fusionbench(
        *("eval", "--methods=average", "--profile=liu2012", "--datasets=msrs", "--data-root", tree),
        *("--out", tmp_path / "r", "--json"),
    )
    table = json.loads(done.stdout)["tables"][0]
    scores = table["rows"][0]["scores"]
    assert scores["mi@nats"]["mean"] == pytest.approx(scores["mi@bits"]["mean"] * np.log(2))
    assert table["protocol"] == "msrs-fusion@v1+profile=liu2012"


def test_comparing_an_entry_with_itself_is_valid_json(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "r", methods="--methods=average")
    done = fusionbench("compare", "average", "average", "--out", tmp_path / "r", "--json")
    cell = json.loads(done.stdout, parse_constant=pytest.fail)[0]["metrics"]["en@bits"]
    assert cell["p_holm"] is None
    assert cell["better"] == ""
