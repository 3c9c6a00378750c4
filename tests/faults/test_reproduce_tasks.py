"""Published results of task networks: verified by hashes, by networks at hand, by training again; trees drawn anew."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusionbench.data.synth import synth
from fusionbench.report.places import Places
from fusionbench.report.reproduce import Reproduction, Rerun, reproduce
from fusionbench.report.task_rerun import Networks
from tests.conftest import fusionbench

OPTIONS = ("limit=6", "train.epochs=1", "resize=[32,48]")
RECIPE = "+".join(("tiny", *OPTIONS))
COLUMN = f"saliency/ctdnet-tiny/retrained/{RECIPE}/f@mean"

Files = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of task networks over a generated tree, which is nobody's afterwards."""
    root = tmp_path_factory.mktemp("made")
    synth("vt5000", root / "tree", 6, 3, (48, 64), seed=5)
    done = fusionbench(
        *("eval", "--methods=visible,average", "--metrics=en", "--tasks=saliency", "--task-networks=ctdnet-tiny"),
        *("--task-size=tiny", f"--task-options={','.join(OPTIONS)}", "--seeds=2", "--jobs=1"),
        *("--datasets", f"vt5000={root / 'tree'}", "--out", root / "r"),
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def kept(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a rerun, so that its tree is drawn and its pictures are fused once."""
    return tmp_path_factory.mktemp("kept")


def files(root: Path) -> Files:
    facts = next((root / "r/tables").glob("*.provenance.json"))
    table = facts.with_name(facts.name.replace(".provenance", ""))
    return {"table": json.loads(table.read_text()), "facts": json.loads(facts.read_text())}


def write(folder: Path, content: Files) -> Path:
    (folder / "t.json").write_text(json.dumps(content["table"]))
    (folder / "t.provenance.json").write_text(json.dumps(content["facts"]))
    return folder / "t.json"


def rerun(result: Path, out: Path, **networks: Any) -> Reproduction:
    asked = Networks(**{"options": OPTIONS, **networks})
    return reproduce(result, out, Rerun(places=Places(data_root=result.parent), networks=asked, jobs=1))


def test_without_networks_scores_are_recorded_only(made: Path, kept: Path, tmp_path: Path) -> None:
    again = rerun(write(tmp_path, files(made)), kept)
    assert again.differences == []
    assert again.notes == []
    assert (again.state, again.cells, again.task_results) == ("same", 2, 0)
    assert [line.partition(":")[0] for line in again.recorded] == [
        f"saliency/ctdnet-tiny/{protocol}/{RECIPE}" for protocol in ("frozen", "retrained")
    ]
    (tree,) = (kept / "trees").iterdir()
    names = sorted(p.relative_to(tree) for p in tree.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(made / "tree") for p in (made / "tree").rglob("*") if p.is_file())
    assert all((tree / n).read_bytes() == (made / "tree" / n).read_bytes() for n in names)


def test_networks_at_hand_score_again(made: Path, kept: Path, tmp_path: Path) -> None:
    again = rerun(write(tmp_path, files(made)), kept, folders=(made / "r",))
    assert again.differences == again.recorded == []
    assert (again.state, again.task_results) == ("same", 2 * 2 * 2)
    assert set(again.worst.values()) == {0.0}


@pytest.mark.slow
def test_networks_are_trained_again(made: Path, kept: Path, tmp_path: Path) -> None:
    done = fusionbench(
        *("reproduce", write(tmp_path, files(made)), "--data-root", tmp_path, "--out", kept, "--retrain", "--json"),
        *("--task-options", ",".join(OPTIONS), "--jobs=1"),
    )
    found = json.loads(done.stdout)
    assert found["differences"] == found["recorded"] == []
    assert (done.returncode, found["state"], found["task_results"]) == (0, "same", 8)


def result_of(content: Files, entry: str = "average", protocol: str = "retrained") -> dict[str, Any]:
    found: dict[str, Any] = next(r for r in content["facts"]["tasks"][entry] if r["protocol"] == protocol)
    return found


def everywhere(content: Files, old: str, new: str) -> None:
    text = json.dumps(content).replace(old, new)
    content.update(json.loads(text))


def value_in_the_table(content: Files) -> None:
    next(r for r in content["table"]["rows"] if r["id"] == "average")["tasks"][COLUMN][0] = 0.99


def value_in_the_results(content: Files) -> None:
    result_of(content)["scores"]["all"]["f@mean"] = 0.99


def one_run_fewer(content: Files) -> None:
    content["facts"]["tasks"]["average"].remove(result_of(content))


def doubled_run(content: Files) -> None:
    content["facts"]["tasks"]["average"].append(copy.deepcopy(result_of(content)))


def other_seeds(content: Files) -> None:
    head = next(h for h in content["table"]["tasks"] if h["id"] == COLUMN)
    head["note"] = head["note"].replace("2 seeds", "5 seeds")


def turned(content: Files) -> None:
    content["table"]["tasks"][0]["direction"] = "down"


def hidden_column(content: Files) -> None:
    content["table"]["tasks"].pop()
    for row in content["table"]["rows"]:
        del row["tasks"][COLUMN]


def an_entry_of_no_row(content: Files) -> None:
    content["facts"]["tasks"]["best"] = content["facts"]["tasks"]["average"]


def other_pictures(content: Files) -> None:
    result_of(content)["pictures"] = "0" * 64


def other_count(content: Files) -> None:
    everywhere(content, "tested on 3 pairs", "tested on 300 pairs")
    for result in (result for results in content["facts"]["tasks"].values() for result in results):
        result["images"] = 300


def other_settings(content: Files) -> None:
    result_of(content)["settings"] = "0" * 64


def other_training(content: Files) -> None:
    result_of(content, protocol="frozen")["trained_on"] = "average pictures of scenes-vt5000 train"


def other_classes(content: Files) -> None:
    everywhere(content, '"classes": ["salient"]', '"classes": ["cat"]')


def unknown_network(content: Files) -> None:
    everywhere(content, "ctdnet-tiny", "/etc/passwd")


def unknown_task(content: Files) -> None:
    everywhere(content, "saliency", "miracle")


def other_recipe(content: Files) -> None:
    everywhere(content, "train.epochs=1", "train.epochs=1000000000")


def malformed(content: Files) -> None:
    del result_of(content)["seed"]


def no_list(content: Files) -> None:
    content["facts"]["tasks"]["average"] = [7]


def empty_for_no_reason(content: Files) -> None:
    content["facts"].pop("tasks")
    content["table"]["tasks"] = [{"id": "saliency/-/-/-/-", "title": "mF@mean", "note": "mF@mean is empty: no labels"}]
    for row in content["table"]["rows"]:
        row["tasks"] = {"saliency/-/-/-/-": []}


LIES = [
    (value_in_the_table, "its results say"),
    (value_in_the_results, "its results say"),
    (one_run_fewer, "its results say"),
    (doubled_run, ": twice"),
    (other_seeds, "its head or note is not what its results say"),
    (turned, "its head or note is not what its results say"),
    (hidden_column, "in the provenance, not in the table"),
    (an_entry_of_no_row, "a result of no row of the table"),
    (other_pictures, "its hash of pictures and labels"),
    (other_count, "its images 300, here 3"),
    (other_settings, "its settings"),
    (other_training, "its head or note is not what its results say"),
    (other_classes, "its classes"),
    (unknown_network, "no such task or network here"),
    (unknown_task, "no such task or network here"),
    (other_recipe, "a file may not choose its settings"),
    (malformed, "task results in the provenance: not checked"),
    (no_list, "task results in the provenance: not checked"),
    (empty_for_no_reason, "empty, but its labels are here"),
]


@pytest.mark.parametrize(("lie", "words"), LIES, ids=lambda p: getattr(p, "__name__", ""))
def test_a_false_claim_of_tasks_is_a_difference(
    made: Path, kept: Path, tmp_path: Path, lie: Callable[[Files], None], words: str
) -> None:
    content = files(made)
    lie(content)
    again = rerun(write(tmp_path, content), kept)
    assert any(words in line for line in again.differences), again.differences
    assert again.state == "differs"


def test_an_invented_score_needs_a_network(made: Path, kept: Path, tmp_path: Path) -> None:
    """A score that is the same in both files is recorded only, and so it is said; a network tells."""
    content = files(made)
    value_in_the_table(content)
    value_in_the_results(content)
    result = write(tmp_path, content)
    assert len(rerun(result, kept).recorded) == 2
    again = rerun(result, kept, folders=(made / "r",))
    assert again.state == "differs"
    assert again.worst[COLUMN.removesuffix("/f@mean")] > 0.1


def test_networks_that_are_not_there(made: Path, kept: Path, tmp_path: Path) -> None:
    result = write(tmp_path, files(made))
    done = fusionbench("reproduce", result, "--data-root", tmp_path, "--networks", tmp_path / "none")
    assert done.returncode == 2
    assert "none" in done.stderr
    assert len(rerun(result, kept, folders=(tmp_path,)).recorded) == 2


def test_a_tree_of_another_seed_is_another(made: Path, tmp_path: Path) -> None:
    content = files(made)
    content["facts"]["board"]["origin"]["seed"] = 6
    again = rerun(write(tmp_path, content), tmp_path / "r")
    assert any("source pairs have other bytes" in line for line in again.differences)


@pytest.mark.parametrize(
    "change",
    [
        {"size": [100_000, 100_000]},
        {"size": [4096, 4096], "counts": {"train": 600, "test": 600}},
        {"counts": {"train": 0, "test": 10**12}},
        {"counts": {"train": -5, "test": 8}},
        {"counts": {"train": 0, "../../x": 3}},
        {"counts": {}},
        {"generator": "scenes", "like": "msrs"},
        {"seed": None},
        {"unfinished": True},
    ],
    ids=str,
)
def test_a_tree_is_drawn_within_bounds(made: Path, tmp_path: Path, change: dict[str, object]) -> None:
    content = files(made)
    content["facts"]["board"]["origin"] |= change
    again = rerun(write(tmp_path, content), tmp_path / "r")
    assert any("scenes-vt5000: not made again: " in line for line in again.differences), again.differences
    assert (again.state, again.cells) == ("differs", 0)
    assert not (tmp_path / "r").exists()


def test_a_generator_of_others_is_not_called(made: Path, tmp_path: Path) -> None:
    content = files(made)
    everywhere(content, "scenes", "/bin/sh")
    again = rerun(write(tmp_path, content), tmp_path / "r")
    assert any("no generator /bin/sh" in line for line in again.differences), again.differences
    assert not (tmp_path / "r").exists()
