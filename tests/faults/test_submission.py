"""`verify` and the results repository: what somebody hands in is taken only where everything is so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fusionbench.pixels.images import picture_digest, read_image, write_image
from fusionbench.results.merged_pictures import sample
from fusionbench.results.schema import FusedRow
from fusionbench.results.store import Store
from tests.conftest import Done, fusionbench, make_tree
from tests.faults.stores import change_scores
from tests.faults.test_merge import change, files


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    make_tree(root, 4)
    return root


@pytest.fixture(scope="module")
def handed_in(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows of one person, two pictures of each."""
    folder = tmp_path_factory.mktemp("handed in")
    words = ("--methods=average,maximum", "--metrics=en,vif", "--datasets=msrs", "--data-root", data, "--who=Ada")
    assert fusionbench("eval", *words, "--out", folder / "results").returncode == 0
    done = fusionbench("merge", folder / "results", "--pictures=2", "--out", folder / "ada")
    assert done.returncode == 0, done.stderr
    return folder / "ada"


@pytest.fixture
def submission(handed_in: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(handed_in, tmp_path / "ada"))


def verified(folder: Path, data: Path, *words: object) -> Done:
    return fusionbench("verify", folder, "--pictures=2", "--data-root", data, *words)


def rows(folder: Path) -> list[FusedRow]:
    with Store(folder, create=False) as store:
        return store.rows(FusedRow)


def shown(folder: Path) -> list[Path]:
    return sorted((folder / "fused").rglob("*.png"))


def test_good(submission: Path, data: Path) -> None:
    (submission / "README.md").write_text("Code: ...")
    done = verified(submission, data)
    assert done.returncode == 0, done.stdout
    assert done.stdout == ""
    assert "4 pictures as recorded, 8 scores computed again" in done.stderr
    assert "1 of 1 can be taken" in done.stderr


def test_a_sample_is_what_the_hashes_say(submission: Path) -> None:
    every = rows(submission)
    there = {row for row in every if (submission / row.path).is_file()}
    assert len(every) == 8
    assert there == sample(every, 2)
    for entry in {row.entry for row in every}:
        hashes = sorted(row.image for row in every if row.entry == entry)
        assert sorted(row.image for row in there if row.entry == entry) == hashes[:2]


def brighter(folder: Path) -> None:
    write_image(shown(folder)[0], np.minimum(read_image(shown(folder)[0]), 254) + 1)


def brighter_with_its_record(folder: Path) -> None:
    """The picture's hash is made to fit; so its scores are those of no picture."""
    path = shown(folder)[0]
    brighter(folder)
    new = picture_digest(read_image(path))
    change(folder, f"UPDATE fused SET image='{new}' WHERE path='{path.relative_to(folder)}'")


def brighter_with_scores(folder: Path) -> None:
    """And its old scores are handed on to the new picture."""
    path = shown(folder)[0]
    old = picture_digest(read_image(path))
    brighter_with_its_record(folder)
    new = picture_digest(read_image(path))
    change(folder, f"UPDATE scores SET image='{new}' WHERE image='{old}'")


def linked(folder: Path) -> None:
    path = shown(folder)[0]
    path.rename(folder.parent / "moved.png")
    path.symlink_to(folder.parent / "moved.png")


def foreign(name: str) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")

    return put


def without_a_picture(folder: Path) -> None:
    shown(folder)[0].unlink()


def without_pictures(folder: Path) -> None:
    shutil.rmtree(folder / "fused")


def other_pairs(folder: Path) -> None:
    change(folder, "UPDATE fused SET pair='p' || pair", "UPDATE pairs SET hash='p' || hash")
    change(folder, "UPDATE scores SET pair='p' || pair")


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        (lambda f: change_scores(f, lambda v: v + 1e-9, "en@bits"), "a score is another: "),
        (lambda f: change_scores(f, lambda v: v * 1.5, "vif@tdfusion"), "a score is another: "),
        (brighter, "its picture is not what its record says: "),
        (brighter_with_its_record, "a picture lacks scores: average on msrs test"),
        (brighter_with_scores, "a score is another: |its picture is of the sample"),
        (linked, "is no part of a submission: fused/"),
        (foreign("setup.py"), "is no part of a submission: setup.py"),
        (foreign("fused/evil.png"), "is no part of a submission: fused/evil.png"),
        (foreign("fused/\x1b[31m.png"), r"is no part of a submission: fused/\x1b[31m.png"),
        (foreign(".github/workflows/x.yml"), "is no part of a submission: .github/workflows/x.yml"),
        (foreign("results.db-wal.sh"), "is no part of a submission: results.db-wal.sh"),
        (foreign("results.db-wal"), "is no part of a submission: results.db-wal"),
        (without_a_picture, "its picture is of the sample and is not there: "),
        (without_pictures, "its picture is of the sample and is not there: "),
        (other_pairs, "not verified: average on msrs test"),
        (lambda f: change(f, "UPDATE fused SET made=0"), "nobody signed it"),
        (lambda f: change(f, "UPDATE fused SET path='../' || path"), "the path of its picture is none: "),
        (lambda f: change(f, "DELETE FROM boards"), "no table would show anything of it"),
        (lambda f: change(f, "DELETE FROM scores"), "no score of it could be computed again: "),
        (
            lambda f: change(f, "UPDATE variants SET code='0' || code"),
            "2 metrics: computed by other code",
        ),
        (lambda f: change(f, "UPDATE entries SET info='{}'"), "is damaged or no results store"),
        (lambda f: change(f, "UPDATE makers SET info=replace(info, 'Ada', 'Bo')"), "contradict each other"),
        (
            lambda f: change(f, """UPDATE boards SET info=replace(info, '"expected": 361', '"expected": 4')"""),
            "not verified: msrs test: 361 images belong to it, not 4",
        ),
        (
            lambda f: change(f, """UPDATE boards SET info=replace(info, '"split_sha256": "', '"split_sha256": "0')"""),
            "not verified: msrs test: the list of images is another here",
        ),
    ],
)
def test_tampered(submission: Path, data: Path, tamper: Callable[[Path], Any], line: str) -> None:
    tamper(submission)
    done = verified(submission, data)
    assert done.returncode == 1, done.stderr
    assert any(f"refused: {submission}" in text and part in text for part in line.split("|") for text in [done.stdout])
    assert "0 of 1 can be taken" in done.stderr


@pytest.mark.parametrize("entry", ["its own", ""])
def test_a_picture_that_could_not_be_scored(submission: Path, data: Path, entry: str) -> None:
    """It lacks scores for a reason that is recorded, of the entry or of the source pair."""
    row = rows(submission)[0]
    change(submission, f"DELETE FROM scores WHERE image='{row.image}' AND pair='{row.pair}'")
    assert "a picture lacks scores" in verified(submission, data).stdout
    key = row.entry if entry else ""
    change(submission, f"INSERT INTO failures VALUES('{key}', '{row.dataset}', '{row.split}', '{row.id}', 'no memory')")
    done = verified(submission, data)
    assert done.returncode == 0, done.stdout


def test_data_that_are_not_here(submission: Path, tmp_path: Path) -> None:
    done = verified(submission, tmp_path / "nowhere")
    assert done.returncode == 1
    assert "not verified: " in done.stdout
    done = verified(submission, tmp_path / "nowhere", "--available")
    assert done.returncode == 0
    assert "not verified: " in done.stderr


def test_data_that_are_here_are_no_excuse(submission: Path, data: Path) -> None:
    """With ``--available``, a row without scores beside one whose scores are computed again."""
    every = rows(submission)
    images = [row.image for row in every if row.entry == every[0].entry]
    change(submission, *(f"DELETE FROM scores WHERE image='{image}'" for image in images))
    done = verified(submission, data, "--available")
    assert done.returncode == 1
    assert "no score of it could be computed again: " in done.stdout


def test_one_bad_one_of_two(submission: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "bo").mkdir()
    done = fusionbench("verify", tmp_path / "bo", submission, "--pictures=2", "--data-root", data)
    assert done.returncode == 1
    assert "no results here" in done.stdout
    assert "1 of 2 can be taken" in done.stderr


# ---------------------------------------------------------------- the repository


def recipe(repository: Path) -> list[str]:
    """What its CI runs, but for the installation."""
    workflow = yaml.safe_load((repository / ".github/workflows/results.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]
    assert steps[0].startswith("pip install")
    return steps[1:]


def ran(repository: Path, step: str, data: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    surroundings = {**os.environ, "PATH": path, "FUSIONBENCH_DATA": str(data), "PICTURES": "2", "OMP_NUM_THREADS": "1"}
    return subprocess.run(step, shell=True, cwd=repository, env=surroundings, capture_output=True, text=True)


def test_its_recipe(submission: Path, data: Path, tmp_path: Path) -> None:
    """Good rows are taken and shown; a changed score, and two people who contradict each other, stop it."""
    done = fusionbench("new", "results-repository", "our-results", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "FILL IN" in done.stdout
    repository = tmp_path / "our-results"
    assert "# Results: our-results\n" in (repository / "README.md").read_text()
    check, build = recipe(repository)
    assert "no submissions yet" in ran(repository, check, data).stdout

    shutil.copytree(submission, repository / "submissions/ada-two methods")
    good = ran(repository, check, data)
    assert good.returncode == 0, good.stdout + good.stderr
    built = ran(repository, build, data)
    assert built.returncode == 0, built.stdout + built.stderr
    table = (repository / "page/tables.md").read_text()
    assert "| average |" in table
    assert "average, maximum: by Ada, " in table
    assert files(repository / "page") >= {"tables.md", "tables.json"}

    change_scores(submission, lambda v: v + 0.5, "en@bits")
    shutil.copytree(submission, repository / "submissions/bo")
    bad = ran(repository, check, data)
    assert bad.returncode == 1
    assert "refused: submissions/bo/: a score is another" in bad.stdout.replace("bo: ", "bo/: ")
    contradiction = ran(repository, build, data)
    assert contradiction.returncode == 1
    assert "conflict: submissions/bo" in contradiction.stdout


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a b", "x" * 90])
def test_names_of_repositories(name: str, tmp_path: Path) -> None:
    done = fusionbench("new", "results-repository", "-o", tmp_path / "own", "--", name)
    assert done.returncode == 2
    assert "is no name of a repository" in done.stderr
    assert not (tmp_path / "own").exists()


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = fusionbench("new", "results-repository", "mine", "-o", tmp_path)
    assert (done.returncode, "is there already" in done.stderr) == (2, True)
    assert list((tmp_path / "mine").iterdir()) == []
