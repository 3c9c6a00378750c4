"""A result is reproduced when everything that it claims was checked; nothing in its file chooses what is run."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionbench.errors import FusionbenchError
from fusionbench.report import published
from fusionbench.report.claims import MOST
from fusionbench.report.gaps import gap
from fusionbench.report.places import Places
from fusionbench.report.reproduce import Reproduction, Rerun, reproduce
from tests.conftest import fusionbench, make_tree

Files = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root, a result over it with a method, a source and pictures of another program, and those pictures."""
    root = tmp_path_factory.mktemp("made")
    make_tree(root / "data", 3)
    (root / "mine").mkdir()
    for number, path in enumerate(sorted((root / "data/MSRS/test/ir").iterdir())):
        levels = np.random.default_rng(number).integers(0, 256, (48, 64), dtype=np.uint8)
        Image.fromarray(levels).save(root / "mine" / path.name)
    done = fusionbench(
        *("eval", "--methods=average,visible,laplacian[levels=3]", f"--images=Ours={root / 'mine'}", "--metrics=en,sf"),
        *("--datasets=msrs", "--data-root", root / "data", "--out", root / "r"),
    )
    assert done.returncode == 0, done.stderr
    return root


def files(root: Path) -> Files:
    """The result's two files, as `table` and `facts`."""
    facts = next((root / "r/tables").glob("*.provenance.json"))
    table = facts.with_name(facts.name.replace(".provenance", ""))
    return {"table": json.loads(table.read_text()), "facts": json.loads(facts.read_text())}


def write(folder: Path, content: Files) -> Path:
    (folder / "t.json").write_text(json.dumps(content["table"]))
    (folder / "t.provenance.json").write_text(json.dumps(content["facts"]))
    return folder / "t.json"


def rerun(root: Path, result: Path, out: Path, images: bool = True) -> Reproduction:
    given = (f"Ours={root / 'mine'}",) if images else ()
    return reproduce(result, out, Rerun(places=Places(data_root=root / "data", images=given), jobs=1))


def test_all_that_is_claimed_is_checked(made: Path, tmp_path: Path) -> None:
    again = rerun(made, write(tmp_path, files(made)), tmp_path / "r")
    assert again.differences == []
    assert again.notes == []
    assert (again.same, again.cells) == (True, 8)


def noted(again: Reproduction) -> list[str]:
    return [line for line in again.notes if "below the table" in line]


def test_notes_about_what_a_rerun_does_not_have_are_no_difference(made: Path, tmp_path: Path) -> None:
    """An entry that is in the store and not in the table, who signed a row, why a value is undefined as a card says."""
    words = ("--metrics=en,scd", "--datasets=msrs", "--data-root", made / "data", "--out", tmp_path / "r")
    assert fusionbench("eval", "--methods=maximum", *words[1:], "--metrics=en").returncode == 0
    assert fusionbench("eval", "--methods=average,visible", *words, "--who=Ada").returncode == 0
    path = tmp_path / "sel.json"
    assert fusionbench("leaderboard", "--out", tmp_path / "r", "-o", path).returncode == 0
    content = json.loads(path.read_text())
    starts = (
        "No row for maximum: not scored",
        "SCD@sum of visible is undefined on every image: ",
        "average, visible: by",
    )
    assert all(any(note.startswith(start) for note in content["notes"]) for start in starts), content["notes"]
    places = Rerun(places=Places(data_root=made / "data"), jobs=1)
    assert noted(reproduce(path, tmp_path / "a", places)) == []
    content["notes"] = [note.replace("is constant there", "is flat there") for note in content["notes"]]
    path.write_text(json.dumps(content))
    assert noted(reproduce(path, tmp_path / "b", places)) == []
    content["notes"] = [note.replace("SCD@sum of visible", "SCD@sum of nobody") for note in content["notes"]]
    path.write_text(json.dumps(content))
    assert noted(reproduce(path, tmp_path / "c", places)) == [
        "the note below the table is not so now: SCD@sum of nobody is undefined on every image.",
        "below the table would stand now: SCD@sum of visible is undefined on every image.",
    ]


def row(content: Files, name: str) -> dict[str, Any]:
    return next(r for r in content["table"]["rows"] if r["id"] == name)


def invented_row(content: Files) -> None:
    content["table"]["rows"].append({**copy.deepcopy(row(content, "average")), "id": "best"})


def invented_row_and_entry(content: Files) -> None:
    invented_row(content)
    entry = next(e for e in content["facts"]["entries"] if e["id"] == "average")
    content["facts"]["entries"].append({**entry, "id": "best"})


def invented_method(content: Files) -> None:
    invented_row(content)
    entry = next(e for e in content["facts"]["entries"] if e["id"] == "average")
    content["facts"]["entries"].append({**entry, "id": "best", "method": "best"})


def doubled_row(content: Files) -> None:
    content["table"]["rows"].append(copy.deepcopy(row(content, "average")))


def invented_column(content: Files) -> None:
    for r in content["table"]["rows"]:
        r["scores"]["vif@tdfusion"] = {"mean": 2.0, "n": 3, "rank": None}
    content["table"]["metrics"].append({"id": "vif@tdfusion", "title": "VIF@tdfusion", "direction": "up"})


def value_without_column(content: Files) -> None:
    row(content, "average")["scores"]["vif@tdfusion"] = {"mean": 2.0, "n": 3, "rank": None}


def missing_value(content: Files) -> None:
    del row(content, "average")["scores"]["en@bits"]


def undefined_value(content: Files) -> None:
    row(content, "average")["scores"]["en@bits"]["mean"] = None


def other_count(content: Files) -> None:
    row(content, "average")["scores"]["en@bits"]["n"] = 300


def other_rank(content: Files) -> None:
    cell = row(content, "average")["scores"]["en@bits"]
    cell["rank"] = 1.0 if cell["rank"] != 1.0 else 2.0


def other_average_rank(content: Files) -> None:
    row(content, "average")["average_rank"] = 1.25


def invented_interval(content: Files) -> None:
    row(content, "average")["scores"]["en@bits"]["ci95"] = [0.0, 9.0]


def other_digit(content: Files) -> None:
    row(content, "laplacian[levels=3]")["scores"]["sf@mean"]["mean"] += 0.1


def other_direction(content: Files) -> None:
    content["table"]["metrics"][0]["direction"] = "down"


def more_images(content: Files) -> None:
    content["table"]["images"] = 361


def more_expected(content: Files) -> None:
    content["table"]["expected"] = 3
    content["facts"]["board"]["expected"] = 3


def other_caption(content: Files) -> None:
    content["table"]["caption"] = content["table"]["caption"].replace("3 of 361 pairs, partial", "361 of 361 pairs")


def unranked(content: Files) -> None:
    row(content, "average")["source_only"] = True


def other_options(content: Files) -> None:
    next(e for e in content["facts"]["entries"] if e["method"] == "laplacian")["options"]["levels"] = 4


def other_output(content: Files) -> None:
    next(e for e in content["facts"]["entries"] if e["id"] == "average")["output"] = {"stretch": "luma"}


def fewer_pairs(content: Files) -> None:
    content["facts"]["pairs"].popitem()


def invented_pair(content: Files) -> None:
    content["facts"]["pairs"]["invented"] = "0" * 64
    content["facts"]["images"] = content["table"]["images"] = 4


def other_bytes(content: Files) -> None:
    pairs = content["facts"]["pairs"]
    pairs[next(iter(pairs))] = "0" * 64


def task_column(content: Files) -> None:
    content["table"]["tasks"] = [{"id": "t/n/frozen/full/f", "title": "F", "note": ""}]
    for r in content["table"]["rows"]:
        r["tasks"] = {"t/n/frozen/full/f": [0.99]}


def task_value(content: Files) -> None:
    row(content, "average")["tasks"] = {"t/n/frozen/full/f": [0.99]}


def task_results(content: Files) -> None:
    content["facts"]["tasks"] = {"average": [{"task": "segmentation"}]}


LIES = [
    (invented_row, "best: among the rows of the table, not in its provenance"),
    (invented_row_and_entry, "best: not checked: its method and options give another entry"),
    (invented_method, "best: not checked: no method best here"),
    (doubled_row, "average: twice among the rows"),
    (invented_column, "vif@tdfusion: among the columns of the table, not in its provenance"),
    (value_without_column, "average, vif@tdfusion: a value without a column"),
    (missing_value, "average: no value under en@bits"),
    (undefined_value, ""),
    (other_count, "average, en@bits: images 300, computed 3"),
    (other_rank, "average, en@bits: rank"),
    (other_average_rank, "average: average rank 1.25"),
    (invented_interval, "average, en@bits: interval"),
    (other_digit, ""),
    (other_direction, "the table's metrics are others now"),
    (more_images, "the table's images: 361, but 3 pairs are listed"),
    (more_expected, "the table's expected: 3, now 361"),
    (other_caption, "the caption reads otherwise"),
    (unranked, "average: ranked or not is another in the provenance"),
    (other_options, "laplacian[levels=3]: not checked"),
    (other_output, "average: its output is"),
    (fewer_pairs, "the table's images: 3, but 2 pairs are listed"),
    (invented_pair, "1 source pairs are not here, e.g. invented"),
    (other_bytes, "1 source pairs have other bytes"),
    (task_column, "task column t/n/frozen/full/f: not checked"),
    (task_value, "average, t/n/frozen/full/f: a task's value without a column"),
    (task_results, "task results in the provenance: not checked"),
]


@pytest.mark.parametrize(("lie", "words"), LIES, ids=lambda p: getattr(p, "__name__", ""))
def test_a_false_claim_is_a_difference(made: Path, tmp_path: Path, lie: Callable[[Files], None], words: str) -> None:
    content = files(made)
    lie(content)
    again = rerun(made, write(tmp_path, content), tmp_path / "r")
    assert again.differences or not again.agrees
    assert any(words in line for line in again.differences) or not words, again.differences
    assert again.state == "differs"
    if not words:
        assert not again.agrees


def test_a_last_bit_is_listed(made: Path, tmp_path: Path) -> None:
    """Another processor may sum in another order: what is printed is what counts."""
    content = files(made)
    cell = row(content, "laplacian[levels=3]")["scores"]["sf@mean"]
    cell["mean"] = math.nextafter(cell["mean"], 0)
    write(tmp_path, content)
    images = f"--images=Ours={made / 'mine'}"
    done = fusionbench("reproduce", tmp_path / "t.json", images, "--data-root", made / "data")
    assert done.returncode == 0, done.stdout
    assert "sf@mean: largest difference of a mean " in done.stdout
    assert "8 means compared: the same in print" in done.stdout
    assert rerun(made, tmp_path / "t.json", tmp_path / "r").worst["sf@mean"] > 0


def no_pairs(content: Files) -> None:
    content["facts"]["pairs"] = {}


def no_entries(content: Files) -> None:
    content["facts"]["entries"] = []


def nothing(content: Files) -> None:
    content["facts"]["entries"] = content["table"]["rows"] = []


def only_ours(content: Files) -> None:
    content["facts"]["entries"] = [e for e in content["facts"]["entries"] if e["method"] == "images"]
    content["table"]["rows"] = [r for r in content["table"]["rows"] if r["id"] == "images[Ours]"]


def a_path_as_dataset(content: Files) -> None:
    content["facts"]["board"]["dataset"] = "msrs=/etc"


def an_unknown_dataset(content: Files) -> None:
    content["facts"]["board"]["dataset"] = "folder-etc"


def test_what_is_not_here_does_not_differ(made: Path, tmp_path: Path) -> None:
    content = files(made)
    only_ours(content)
    write(tmp_path, content)
    done = fusionbench("reproduce", tmp_path / "t.json", "--data-root", made / "data")
    assert done.returncode == 1
    assert "not here: images[" in done.stdout
    assert done.stdout.count("not checked") == 1
    assert "differs" not in done.stdout
    assert "nothing could be compared: what it needs is not here" in done.stdout


@pytest.mark.parametrize("lie", [no_pairs, no_entries, nothing, only_ours, a_path_as_dataset, an_unknown_dataset])
def test_where_nothing_can_be_verified_nothing_is_run(made: Path, tmp_path: Path, lie: Callable[[Files], None]) -> None:
    content = files(made)
    lie(content)
    again = rerun(made, write(tmp_path, content), tmp_path / "r", images=False)
    assert again.differences
    assert (again.cells, again.same) == (0, False)
    assert not (tmp_path / "r").exists()
    done = fusionbench("reproduce", tmp_path / "t.json", "--data-root", made / "data")
    assert done.returncode == 1
    assert "nothing could be compared" in done.stdout


@pytest.mark.parametrize(
    "options",
    [
        {"levels": 10**9},
        {"levels": "3,visible"},
        {"levels": True},
        {"levels": 3, "dir": "/etc"},
        {"levels": 3.5},
        {"unknown": 1},
    ],
)
def test_options_of_a_file_are_bounded(made: Path, tmp_path: Path, options: dict[str, object]) -> None:
    content = files(made)
    next(e for e in content["facts"]["entries"] if e["method"] == "laplacian")["options"] = options
    again = rerun(made, write(tmp_path, content), tmp_path / "r")
    assert any(line.startswith("laplacian[levels=3]: not checked: ") for line in again.differences)
    assert {p.name.partition("-")[0] for p in (tmp_path / "r/fused").iterdir()} == {
        "average",
        "visible",
        "images_Ours",
    }


@pytest.mark.parametrize("split", ["/etc/passwd", "../x.txt", "nowhere", ""])
def test_a_split_of_a_file_is_no_path(made: Path, tmp_path: Path, split: str) -> None:
    content = files(made)
    content["facts"]["board"]["split"] = content["table"]["split"] = split
    done = fusionbench("reproduce", write(tmp_path, content), "--data-root", made / "data")
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "root:" not in done.stderr + done.stdout


def test_a_name_of_a_file_is_no_verdict(made: Path, tmp_path: Path) -> None:
    """What a row of somebody's file is called stays in its line."""
    content = files(made)
    name = "nobody\n24 means compared: all the same"
    for rows in (content["table"]["rows"], content["facts"]["entries"]):
        rows[0]["id"] = name
    done = fusionbench("reproduce", write(tmp_path, content), "--data-root", made / "data")
    assert done.returncode == 1
    lines = (done.stdout + done.stderr).splitlines()
    assert any("nobody\\n24 means" in line for line in lines), done
    assert not any(line.startswith("24 means compared: all") for line in lines)


def test_bounds(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = files(made)
    content["facts"]["pairs"] = {str(n): "0" for n in range(MOST["pairs"] + 1)}
    with pytest.raises(FusionbenchError, match="not more than 100000 are rerun"):
        rerun(made, write(tmp_path, content), tmp_path / "r")
    monkeypatch.setattr(published, "LARGEST", 1000)
    with pytest.raises(FusionbenchError, match="larger than"):
        rerun(made, write(tmp_path, files(made)), tmp_path / "r")


def test_pictures_that_are_not_named_are_not_verified(made: Path, tmp_path: Path) -> None:
    again = rerun(made, write(tmp_path, files(made)), tmp_path / "r", images=False)
    assert "images[Ours]: the row was not checked" in again.differences
    assert again.cells == 6
    with pytest.raises(FusionbenchError, match="the table has no such pictures"):
        reproduce(tmp_path / "t.json", tmp_path / "r", Rerun(places=Places(images=(f"Theirs={tmp_path}",))))


@pytest.mark.parametrize("below", ["Ours/MSRS", "Ours/msrs", "Ours"])
def test_pictures_are_found_below_a_folder(made: Path, tmp_path: Path, below: str) -> None:
    shutil.copytree(made / "mine", tmp_path / "programs" / below)
    result = write(tmp_path, files(made))
    done = fusionbench("reproduce", result, "--data-root", made / "data", "--images-root", tmp_path / "programs")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_name_of_a_file_is_no_path_of_pictures(made: Path, tmp_path: Path) -> None:
    (tmp_path / "programs/Ours").mkdir(parents=True)
    content = files(made)
    next(e for e in content["facts"]["entries"] if e["method"] == "images")["options"]["name"] = str(made / "mine")
    places = Places(data_root=made / "data", images_root=tmp_path / "programs")
    again = reproduce(write(tmp_path, content), tmp_path / "r", Rerun(places=places, jobs=1))
    assert "images[Ours]: the row was not checked" in again.differences
    for name in ("../mine", "programs/../../mine", ".."):
        next(e for e in content["facts"]["entries"] if e["method"] == "images")["options"]["name"] = name
        again = reproduce(write(tmp_path, content), tmp_path / "r", Rerun(places=places, jobs=1))
        assert "images[Ours]: the row was not checked" in again.differences


def test_every_table_of_a_folder(made: Path, tmp_path: Path) -> None:
    """A table that is right, one that lies, one whose pictures and one whose data are not here."""

    def put(name: str, change: Callable[[Files], None] = lambda _: None) -> None:
        content = files(made)
        change(content)
        (tmp_path / "boards/tasks").mkdir(parents=True, exist_ok=True)
        write(tmp_path, content)
        for suffix in (".json", ".provenance.json"):
            (tmp_path / f"t{suffix}").rename(tmp_path / "boards" / f"{name}{suffix}")

    def check(*more: object) -> tuple[int, dict[str, str]]:
        done = fusionbench("leaderboard", "--check", tmp_path / "boards", "--format=json", *more)
        return done.returncode, {found["table"]: found["state"] for found in json.loads(done.stdout)}

    here = ("--data-root", made / "data", "--out", tmp_path / "kept")
    pictures = ("--images-root", tmp_path / "programs")
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs/Ours").symlink_to(made / "mine")
    put("right")
    put("tasks/right")
    assert check(*here, *pictures) == (0, {"right": "same", "tasks/right": "same"})
    assert len(list((tmp_path / "kept").iterdir())) == 1  # tables over the same data share their pictures
    assert check(*here) == (1, {"right": "not here", "tasks/right": "not here"})
    assert check(*here, "--available")[0] == 0
    assert check("--data-root", tmp_path, *pictures)[1] == {"right": "not here", "tasks/right": "not here"}
    put("wrong", other_digit)
    put("broken", lambda content: content["facts"].pop("board"))
    code, states = check(*here, *pictures, "--available")
    assert (code, states["wrong"], states["broken"], states["right"]) == (1, "differs", "differs", "same")
    done = fusionbench("leaderboard", "--check", tmp_path / "boards", *here, *pictures)
    assert done.returncode == 1
    assert "| right | 8 | 0 |" in done.stdout
    assert "2 same, 0 not here, 2 differs of 4 tables" in done.stderr
    assert "broken: " in done.stderr
    done = fusionbench("leaderboard", "--check", tmp_path / "programs")
    assert (done.returncode, "no table" in done.stderr) == (2, True)


def test_code_that_moved_without_a_digit_is_a_note(made: Path, tmp_path: Path) -> None:
    content = files(made)
    for facts in (*content["facts"]["entries"], *content["facts"]["metrics"].values()):
        facts["code"] = "0" * 64
    images = f"--images=Ours={made / 'mine'}"
    done = fusionbench("reproduce", write(tmp_path, content), images, "--data-root", made / "data")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("note: ") == 6
    assert "code has changed since" in done.stdout
    other_digit(content)
    again = rerun(made, write(tmp_path, content), tmp_path / "r")
    assert len([line for line in again.differences if "code has changed" in line]) == 6


def test_a_folder_of_one_s_own(made: Path, tmp_path: Path) -> None:
    for role, folder in (("ir", "ir"), ("vis", "vi")):
        shutil.copytree(made / "data/MSRS/test" / folder, tmp_path / "sets/street view" / role)
    own = tmp_path / "sets/street view"
    for limit in ((), ("--limit=2",)):
        out = tmp_path / f"r{len(limit)}"
        done = fusionbench(
            *("eval", "--methods=average", "--metrics=en", "--datasets", f"folder={own}", "--out", out, *limit)
        )
        assert done.returncode == 0, done.stderr
        result = next((out / "tables").glob("*.provenance.json"))
        for where in (("--data-root", own), ("--data-root", own.parent), ("--datasets", f"folder={own}")):
            done = fusionbench("reproduce", result, *where)
            assert done.returncode == 0, done.stdout + done.stderr
        done = fusionbench("reproduce", result, "--data-root", tmp_path)
        assert done.returncode == 1
        assert "name its folder with --datasets folder=DIR" in done.stdout


def test_a_list_of_one_s_own(made: Path, tmp_path: Path) -> None:
    names = sorted(p.stem for p in (made / "data/MSRS/test/ir").iterdir())[:2]
    (tmp_path / "mine.txt").write_text("\n".join(names) + "\n")
    data = ("--data-root", made / "data")
    fusionbench(
        *("eval", "--methods=average", "--metrics=en", "--datasets=msrs", "--split", tmp_path / "mine.txt", *data),
        *("--out", tmp_path / "r"),
    )
    result = next((tmp_path / "r/tables").glob("*.provenance.json"))
    done = fusionbench("reproduce", result, "--split", tmp_path / "mine.txt", *data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert fusionbench("reproduce", result, *data).returncode == 2


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1.0, 1.0, 0.0),
        (None, None, 0.0),
        (None, 1.0, math.inf),
        (1.0, None, math.inf),
        (math.nan, 1.0, math.inf),
        (1.0, math.nan, math.inf),
        (math.inf, 1.0, math.inf),
        (math.inf, math.inf, 0.0),
        (1.0, 1.5, 0.5),
    ],
)
def test_a_number_and_none_differ(a: float | None, b: float | None, expected: float) -> None:
    assert gap(a, b) == expected


def test_what_says_how_files_are_read_is_said_again(tmp_path: Path) -> None:
    """Infrared of 16 bits and names that say their role."""
    root = tmp_path / "harbour"
    root.mkdir()
    for number in range(3):
        draw = np.random.default_rng(number)
        Image.fromarray(draw.integers(7000, 9000, (40, 48), dtype=np.uint16)).save(root / f"{number}_ir.png")
        Image.fromarray(draw.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(root / f"{number}_vis.png")
    how = ("--ir-range=7000,9000", "--pattern=ir={id}_ir,vis={id}_vis")
    done = fusionbench(
        *("eval", "--methods=average,infrared", "--metrics=en", f"--datasets=folder={root}", *how),
        *("--out", tmp_path / "r"),
    )
    assert done.returncode == 0, done.stderr
    table = next(p for p in (tmp_path / "r/tables").glob("*.json") if "provenance" not in p.name)
    again = ("reproduce", table, f"--datasets=folder={root}")
    for said in ((), how[:1], how[1:]):
        done = fusionbench(*again, *said)
        assert done.returncode != 0
        assert ("--ir-range" if said == how[1:] else "--pattern") in done.stderr
    done = fusionbench(*again, "--ir-range=7000,9500", how[1])
    assert done.returncode == 1
    done = fusionbench(*again, *how)
    assert done.returncode == 0, done.stdout + done.stderr


def test_some_rows_alone(made: Path, tmp_path: Path) -> None:
    """What another row claims is not looked at, nor ranks, which take all; what these rows claim is."""
    content = files(made)
    other_digit(content)
    other_rank(content)
    result = write(tmp_path, content)
    asked = Rerun(places=Places(data_root=made / "data"), jobs=1, methods=("average",))
    again = reproduce(result, tmp_path / "one", asked)
    assert (again.state, again.same, again.cells, again.rows, again.of) == ("same", True, 2, 1, 4), again
    asked = Rerun(places=Places(data_root=made / "data"), jobs=1, methods=("laplacian",))
    again = reproduce(result, tmp_path / "other", asked)
    assert (again.state, again.rows) == ("differs", 1)
    with pytest.raises(FusionbenchError, match=r"--methods gff: .*no entry 'gff'"):
        reproduce(result, tmp_path / "none", Rerun(places=Places(data_root=made / "data"), methods=("gff",)))


def test_some_rows_by_the_command(made: Path, tmp_path: Path) -> None:
    result = write(tmp_path, files(made))
    done = fusionbench("reproduce", result, "--methods=average,visible", "--data-root", made / "data")
    assert done.returncode == 0, done.stderr
    assert "4 means compared: all the same\n2 of 4 rows run again; ranks, which take all, were not" in done.stdout
    done = fusionbench("reproduce", result, "--methods=average", "--json", "--data-root", made / "data")
    plain = json.loads(done.stdout)
    assert (plain["state"], plain["rows"], plain["of"]) == ("same", 1, 4)
