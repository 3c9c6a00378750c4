"""Which entries can be told apart."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from fusionbench.cli.leaderboard import every_with_ties
from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.protocol import metric
from fusionbench.report.analysis import AVERAGE, stability
from fusionbench.report.rank_figures import draw_halves, draw_ranking, draw_ranks
from fusionbench.report.ranking import Blocks, Test, blocks_of, halves, holm, letter, ranking, tie_groups
from fusionbench.report.rows import Row
from fusionbench.report.tables import Table
from tests.conftest import fusionbench
from tests.harness.test_store import board, entry


def made(values: np.ndarray, names: list[str] | None = None, specs: tuple[str, ...] = ("en@bits",)) -> Table:
    """A table of values ``[metrics, images, entries]``."""
    names = names or [f"m{n:02}" for n in range(values.shape[2])]
    metrics = tuple(metric(spec) for spec in specs)
    rows = tuple(
        Row(entry(id=n, method=n), {m.id: values[i, :, j].astype(float) for i, m in enumerate(metrics)})
        for j, n in enumerate(names)
    )
    ids = tuple(str(n) for n in range(values.shape[1]))
    return Table(board(dataset="msrs", title="MSRS"), ids, metrics, rows)


@pytest.mark.parametrize(("k", "blocks", "printed"), [(4, 14, 1.25), (5, 30, 1.11), (10, 30, 2.47)])
def test_the_critical_difference_is_the_published_one(k: int, blocks: int, printed: float) -> None:
    """Demsar 2006: 1.25 for four classifiers on 14 datasets; 2.728 and 3.164 are its table's values for 5 and 10."""
    values = np.random.default_rng(0).normal(size=(1, blocks, k))
    item = ranking(blocks_of([made(values)], "images"))
    assert item.critical == pytest.approx(printed, abs=0.006)
    if k > 4:
        q = {5: 2.728, 10: 3.164}[k]
        assert item.critical == pytest.approx(q * (k * (k + 1) / (6 * blocks)) ** 0.5, rel=1e-3)


def test_friedman_s_test_is_scipy_s() -> None:
    values = np.random.default_rng(6).integers(0, 5, size=(1, 14, 4)) + np.array([0, 0, 1, 2])
    item = ranking(blocks_of([made(values)], "images"))
    assert (item.chi2, item.p) == pytest.approx(tuple(stats.friedmanchisquare(*values[0].T)))
    ranks = stats.rankdata(-values[0], axis=1).mean(0)
    assert dict(zip(item.names, item.average, strict=True)) == pytest.approx(
        {f"m{n:02}": r for n, r in enumerate(ranks)}
    )


def test_pairs_closer_than_the_critical_difference_share_a_group() -> None:
    values = np.random.default_rng(7).normal(size=(1, 30, 9)) + np.linspace(0, 2, 9)
    item = ranking(blocks_of([made(values)], "images"))
    assert item.p < 0.05
    assert item.critical is not None
    for (a, x), (b, y) in combinations(zip(item.names, item.average, strict=True), 2):
        together = any(a in group and b in group for group in item.groups)
        assert together == (abs(x - y) < item.critical)
        assert together == bool(set(item.letters[a].split()) & set(item.letters[b].split()))


def test_the_direction_of_a_metric_counts() -> None:
    values = np.arange(3.0) + np.zeros((1, 5, 3))
    assert ranking(blocks_of([made(values)], "images")).names[0] == "m02"
    assert ranking(blocks_of([made(values, specs=("qcv@liu2012",))], "images")).names[0] == "m00"


@pytest.mark.parametrize("test", ["nemenyi", "wilcoxon"])
def test_clear_differences_are_told_and_noise_is_not(test: str) -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(1, 40, 4))
    same = ranking(blocks_of([made(noise)], "images"), test)
    assert same.groups == (same.names,)
    assert set(same.letters.values()) == {"a"}
    apart = ranking(blocks_of([made(noise / 10 + np.array([0, 0, 5, 9]))], "images"), test)
    assert apart.groups == (("m03",), ("m02",), tuple(apart.names[2:]))
    assert apart.letters["m03"] == ""
    assert set(apart.names[2:]) == {"m00", "m01"}


def test_wilcoxon_is_scipy_s_with_holm_s_correction() -> None:
    values = np.random.default_rng(0).normal(size=(1, 25, 3)) + np.array([0, 0.4, 1.0])
    blocks = blocks_of([made(values)], "images")
    item = ranking(blocks, "wilcoxon")
    raw = [stats.wilcoxon(blocks.ranks[:, i] - blocks.ranks[:, j]).pvalue for i, j in combinations(range(3), 2)]
    order = [item.names.index(f"m{n:02}") for n in range(3)]
    found = [item.pairs[order[i], order[j]] for i, j in combinations(range(3), 2)]
    assert found == pytest.approx(holm(raw))
    assert item.critical is None


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("k", [2, 5, 45])
def test_every_pair_that_cannot_be_told_apart_shares_a_group_and_no_other(k: int) -> None:
    rng = np.random.default_rng(k)
    for share in (0.0, 0.3, 0.7, 1.0):
        apart = np.triu(rng.random((k, k)) < share, 1)
        apart = apart | apart.T
        groups = tie_groups(apart)
        together = {pair for group in groups for pair in combinations(group, 2)}
        assert together == {(i, j) for i, j in combinations(range(k), 2) if not apart[i, j]}
        assert {n for group in groups for n in group} == set(range(k))


def test_a_metric_that_is_undefined_is_left_out_of_its_block() -> None:
    values = np.zeros((2, 3, 3)) + np.arange(3.0)
    values[1] = -values[1]
    values[1, 0, 1] = np.nan
    blocks = blocks_of([made(values, specs=("en@bits", "sd@population"))], "images")
    assert blocks.ranks.tolist() == [[3, 2, 1], [2, 2, 2], [2, 2, 2]]
    values[0, 1] = values[1, 1] = np.nan
    assert len(blocks_of([made(values, specs=("en@bits", "sd@population"))], "images").ranks) == 2


def test_over_datasets_a_block_is_a_dataset() -> None:
    tables = [made(np.random.default_rng(n).normal(size=(1, 6, 3)) + np.array([0, 3, 9])) for n in range(4)]
    blocks = blocks_of(tables, "datasets")
    assert blocks.ranks.tolist() == [[3, 2, 1]] * 4
    assert len(blocks_of(tables, "images").ranks) == 24
    with pytest.raises(FusionbenchError, match="1 of the datasets to compare over"):
        blocks_of(tables[:1], "datasets")


def test_entries_that_tie_everywhere() -> None:
    item = ranking(blocks_of([made(np.ones((1, 5, 3)))], "images"), "wilcoxon")
    assert (item.p, item.groups) == (1.0, (item.names,))
    assert item.intervals == ((2.0, 2.0),) * 3


def test_too_few_to_compare() -> None:
    with pytest.raises(FusionbenchError, match=r"2 ranked entries .* two by `fusionbench compare`"):
        blocks_of([made(np.ones((1, 5, 2)))], "images")
    with pytest.raises(FusionbenchError, match="1 of the images"):
        blocks_of([made(np.ones((1, 1, 3)))], "images")
    with pytest.raises(FusionbenchError, match="halves need at least 3 on 4"):
        halves(made(np.ones((1, 3, 3))))


def test_a_table_that_is_too_small_for_ties_hides_no_other() -> None:
    whole, small = made(np.random.default_rng(0).normal(size=(1, 6, 3))), made(np.ones((1, 1, 3)))
    first, second = every_with_ties([whole, small])
    assert "Cannot be told apart" in first.notes[-1]
    assert second.notes[-1].startswith(f"No tie groups: {small.board.dataset}: 1 of the images")
    with pytest.raises(FusionbenchError, match=f"{small.board.dataset}: 1 of the images"):
        every_with_ties([small])


def test_letters() -> None:
    assert [letter(n) for n in (0, 25, 26, 27, 701, 702)] == ["a", "z", "aa", "ab", "zz", "aaa"]


def test_halves_of_a_clear_ranking_agree() -> None:
    values = np.random.default_rng(1).normal(size=(2, 12, 5)) / 100 + np.arange(5.0)
    item = halves(made(values, specs=("en@bits", "sd@population")), times=50)
    assert item.names == ("m04", "m03", "m02", "m01", "m00")
    assert item.positions.shape == (100, 5)
    assert (item.positions == np.arange(1.0, 6)).all()
    assert item.between == pytest.approx(1.0)
    assert item.whole == pytest.approx(1.0)


def test_halves_of_noise_do_not_agree_and_are_the_same_again() -> None:
    table = made(np.random.default_rng(2).normal(size=(1, 40, 8)))
    item = halves(table, times=50)
    assert abs(np.median(item.between)) < 0.4
    assert item.between.size == 50
    assert item.whole.size == 100
    assert np.array_equal(halves(table, times=50).positions, item.positions)
    first = [e["first"] for e in item.to_dict()["entries"]]
    assert sum(first) == pytest.approx(1.0)


def test_halves_average_ranks_as_the_table_does() -> None:
    values = np.random.default_rng(5).normal(size=(2, 9, 6))
    values[1, :, 2] = np.nan  # nowhere defined for one entry
    table = made(values, specs=("en@bits", "qcv@liu2012"))
    item = halves(table, times=3)
    assert dict(zip(item.names, item.average, strict=True)) == pytest.approx(table.average_ranks())


def test_stability_has_the_average_rank_too() -> None:
    values = np.random.default_rng(4).normal(size=(2, 9, 12))
    tables = {
        "one": made(values, specs=("vif@tdfusion", "ssim@tdfusion")),
        "two": made(values[::-1], specs=("vif@cddfuse", "ssim@cddfuse")),
    }
    items = stability(tables)
    assert [s.metric for s in items] == ["vif", "ssim", AVERAGE]
    assert items[-1].tau["one", "two"] == pytest.approx(1.0), "the same ranks in another order of metrics"
    assert items[-1].means["one"] == pytest.approx(tables["one"].average_ranks())


def test_figures_of_few_and_of_many(tmp_path: Path) -> None:
    for k in (3, 24):
        values = np.random.default_rng(k).normal(size=(2, 20, k)) + np.linspace(0, 4, k)
        table = made(values, specs=("vif@tdfusion", "ssim@tdfusion"))
        for test in ("nemenyi", "wilcoxon"):
            draw_ranking(ranking(blocks_of([table], "images"), test), tmp_path / f"{test}{k}.png")
        draw_halves(halves(table, 5), "t", tmp_path / f"halves{k}.png")
        other = made(values[::-1], specs=("vif@cddfuse", "ssim@cddfuse"))
        draw_ranks(stability({"one": table, "two": other}), tmp_path / f"ranks{k}.png")
        for path in tmp_path.glob("*.png"):
            assert Image.open(path).convert("L").getextrema() == (0, 255)
    tall, flat = (Image.open(tmp_path / f"nemenyi{k}.png").size for k in (24, 3))
    assert tall[1] > 2 * flat[1]
    with pytest.raises(FusionbenchError, match=r"x\.txt"):
        draw_halves(halves(table, 5), "t", tmp_path / "x.txt")


def test_the_commands(tree: Path, tmp_path: Path) -> None:
    names, results = "--methods=average,maximum,laplacian", ("--out", tmp_path / "r")
    fusionbench("eval", names, "--metrics=en,sd", "--profile=tang", "--datasets=msrs", "--data-root", tree, *results)
    done = fusionbench("figure", "ranks", *results, "-o", tmp_path / "c.png")
    assert done.returncode == 0, done.stderr
    assert "msrs: en@bits, sd@population, 4 images" in done.stdout
    assert "critical difference" in done.stdout
    assert (tmp_path / "c.png").stat().st_size > 5000
    data = json.loads(fusionbench("figure", "ranks", *results, "--test", "wilcoxon", "--json").stdout)
    assert len(data["pairs"]) == 3
    assert data["critical_difference"] is None
    assert {e["entry"] for e in data["entries"]} == {"average", "maximum", "laplacian"}
    done = fusionbench("figure", "ranks", *results, "--over", "datasets")
    assert (done.returncode, "1 of the datasets" in done.stderr) == (2, True)
    text = fusionbench("leaderboard", "--ties", *results).stdout
    assert "Cannot be told apart by their ranks on 4 images (Friedman p = " in text
    assert "Cannot be told apart" not in fusionbench("leaderboard", *results).stdout
    done = fusionbench("stability", "--datasets=msrs", "--halves", "5", "--profiles", "default", *results)
    assert done.returncode in (0, 2)


def test_halves_on_the_command_line(tree: Path, tmp_path: Path) -> None:
    results = ("--datasets=msrs", "--out", tmp_path / "r")
    names = "--methods=average,maximum,laplacian"
    fusionbench("eval", names, "--profile=tdfusion", "--data-root", tree, *results)
    done = fusionbench("stability", "--halves", "5", "--profiles=tdfusion", *results, "-o", tmp_path / "h.png")
    assert done.returncode == 0, done.stderr
    assert "median [best, worst] position on 10 halves" in done.stdout
    assert "Kendall tau between the two halves" in done.stdout
    assert (tmp_path / "h.png").stat().st_size > 5000
    data = json.loads(fusionbench("stability", "--halves", "5", *results, "--json").stdout)
    assert data["tdfusion"]["halves"] == 10
    assert "0 is not in the range" in fusionbench("stability", "--halves", "0", *results).stderr


@pytest.mark.parametrize(("test", "seed"), [("wilcoxon", 18), ("nemenyi", 4)])
def test_pairs_are_told_apart_only_where_friedman_s_test_is_clear(test: Test, seed: int) -> None:
    """Blocks of which a pair's test is below 0.05 and Friedman's is not."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(12, 4)) + np.array([0, 0.4, 0.4, 0.9])
    ranks = stats.rankdata(values, axis=1) + random.choice([0, 0.25, 0.5], size=(12, 4))
    item = ranking(Blocks(("a", "b", "c", "d"), ranks, "images", ("msrs",), ("en@bits",)), test)
    assert item.pairs.min() < 0.05 < item.p
    assert len(item.groups) == 1
    assert set(item.groups[0]) == {"a", "b", "c", "d"}
