"""Scores of saliency maps: the stored values of PySODMetrics, the package itself where installed, cases by hand."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fusionbench.tasks.scores.saliency import SaliencyScores, prepared, resized, s_measure

STORED = {
    "Smeasure": "s@all",
    "wFmeasure": "wf@all",
    "MAE": "mae@all",
    "adpFm": "f@adp",
    "meanFm": "f@mean",
    "maxFm": "f@max",
    "adpEm": "e@adp",
    "meanEm": "e@mean",
    "maxEm": "e@max",
}


def scored(*images):
    scores = SaliencyScores()
    for pred, target in images:
        scores.update(pred, target)
    return scores


@pytest.mark.real
def test_stored_values(shared):
    folder = shared / "reference/metrics"
    values = json.loads((folder / "saliency_values.json").read_text())["values"]
    images = {}
    for name in values.keys() - {"ALL"}:
        images[name] = [
            np.asarray(Image.open(folder / "images_saliency" / kind / name).convert("L")) for kind in ("preds", "masks")
        ]
    for name, expected in values.items():
        chosen = images.values() if name == "ALL" else [images[name]]
        found = scored(*chosen).compute()
        for theirs, ours in STORED.items():
            assert found[ours] == pytest.approx(expected[theirs], rel=1e-9, abs=1e-12), (name, ours)


def cases():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:41, :57]
    disc = ((y - 18) ** 2 + (x - 30) ** 2 < 120) * np.uint8(255)
    soft = (disc * 0.6 + rng.integers(0, 100, disc.shape)).astype(np.uint8)
    noise, none, full = rng.integers(0, 256, disc.shape, np.uint8), np.zeros_like(disc), np.full_like(disc, 255)
    yield "soft", soft, disc
    yield "noise", noise, disc
    yield "noisy mask", soft, noise
    yield "perfect", disc, disc
    yield "inverted", 255 - disc, disc
    yield "empty mask", soft, none
    yield "full mask", soft, full
    yield "empty mask and map", none, none
    yield "full mask and map", full, full
    yield "full mask, empty map", none, full
    yield "empty mask, full map", full, none
    for level in (0, 1, 100, 254, 255):
        yield f"constant {level}", np.full_like(disc, level), disc
    yield "two levels", np.where(disc > 0, 31, 30).astype(np.uint8), disc
    yield "mask at 128 and 129", soft, np.where(disc > 0, 129, 128).astype(np.uint8)
    single = none.copy()
    single[3, 5] = 255
    yield "one salient pixel", soft, single
    yield "one background pixel", soft, 255 - single
    yield "one salient pixel alone in the map", single, disc
    yield "thin line", soft, ((y == x) * 255).astype(np.uint8)
    yield "two pixels", np.array([[9, 200]], np.uint8), np.array([[0, 255]], np.uint8)
    for seed, size in enumerate([(1, 9), (2, 3), (7, 7), (120, 95)]):
        rng = np.random.default_rng(seed)
        p, g = rng.integers(0, 256, size, np.uint8), rng.integers(0, 2, size).astype(np.uint8) * 255
        g[0, 0] = 255
        yield f"random {size}", p, g


CASES = {name: (pred, target) for name, pred, target in cases()}


DATA_SET = ("soft", "noise", "empty mask", "full mask", "constant 100", "perfect")


@pytest.fixture(scope="session")
def pysodmetrics(oracle, tmp_path_factory):
    """Its scores of every case and of some together, computed in its own environment."""
    folder = tmp_path_factory.mktemp("pysodmetrics")
    arrays = {
        f"{kind} {name}": array for name, pair in CASES.items() for kind, array in zip(("p", "g"), pair, strict=True)
    }
    np.savez(folder / "images.npz", **arrays)
    groups = {**{name: [name] for name in CASES}, "a data set": DATA_SET}
    (folder / "groups.json").write_text(json.dumps(groups))
    script = Path(__file__).with_name("_pysodmetrics.py")
    done = subprocess.run([oracle, script, folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_pysodmetrics(name, pysodmetrics):
    own = scored(CASES[name]).compute()
    for score, value in pysodmetrics[name].items():
        if score == "s@all" and math.isnan(value):  # it divides by the pixels of an empty rectangle
            assert 0 <= own[score] <= 1
        else:
            # its E is size / (size - 1) at best
            assert own[score] == pytest.approx(min(value, 1), rel=1e-9, abs=1e-12), score


@pytest.mark.slow
def test_pysodmetrics_over_a_data_set(pysodmetrics):
    own = scored(*(CASES[name] for name in DATA_SET)).compute()
    for score, value in pysodmetrics["a data set"].items():
        assert own[score] == pytest.approx(value, rel=1e-9), score


@pytest.mark.parametrize("name", CASES)
def test_all_scores_are_finite(name):
    pred, target = CASES[name]
    for score, value in scored((pred, target)).compute().items():
        if score.endswith("@skip-empty") and (not pred.any() or not (target > 128).any()):
            assert math.isnan(value), score
        else:
            assert 0 <= value <= 1, score


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 3), (18, 18), (41, 57)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_best_and_worst_scores_are_in_range(size, dtype):
    """Empty and full truths and single pixels, with maps that are right, wrong and noise: alone and together."""
    rng = np.random.default_rng(size[1])
    none, full, single = np.zeros(size, bool), np.ones(size, bool), np.zeros(size, bool)
    single[0, -1] = True
    truths = (none, full, single, ~single, rng.random(size) > 0.5)
    levels = [(255 * x).astype(dtype) if dtype == np.uint8 else x.astype(dtype) for x in (*truths, rng.random(size))]
    images = [(p, truth) for truth in truths for p in levels]
    for given in (*([image] for image in images), images):
        scores = scored(*given)
        found = scores.compute()
        assert all(
            math.isnan(v) if k.endswith("@skip-empty") and math.isnan(v) else 0 <= v <= 1 for k, v in found.items()
        )
        assert all(0 <= v <= 1 for row in scores.images() for v in row.values())
    assert scored((levels[0], none)).compute()["e@max"] == pytest.approx(1)


def test_f_by_hand():
    """Four pixels, two salient; twice the mean is .9, which only the first salient pixel reaches."""
    found = scored((np.array([[1.0, 0.5, 0.3, 0.0]]), np.array([[True, True, False, False]]))).compute()

    def f(p, r):
        return 1.3 * p * r / (0.3 * p + r)

    assert found["f@adp"] == pytest.approx(f(1, 0.5))
    curve = [f(0.5, 1)] + [f(2 / 3, 1)] * 76 + [f(1, 1)] * 51 + [f(1, 0.5)] * 128  # at levels 0, 76, 127, 255
    assert found["f@mean"] == pytest.approx(np.mean(curve))
    assert found["f@max"] == 1
    assert found["mae@all"] == pytest.approx((0.5 + 0.3) / 4)


def test_perfect_map():
    pred, target = CASES["perfect"]
    found = scored((pred, target)).compute()
    assert found["mae@all"] == 0
    for score in ("f@adp", "f@max", "wf@all", "s@all"):
        assert found[score] == pytest.approx(1, abs=1e-9)


def test_ctdnet_counts_empty_images_as_nought_and_skip_empty_does_not_count_them():
    good, empty_mask, empty_map = CASES["soft"], CASES["empty mask"], CASES["constant 0"]
    alone = scored(good).compute()
    found = scored(good, empty_mask, empty_map).compute()
    for score in ("f", "wf", "s", "mae"):
        plain = alone["f@adp" if score == "f" else f"{score}@all"]
        assert alone[f"{score}@ctdnet"] == alone[f"{score}@skip-empty"] == pytest.approx(plain)
        assert found[f"{score}@skip-empty"] == pytest.approx(plain)
        assert found[f"{score}@ctdnet"] == pytest.approx(plain / 3)
    assert found["fmax@skip-empty"] == pytest.approx(alone["f@max"])
    assert found["f@adp"] != found["f@ctdnet"]  # an all-zero map is all ones at threshold 0


def test_ctdnet_by_its_formulas():
    images = [CASES[name] for name in ("soft", "noise", "constant 100", "full mask", "two levels")]
    rows, curves = [], []
    for pred, target in images:
        p, g = pred / 255, target > 128
        p = (p - p.min()) / (p.max() - p.min()) if p.max() > p.min() else np.ones_like(p)
        chosen = p >= min(2 * p.mean(), 1)
        precision, recall = (chosen & g).sum() / chosen.sum(), (chosen & g).sum() / g.sum()
        b = (p > 2 * p.mean()).astype(float)
        if g.all():
            aligned = b
        else:
            x, y = b - b.mean(), g - g.mean()
            aligned = (2 * x * y / (x * x + y * y + 2.3e-16) + 1) ** 2 / 4
        f = 1.3 * precision * recall / (0.3 * precision + recall) if (chosen & g).any() else 0
        rows.append((f, aligned.sum() / (g.size - 1), np.abs(p - g).mean()))
        at = [p * 255 >= t for t in range(256)]
        curves.append([((m & g).sum() / m.sum(), (m & g).sum() / g.sum()) for m in at])
    p, r = np.mean(curves, 0).T
    found = scored(*images).compute()
    assert found["fmax@ctdnet"] == pytest.approx((1.3 * p * r / (0.3 * p + r)).max(), rel=1e-12)
    for i, score in enumerate(("f", "e", "mae")):
        assert found[f"{score}@ctdnet"] == pytest.approx(np.mean(rows, 0)[i], rel=1e-12), score


def test_an_empty_rectangle_of_the_s_measure_weighs_nothing():
    p, g = np.random.default_rng(0).random((6, 8)), np.zeros((6, 8), bool)
    g[:, -1] = True  # the centre of mass is in the last column
    assert 0 <= s_measure(p, g) <= 1
    assert s_measure(g.astype(float), g) == pytest.approx(1)


def test_merged_parts_are_the_whole():
    first = scored(CASES["soft"], CASES["empty mask"])
    first.merge(scored(CASES["noise"]))
    whole = scored(CASES["soft"], CASES["empty mask"], CASES["noise"])
    assert first.compute() == whole.compute()
    assert len(first) == 3
    assert np.mean([i["s@all"] for i in whole.images()]) == pytest.approx(whole.compute()["s@all"])
    assert all(math.isnan(v) for v in SaliencyScores().compute().values())


def test_input_forms_agree():
    pred, target = CASES["soft"]
    expected = scored((pred, target)).compute()
    forms = [
        (torch.from_numpy(pred), torch.from_numpy(target)),
        (pred[None] / 255, (target > 128)[None]),
        (torch.from_numpy(pred / 255.0)[None].requires_grad_(), torch.from_numpy(target / np.float32(255))[None]),
    ]
    for form in forms:
        assert scored(form).compute() == expected
    half = torch.from_numpy(target > 128).bfloat16()
    assert scored((half, half)).compute() == scored((target, target)).compute()
    level = np.array([[127, 128, 129]], np.uint8)
    for mask in (level, level / 255, level / np.float32(255)):
        assert prepared(level, mask)[1].tolist() == [[False, False, True]]


def test_maps_are_resized_to_the_mask():
    pred, target = CASES["soft"]
    small = np.ascontiguousarray(pred[::2, ::3])
    assert scored((small, target)).compute() == scored((resized(small, target.shape), target)).compute()
    assert resized(small, target.shape).dtype == np.uint8
    cv2 = pytest.importorskip("cv2")
    for size in ((82, 114), (41, 57), (30, 31)):
        theirs = cv2.resize(small / 255, size[::-1], interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(resized(small / 255, size), theirs, atol=1e-6)
        theirs = cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR)
        assert np.abs(resized(small, size).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(
    ("pred", "target", "line"),
    [
        (np.full((3, 3), 1.5), np.ones((3, 3), bool), "this one is 1.5 to 1.5"),
        (np.full((3, 3), np.nan), np.ones((3, 3), bool), "nan"),
        (np.full((3, 3), 300), np.ones((3, 3), bool), "1.17647"),
        (np.zeros((2, 3, 3)), np.ones((3, 3), bool), r"\[2, 3, 3\]"),
        (np.zeros((0, 3)), np.ones((3, 3), bool), r"\[0, 3\]"),
    ],
)
def test_bad_input(pred, target, line):
    with pytest.raises(ValueError, match=line):
        SaliencyScores().update(pred, target)
