"""`eval` as a user meets it: kept work, bad data, clear lines."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.results.store import Store
from tests.conftest import fusionbench, make_tree, process

METRICS = "--metrics=en,sf"
METHODS = "--methods=average,visible"


def run(tree: Path, out: Path, *more: object, methods: str = METHODS, **settings: str):
    return fusionbench(
        "eval", methods, METRICS, "--datasets=msrs", "--data-root", tree, "--out", out, *more, **settings
    )


def tables(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((out / "tables").iterdir()) if "provenance" not in p.name}


def test_partial_split_says_so(tree: Path, tmp_path: Path) -> None:
    done = run(tree, tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert "warning: msrs test: 4 of 361 pairs, partial" in done.stderr
    names = sorted(tables(tmp_path / "r"))
    assert names == [f"msrs-fusion@v1.partial-4-of-361.selected.{s}" for s in ("csv", "json", "md", "tex")]
    assert "4 of 361 pairs, partial" in tables(tmp_path / "r")[names[2]].decode()


def test_a_second_run_computes_nothing(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "r")
    first = tables(tmp_path / "r")
    done = run(tree, tmp_path / "r")
    assert "0 images fused, 8 kept, 0 values computed" in done.stderr
    assert tables(tmp_path / "r") == first


def test_more_metrics_fuse_nothing_again(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "r")
    done = fusionbench(
        "eval", METHODS, "--metrics=scd", "--datasets=msrs", "--data-root", tree, "--out", tmp_path / "r"
    )
    assert "0 images fused, 8 kept, 8 values computed" in done.stderr


def test_a_dataset_without_these_scores_hides_no_other(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "r")
    make_tree(tmp_path / "other", 2, size=(40, 56))  # other pixels: scores belong to pictures, wherever they lie
    folder = f"--datasets=folder={tmp_path / 'other/MSRS/test'}"
    there = ("--methods=average", "--metrics=scd", folder, "--out", tmp_path / "r")
    done = fusionbench("eval", *there, "--pattern", "ir=ir/{id}.png", "--pattern", "vis=vi/{id}.png")
    assert done.returncode == 0, done.stderr
    both = fusionbench("leaderboard", "--out", tmp_path / "r", "--metrics", "en", "--format", "md")
    assert both.returncode == 0, both.stderr
    assert "MSRS, split test" in both.stdout
    assert "left out: " in both.stderr
    assert "no complete scores for folder" in both.stderr
    none = fusionbench("leaderboard", "--out", tmp_path / "r", "--metrics", "vif")
    assert none.returncode == 2
    assert "no complete scores for " in none.stderr


def test_workers_do_not_change_bytes(tree: Path, tmp_path: Path) -> None:
    for jobs in (1, 3):
        run(tree, tmp_path / str(jobs), "--jobs", jobs)
    assert tables(tmp_path / "1") == tables(tmp_path / "3")


def test_a_changed_image_is_scored_anew(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "r")
    first = tables(tmp_path / "r")
    victim = next((tree / "MSRS/test/ir").iterdir())
    Image.fromarray(255 - np.array(Image.open(victim))).save(victim)
    done = run(tree, tmp_path / "r")
    assert "2 images fused, 6 kept" in done.stderr
    assert tables(tmp_path / "r") != first


def test_a_damaged_fused_picture_is_named_and_mended(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "r")
    picture = next((tmp_path / "r/fused").glob("average*/*/*.png"))
    picture.write_bytes(picture.read_bytes()[:50])
    done = fusionbench(
        "eval", METHODS, "--metrics=scd", "--datasets=msrs", "--data-root", tree, "--out", tmp_path / "r"
    )
    assert done.returncode == 1
    assert picture.name in done.stderr
    picture.unlink()
    assert run(tree, tmp_path / "r").returncode == 0


# --- bad data: one clear line each, exit code, the rest is scored ------------------------------------------------


def _truncate(tree: Path) -> str:
    victim = sorted((tree / "MSRS/test/vi").iterdir())[1]
    victim.write_bytes(victim.read_bytes()[:200])
    return victim.name


def _resize(tree: Path) -> str:
    victim = sorted((tree / "MSRS/test/ir").iterdir())[1]
    Image.open(victim).resize((32, 24)).save(victim)
    return "sizes differ"


def _drop(tree: Path) -> str:
    sorted((tree / "MSRS/test/vi").iterdir())[1].unlink()
    return "partner"


@pytest.mark.parametrize("spoil", [_truncate, _resize, _drop])
def test_a_bad_pair_stops_nothing(tree: Path, tmp_path: Path, spoil) -> None:
    message = spoil(tree)
    ident = sorted((tree / "MSRS/test/ir").iterdir())[1].stem
    done = run(tree, tmp_path / "r")
    assert done.returncode == 1
    lines = [x for x in done.stderr.splitlines() if x.startswith("failed:")]
    assert len(lines) == 1, done.stderr
    assert ident in lines[0]
    assert message in lines[0]
    assert "Traceback" not in done.stderr
    text = tables(tmp_path / "r")["msrs-fusion@v1.partial-3-of-361.selected.md"].decode()
    assert "3 of 361 pairs" in text
    assert f"Excluded image {ident}" in text


def test_mended_data_needs_no_fresh_start(tree: Path, tmp_path: Path) -> None:
    victim = sorted((tree / "MSRS/test/vi").iterdir())[1]
    good = victim.read_bytes()
    _truncate(tree)
    run(tree, tmp_path / "r")
    victim.write_bytes(good)
    done = run(tree, tmp_path / "r")
    assert done.returncode == 0
    assert "2 images fused, 6 kept" in done.stderr
    run(tree, tmp_path / "fresh")
    name = "msrs-fusion@v1.partial-4-of-361.selected.md"
    assert tables(tmp_path / "r")[name] == tables(tmp_path / "fresh")[name]


NAN = (
    "import torch\nfrom fusionbench.plugins.method import Method\n"
    "class Mine(Method):\n"
    "    def fuse(self, ir, vis, context=None):\n"
    "        return ir / 0 * 0 if context.ids[0] == {!r} else ir\n"
)


def test_nan_from_a_network_is_named_and_not_averaged(tree: Path, tmp_path: Path) -> None:
    from tests.harness.test_cards import plugin

    ident = sorted((tree / "MSRS/test/ir").iterdir())[2].stem
    plugin(tmp_path / "p", code=NAN.format(ident))
    done = run(tree, tmp_path / "r", methods="--methods=average,mine", FUSIONBENCH_PLUGINS=str(tmp_path / "p"))
    assert done.returncode == 1
    assert f"failed: msrs {ident} (mine):" in done.stderr
    assert "3 of 361" in next(t for n, t in tables(tmp_path / "r").items() if n.endswith(".md")).decode()


def test_a_method_that_cannot_start_leaves_the_others(tree: Path, tmp_path: Path) -> None:
    from tests.harness.test_cards import plugin

    plugin(
        tmp_path / "p", code="class Mine:\n    def __init__(self, **o):\n        raise RuntimeError('no such GPU')\n"
    )
    done = run(tree, tmp_path / "r", methods="--methods=average,mine", FUSIONBENCH_PLUGINS=str(tmp_path / "p"))
    assert done.returncode == 1
    assert "skipped mine:" in done.stderr
    assert "no such GPU" in done.stderr
    assert "average" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods=avarage"], "did you mean average"),
        (["--methods=average[levels=3]"], "no option 'levels'"),
        (["--methods=tdfusion[mine]"], "fusionbench weights add tdfusion"),
        (["--methods=average", "--metrics=viff@nope"], "no variant 'nope'"),
        (["--methods=average", "--profile=nope"], "no profile 'nope'"),
        (["--methods=average", "--output-rule=nope"], "no output rule 'nope'"),
        (["--methods=average", "--datasets=nope"], "no dataset 'nope'"),
        (["--methods=average", "--datasets=fmb"], "not found under"),
        (["--images=a", "--datasets=msrs"], "write NAME=DIR"),
        (["--images=a=/no/such/folder", "--datasets=msrs"], "no such folder"),
        ([], "say what to run"),
    ],
)
def test_wrong_requests_are_one_line(tree: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = fusionbench("eval", *arguments, "--data-root", tree, "--out", tmp_path / "r")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len([x for x in done.stderr.splitlines() if x.lower().startswith("error")]) == 1


def test_no_data_at_all(tmp_path: Path) -> None:
    done = fusionbench("eval", "--all", "--data-root", tmp_path, "--out", tmp_path / "r")
    assert done.returncode == 2
    assert "fusionbench data synth" in done.stderr


def test_dry_run_writes_nothing(tree: Path, tmp_path: Path) -> None:
    done = run(tree, tmp_path / "r", "--dry-run")
    assert "msrs test: 4 pairs of 361, partial" in done.stdout
    assert not (tmp_path / "r").exists()


def test_json_is_json(tree: Path, tmp_path: Path) -> None:
    done = run(tree, tmp_path / "r", "--json")
    facts = json.loads(done.stdout)
    assert facts["fused"] == 8
    assert facts["tables"][0]["rows"][0]["id"] == "visible"


def test_a_folder_of_any_other_program(tree: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(tree / "MSRS/test/vi", theirs)
    done = run(tree, tmp_path / "r", "--images", f"Theirs={theirs}", "--json", methods="--methods=visible")
    rows = {r["id"]: r for r in json.loads(done.stdout)["tables"][0]["rows"]}
    assert rows["images[Theirs]"]["scores"]["en@bits"]["mean"] == rows["visible"]["scores"]["en@bits"]["mean"]
    assert (json.loads(done.stdout)["fused"], json.loads(done.stdout)["read"]) == (4, 4)
    again = run(tree, tmp_path / "r2", "--images", f"Theirs={theirs}", methods="--methods=visible")
    assert "4 images fused, 4 pictures read, 0 kept" in again.stderr
    (theirs / sorted(os.listdir(theirs))[0]).unlink()
    done = run(tree, tmp_path / "r", "--images", f"Theirs={theirs}", methods="--methods=visible")
    assert done.returncode == 1
    assert "images[Theirs]" in done.stderr


def test_two_colour_rules_do_not_mix(tree: Path, tmp_path: Path) -> None:
    done = fusionbench(
        "eval", METHODS, "--profile=vifb", "--datasets=msrs", "--data-root", tree, "--out", tmp_path / "r", "--json"
    )
    rules = {m["id"].partition("/")[2] for m in json.loads(done.stdout)["tables"][0]["metrics"]}
    assert rules == {"per-channel", "joined"}


def test_common_ids_only(tree: Path, tmp_path: Path) -> None:
    """Rows over different image sets are never ranked together."""
    run(tree, tmp_path / "r", "--limit", 2, methods="--methods=average")
    run(tree, tmp_path / "r", methods="--methods=visible,maximum")
    text = fusionbench("leaderboard", "--out", tmp_path / "r").stdout
    assert "2 of 361 pairs" in text
    assert "Only images that every row has are scored; fewer than 4 have: average 2." in text


def test_output_rules_are_different_rows(tree: Path, tmp_path: Path) -> None:
    done = run(tree, tmp_path / "r", "--output-rule=clip-round")
    assert done.returncode == 0
    assert "msrs-fusion@v1+output=clip-round" in done.stdout
    run(tree, tmp_path / "r", methods="--methods=maximum")
    with Store(tmp_path / "r") as store:
        assert [e.id for e in store.entries("clip-round").values()] == ["average", "visible"]
        assert [e.id for e in store.entries("released").values()] == ["maximum"]
    text = fusionbench("leaderboard", "--out", tmp_path / "r").stdout
    assert text.count("Protocol msrs-fusion@v1+output=clip-round:") == 1
    assert text.count("Protocol msrs-fusion@v1:") == 1
    assert text.count("| maximum |") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a full disk needs root")
def test_a_full_disk_loses_nothing(tree: Path, tmp_path: Path) -> None:
    import subprocess

    make_tree(tmp_path / "big", 4, (240, 320))
    mount = tmp_path / "full"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", mount], capture_output=True).returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        words = ("eval", "--methods=average,visible,maximum", METRICS, "--datasets=msrs")
        words += ("--data-root", tmp_path / "big", "--out", mount / "r")
        done = process(*words)  # one that holds no file open afterwards
        assert done.returncode == 2
        assert "the disk is full" in done.stderr
        assert done.stderr.count("error:") == 1
        subprocess.run(["mount", "-o", "remount,size=50M", mount], check=True)
        done = process(*words)
        assert done.returncode == 0, done.stderr
    finally:
        subprocess.run(["umount", mount], check=True)


def test_an_output_folder_that_cannot_be_written(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(tree, tmp_path / "file" / "r")
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr


# --- found by review: each of these once gave a wrong number or a lost result --------------------------------------


def metric_plugin(folder: Path, options: str = "{}", version: str = "1", code: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.toml").write_text(
        f'kind = "metric"\nname = "mine"\ntitle = "Mine"\nsummary = "s"\nobject = "mine"\nversion = "{version}"\n'
        'direction = "up"\nrange = [0.0, inf]\ndefault = "a"\n'
        f'[variants.a]\nformula = "f"\noptions = {options}\n'
    )
    (folder / "mine.py").write_text(
        code or "def mine(fused, ir, vis, k=1.0):\n    return fused.x.double().mean((1, 2)) * k\n"
    )


def mine(tree: Path, out: Path, plugins: Path) -> float:
    done = process(  # cards and code are read once in a process
        *("--plugins", plugins, "eval", "--methods=average", "--metrics=mine", "--datasets=msrs", "--data-root", tree),
        *("--out", out, "--json"),
    )
    return json.loads(done.stdout)["tables"][0]["rows"][0]["scores"]["mine@a"]["mean"]


def test_a_variants_options_and_version_are_part_of_the_key(tree: Path, tmp_path: Path) -> None:
    metric_plugin(tmp_path / "p")
    first = mine(tree, tmp_path / "r", tmp_path / "p")
    metric_plugin(tmp_path / "p", "{k = 100.0}", "2")
    assert mine(tree, tmp_path / "r", tmp_path / "p") == pytest.approx(100 * first)


def test_one_broken_metric_leaves_the_others(tree: Path, tmp_path: Path) -> None:
    metric_plugin(tmp_path / "p", code="def mine(fused, ir, vis):\n    raise RuntimeError('boo')\n")
    done = fusionbench(
        *("--plugins", tmp_path / "p", "eval", "--methods=average", "--metrics=en,mine", "--datasets=msrs"),
        *("--data-root", tree, "--out", tmp_path / "r"),
    )
    assert done.returncode == 1
    assert "| Method | EN@bits ↑ | Average rank ↓ |" in done.stdout
    assert "error: mine@a: left out, it failed: RuntimeError: boo" in done.stderr


def test_a_method_that_wants_a_missing_file_leaves_the_others(tree: Path, tmp_path: Path) -> None:
    from tests.harness.test_cards import plugin

    for number, error in enumerate(("OSError('no table.bin')", "SystemExit(3)")):
        body = "from fusionbench.plugins.method import Method\n\n\nclass Mine(Method):\n"
        body += f"    def fuse(self, *a):\n        raise {error}\n"
        plugin(tmp_path / f"p{number}", code=body)
        done = run(
            tree, tmp_path / "r", methods="--methods=average,mine", FUSIONBENCH_PLUGINS=str(tmp_path / f"p{number}")
        )
        assert done.returncode == 1
        assert "| average |" in done.stdout
        assert "No row for mine: 4 images failed" in done.stdout


def test_images_that_are_gone_leave_the_table(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "r")
    for role in ("ir", "vi"):
        sorted((tree / "MSRS/test" / role).iterdir())[0].unlink()
    run(tree, tmp_path / "r")
    assert "3 of 361 pairs" in fusionbench("leaderboard", "--out", tmp_path / "r").stdout


def test_undefined_values_are_left_out_for_every_row(tree: Path, tmp_path: Path) -> None:
    """K copies the infrared image twice, where SCD has no value; on the others K and L are the same pictures."""
    names = sorted(p.name for p in (tree / "MSRS/test/ir").iterdir())
    for who in "KL":
        (tmp_path / who).mkdir()
        for name in names:
            ir, vis = (Image.open(tree / "MSRS/test" / role / name).convert("L") for role in ("ir", "vi"))
            mixed = Image.blend(ir, vis, 0.3)
            (ir if who == "K" and name in names[:2] else mixed).save(tmp_path / who / name)
    done = fusionbench(
        *("eval", f"--images=K={tmp_path / 'K'}", f"--images=L={tmp_path / 'L'}", "--metrics=scd", "--datasets=msrs"),
        *("--data-root", tree, "--out", tmp_path / "r", "--json"),
    )
    table = json.loads(done.stdout)["tables"][0]
    cells = [r["scores"]["scd@sum"] for r in table["rows"]]
    assert cells[0] == cells[1]
    assert cells[0]["n"] == 2
    assert cells[0]["rank"] == 1.5
    assert any("2 of 4 images are left out for all ranked rows" in note for note in table["notes"])


def test_equal_requests_count_once(tree: Path, tmp_path: Path) -> None:
    done = fusionbench(
        *("eval", "--methods=gff,gff[r1=45]", "--metrics=en,en", "--datasets=msrs,msrs", "--data-root", tree),
        *("--out", tmp_path / "r", "--json"),
    )
    (table,) = json.loads(done.stdout)["tables"]
    assert len(table["rows"]) == len(table["metrics"]) == 1
    done = fusionbench(
        *("eval", f"--images=A={tree}", f"--images=A={tmp_path}", "--datasets=msrs", "--data-root", tree),
        *("--out", tmp_path / "r"),
    )
    assert "two entries would have this id" in done.stderr


def test_a_flat_data_root_is_no_tno(tree: Path, tmp_path: Path) -> None:
    done = fusionbench(
        "eval", "--methods=average", "--metrics=en", "--data-root", tree / "MSRS/test", "--out", tmp_path / "r"
    )
    assert "Protocol folder-fusion@v1" in done.stdout
    assert done.stdout.count("Protocol") == 1


def test_a_narrower_run_keeps_the_whole_table(tree: Path, tmp_path: Path) -> None:
    fusionbench("eval", "--methods=average,visible", "--datasets=msrs", "--data-root", tree, "--out", tmp_path / "r")
    whole = tables(tmp_path / "r")
    run(tree, tmp_path / "r", methods="--methods=average")
    after = tables(tmp_path / "r")
    assert {n: after[n] for n in whole} == whole
    assert "msrs-fusion@v1.partial-4-of-361.selected.md" in after


def test_a_list_file_as_split(tree: Path, tmp_path: Path) -> None:
    names = sorted(p.stem for p in (tree / "MSRS/test/ir").iterdir())[:2]
    (tmp_path / "mine.txt").write_text("\n".join(names) + "\n")
    done = run(tree, tmp_path / "r", "--split", tmp_path / "mine.txt")
    assert done.returncode == 0, done.stderr
    assert re.search(r"Protocol msrs-fusion@v1\+split=mine-[0-9a-f]{8}:", done.stdout)
    assert str(tmp_path) not in done.stdout
