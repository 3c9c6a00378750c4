"""Frozen yearly tables: the commit that an index names holds them, with these hashes."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from benchmarks import frozen
from tests.conftest import REPO

INDEXES = sorted(REPO.glob("leaderboards/[0-9]*/index.txt"))


@pytest.mark.parametrize("path", INDEXES, ids=lambda path: path.parent.name)
def test_a_frozen_year_is_as_it_was(path: Path) -> None:
    commit, claimed = frozen.read(path)
    assert len(claimed) > 100
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=REPO, capture_output=True, check=False
    )
    if known.returncode:
        pytest.skip("a copy without the history")
    assert frozen.check(REPO, path) == []


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    for name, text in {
        "msrs@v1.md": "a",
        "methods/tno@v1.json": "{}",
        "logs/run.jsonl": "x",
        "__init__.py": "",
    }.items():
        file = tmp_path / "leaderboards" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    commit(tmp_path)
    return tmp_path


def commit(repo: Path) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "tables")):
        subprocess.run(["git", *words], cwd=repo, check=True)


def test_an_index_names_every_table(repo: Path) -> None:
    path = frozen.freeze(repo, "2026")
    _, claimed = frozen.read(path)
    assert claimed == {
        "leaderboards/methods/tno@v1.json": hashlib.sha256(b"{}").hexdigest(),
        "leaderboards/msrs@v1.md": hashlib.sha256(b"a").hexdigest(),
    }
    check = subprocess.run(["sha256sum", "-c", "--quiet", path], cwd=repo, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr
    commit(repo)
    assert frozen.check(repo, path) == []
    (repo / "leaderboards/msrs@v1.md").write_text("b")  # tables go on; what is frozen does not
    commit(repo)
    assert frozen.check(repo, path) == []


def test_another_hash_or_file_is_named(repo: Path) -> None:
    path = frozen.freeze(repo, "2026")
    text = path.read_text()
    path.write_text(text.replace(hashlib.sha256(b"a").hexdigest(), "0" * 64))
    assert frozen.check(repo, path) == ["leaderboards/msrs@v1.md: another file"]
    path.write_text("".join(line for line in text.splitlines(keepends=True) if "tno" not in line))
    assert frozen.check(repo, path) == ["leaderboards/methods/tno@v1.json: not in the index"]
    path.write_text(text + f"{'0' * 64}  leaderboards/none.md\n")
    assert frozen.check(repo, path) == ["leaderboards/none.md: not in the commit"]


def test_what_is_refused_in_a_line(repo: Path) -> None:
    (repo / "leaderboards/msrs@v1.md").write_text("b")
    with pytest.raises(frozen.FrozenError, match=r"msrs@v1\.md: not committed"):
        frozen.freeze(repo, "2026")
    (repo / "index.txt").write_text("nothing")
    with pytest.raises(frozen.FrozenError, match="no index"):
        frozen.read(repo / "index.txt")
    out = repo / "written"
    (repo / "index.txt").write_text(f"# commit --output={out}\n{'0' * 64}  leaderboards/msrs@v1.md\n")
    with pytest.raises(frozen.FrozenError, match="no index"):
        frozen.check(repo, repo / "index.txt")
    assert not out.exists()
    (repo / "index.txt").write_text(f"# commit {'0' * 40}\n{'0' * 64}  leaderboards/msrs@v1.md\n")
    with pytest.raises(frozen.FrozenError, match="git archive"):
        frozen.check(repo, repo / "index.txt")
