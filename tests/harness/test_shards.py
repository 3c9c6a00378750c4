"""Parts of a plan in stores of their own: merged, they are the whole, and until then tables say that they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.evaluation.plan import Request, make_plan
from fusionbench.evaluation.shards import Shard, task_parts
from fusionbench.evaluation.task_plan import TaskRequest
from fusionbench.results.records import Board
from fusionbench.results.shards import with_shards
from fusionbench.results.store import Store
from tests.conftest import fusionbench, make_tree
from tests.harness.test_eval import tables
from tests.harness.test_store import board

EVAL = ("eval", "--methods=average,gff,visible", "--metrics=en,scd", "--jobs=1")
NAME = "msrs-fusion@v1.partial-7-of-361.selected.md"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with seven pairs, which four do not divide; not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    make_tree(folder, 7)
    return folder


def evaluated(root: Path, out: Path, *more: object):
    done = fusionbench(*EVAL, "--datasets=msrs", "--data-root", root, "--out", out, *more)
    assert done.returncode == 0, done.stderr
    return done


def leaderboard(out: Path, *more: str) -> str:
    return fusionbench("leaderboard", "--out", out, *more).stdout


def test_every_item_is_in_one_part() -> None:
    items = list(range(11))
    for count in (1, 2, 4, 11, 20):
        parts = [Shard(number, count).of(items) for number in range(1, count + 1)]
        assert sorted(i for part in parts for i in part) == items
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_four_shards_merged_are_one_run(root: Path, tmp_path: Path) -> None:
    evaluated(root, tmp_path / "one")
    stores = [tmp_path / f"s{i}" for i in range(1, 5)]
    for number, store in enumerate(stores, 1):
        done = evaluated(root, store, f"--shard={number}/4")
        assert f"msrs: shard {number}/4, complete when the stores of all shards are merged" in done.stderr
        (text,) = [t.decode() for name, t in tables(store).items() if name.endswith(".md")]
        assert f"shard {number} of 4: complete when all are merged" in text
    assert fusionbench("merge", *stores[2:], stores[0], "--out", tmp_path / "all").returncode == 0
    assert "5 of 361 pairs, partial, shard 1 and 3 and 4 of 4: complete when" in leaderboard(tmp_path / "all")
    assert fusionbench("merge", stores[1], "--out", tmp_path / "all").returncode == 0
    for form in ("md", "latex", "json", "csv"):
        assert leaderboard(tmp_path / "all", "--format", form) == leaderboard(tmp_path / "one", "--format", form)
    done = evaluated(root, tmp_path / "all")
    assert "0 images fused, 21 kept, 0 values computed" in done.stderr
    assert tables(tmp_path / "all") == tables(tmp_path / "one")


def test_shards_of_pairs_that_nobody_counts(root: Path, tmp_path: Path) -> None:
    """A folder of pairs says not how many there should be: only the shard tells that some lack."""
    folder = f"--datasets=folder={root / 'MSRS/test'}"
    for name, part in (("one", ()), ("b", ("--shard=2/2",)), ("a", ("--shard=1/2",))):
        done = fusionbench(*EVAL, folder, "--out", tmp_path / name, *part)
        assert done.returncode == 0, done.stderr
    assert "4 pairs, shard 1 of 2: complete" in leaderboard(tmp_path / "a")
    merged = fusionbench("merge", tmp_path / "b", "--out", tmp_path / "a")
    assert merged.returncode == 0, merged.stdout
    assert leaderboard(tmp_path / "a") == leaderboard(tmp_path / "one")


def test_parts_of_two_plans(root: Path, tmp_path: Path) -> None:
    """1/2 and 2/3 share pairs and lack others: each pair once, and the table says that it is not whole."""
    evaluated(root, tmp_path / "one")
    for name, part in (("a", "1/2"), ("b", "2/3")):
        evaluated(root, tmp_path / name, f"--shard={part}")
    merged = fusionbench("merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "all")
    assert merged.returncode == 0, merged.stdout
    assert "5 of 361 pairs, partial, shard 1 of 2, 2 of 3: complete when" in leaderboard(tmp_path / "all")
    with Store(tmp_path / "one", create=False) as one, Store(tmp_path / "all", create=False) as both:
        scores = {(s.image, s.pair, s.metric, s.value) for s in both.score_rows()}
        assert len(scores) == 5 * 3 * 2
        assert scores <= {(s.image, s.pair, s.metric, s.value) for s in one.score_rows()}
    done = evaluated(root, tmp_path / "all")  # the rest, here
    assert "6 images fused, 15 kept" in done.stderr
    assert leaderboard(tmp_path / "all") == leaderboard(tmp_path / "one")


def test_both_shards_into_one_store(root: Path, tmp_path: Path) -> None:
    evaluated(root, tmp_path / "one")
    for number in (2, 1):
        evaluated(root, tmp_path / "r", f"--shard={number}/2")
    assert leaderboard(tmp_path / "r") == leaderboard(tmp_path / "one")
    evaluated(root, tmp_path / "r", "--shard=1/2")  # what is whole stays so
    assert leaderboard(tmp_path / "r") == leaderboard(tmp_path / "one")


def test_more_shards_than_pairs(root: Path, tmp_path: Path) -> None:
    done = evaluated(root, tmp_path / "r", "--shard=9/9")
    assert "0 images fused" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/9999999"])
def test_no_such_shard(root: Path, tmp_path: Path, text: str) -> None:
    done = fusionbench(*EVAL, "--datasets=msrs", "--data-root", root, "--out", tmp_path / "r", "--shard", text)
    assert done.returncode == 2
    assert f"--shard {text}: write I/N with 1 <= I <= N" in done.stderr
    assert not (tmp_path / "r").exists()


def test_task_networks_are_parted(root: Path) -> None:
    plan = make_plan(Request(methods=("average", "maximum"), datasets=("msrs",), data_root=root))
    request = TaskRequest(tasks=("segmentation",), seeds=(0, 1))
    parts = task_parts(plan, request)
    names = [(part.protocols, part.seeds, [e.id for e in own.entries]) for own, part in parts]
    assert names == [
        line
        for seed in (0, 1)
        for line in (
            (("retrained",), (seed,), ["average"]),
            (("retrained",), (seed,), ["maximum"]),
            (("frozen",), (seed,), ["average", "maximum"]),
        )
    ]


def test_shards_of_other_counts_do_not_add_up() -> None:
    half, third = board(shards=("1/2",)), board(shards=("2/3",))
    both = with_shards(half, third)
    assert both.shards == ("1/2", "2/3")
    assert not with_shards(both, board(shards=("2/2",))).shards
    assert not with_shards(half, board()).shards
    assert with_shards(half, board(shards=("5/2",))).shards == ("1/2", "5/2")


def test_a_strangers_shards_are_checked(tmp_path: Path) -> None:
    with Store(tmp_path / "r") as store:
        store.put_board(board(shards=("1/2",)), [], [])
        with store.transaction() as db:
            db.execute("UPDATE boards SET info=replace(info, '1/2', '1/x')")
    done = fusionbench("leaderboard", "--out", tmp_path / "r")
    assert done.returncode == 2
    assert "results.db" in done.stderr
    assert Board.__struct_fields__[-1] == "shards"
