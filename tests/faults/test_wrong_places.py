"""A file where a folder is needed, a folder where a file is: one line in plain words, and what is there stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import fusionbench, make_tree

BLOCKED = "FILE is a file where a folder is needed"
EVAL = ("eval", "--methods=average", "--metrics=en", "--limit=1", "--datasets=msrs")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A data root, a store with one of its pictures and that pair; not to be changed."""
    root, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out")
    make_tree(root, 1)
    assert fusionbench(*EVAL, "--data-root", root, "--out", out).returncode == 0
    ir, vi = (next((root / "MSRS/test" / role).iterdir()) for role in ("ir", "vi"))
    return {"DATA": str(root), "OUT": str(out), "IR": str(ir), "VI": str(vi)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*EVAL, "--out", "FILE"), BLOCKED),
        ((*EVAL, "--out", "FILE/below/it"), BLOCKED),
        ((*EVAL, "--out", "n" * 300), "the name is too long"),
        (("leaderboard", "--out=OUT", "--format=csv", "-o", "FOLDER"), "FOLDER: is a folder; name a file"),
        (("leaderboard", "--out=OUT", "--format=csv", "-o", "FILE/t.csv"), BLOCKED),
        (("export", "--out=OUT", "-o", "FOLDER.csv"), "FOLDER.csv: is a folder; name a file"),
        (("merge", "OUT", "--out", "FILE"), BLOCKED),
        (("site", "OUT", "--out", "FILE/page"), BLOCKED),
        (
            ("figure", "box", "--out=OUT", "--metrics=en", "-o", "FILE/f.png"),
            BLOCKED,
        ),
        (("fuse", "average", "--ir=IR", "--vis=VI", "-o", "FILE/f.png"), BLOCKED),
        (("new", "method", "mine", "-o", "FILE"), BLOCKED),
        (("new", "results-repository", "ours", "-o", "FILE"), BLOCKED),
        (("data", "synth", "--out", "FILE", "--like=msrs", "--test=1", "--train=0"), "FILE: a file, not a folder"),
        (("cost", "--methods=average", "--size=32x32", "--out=FILE"), BLOCKED),
        (
            ("train", "densefuse", "--datasets=msrs", "--size=tiny", "--out=FILE"),
            BLOCKED,
        ),
    ],
)
def test_it_is_said_in_plain_words(
    places: dict[str, str], tmp_path: Path, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("mine")
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "FOLDER.csv").mkdir()
    typed = [re.sub("OUT|IR|VI", lambda match: places[match[0]], word) for word in words]
    done = fusionbench(*typed, FUSIONBENCH_DATA=places["DATA"])
    assert done.returncode == (1 if words[0] == "fuse" else 2)
    assert said in done.stderr, done.stderr
    assert "Errno" not in done.stderr
    assert (tmp_path / "FILE").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["FILE", "FOLDER", "FOLDER.csv"]
