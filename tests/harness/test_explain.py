"""What a printed number, or a whole printed row, can be."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import card, cards
from fusionbench.report.explain import evidence, tables, verdicts
from fusionbench.report.paper_row import Answer, explain_row, parse
from tests.conftest import fusionbench

CDDFUSE = "EN 6.70 SD 43.38 SF 11.56 MI 3.47 SCD 1.62 VIF 1.05 Qabf .69 SSIM 1.00"  # its paper's row on MSRS


def row(text: str, dataset: str = "msrs") -> Answer:
    return explain_row(parse(text), dataset)


def test_the_evidence_is_real_images_once() -> None:
    assert {t.dataset for t in tables()} <= set(cards("dataset"))
    found = evidence("vif")["tdfusion"]
    assert len({e.dataset for e in found}) == len(found)
    (msrs,) = evidence("vif", ("msrs",))["tdfusion"]
    assert msrs.images == 361
    assert "infrared" not in msrs.means
    assert "infrared" not in evidence("vif", ("vifb",))["cddfuse"][0].means
    assert len(evidence("vif", ("vifb",))["cddfuse"][0].means) > 35


def test_one_dataset_at_a_time() -> None:
    judged = {v.variant: v for v in verdicts(card("metric", "vif"), 1.05, ("msrs",))}
    assert [s.dataset for s in judged["cddfuse"].spans] == ["msrs"]
    everywhere = {v.variant: v for v in verdicts(card("metric", "vif"), 1.05)}
    assert len(everywhere["cddfuse"].spans) > 1
    done = fusionbench("explain", "vif", "1.05", "--dataset", "MSRS")
    assert "tno" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if "measured" in line]
    assert len(lines) == len(set(lines))
    assert "no dataset 'msr'" in fusionbench("explain", "vif", "1", "--datasets", "msr").stderr


@pytest.mark.parametrize(
    ("text", "dataset", "profile"),
    [
        (CDDFUSE, "msrs", "cddfuse"),
        ("EN=6.71 SF=11.63 SCD=1.67 VIF=0.51 Qabf=.69 SSIM=.70", "MSRS", "tdfusion"),
        ("EN=6.65 SD=41.84 SF=11.11 MI=2.79 SCD=1.69 VIF=.97 Qabf=.68 SSIM=.99", "msrs", "cddfuse"),
        ("SD=9.4 VIF=0.85 EN=7.0 SCD=1.7 MI=2.3", "tno", "tang-uint8"),
        ("EN=7.0 VIF=0.62 SSIM=0.48 SCD=1.7 MI=2.3", "tno", "tang"),
        ("SSIM 0.99 VIF 0.75 SCD 1.7", "vifb", "cddfuse"),
    ],
)
def test_the_likeliest_profile(text: str, dataset: str, profile: str) -> None:
    answer = row(text, dataset)
    assert profile in answer.likeliest
    if profile.startswith("t"):
        assert answer.likeliest == (profile,)


def test_all_evaluators_are_judged_by_the_same_methods() -> None:
    answer = row(CDDFUSE)
    assert len(answer.methods) >= 3
    for judged in answer.profiles:
        for fit in judged.fits.values():
            if fit.tail is not None:
                assert fit.evidence is not None
                assert sorted(fit.evidence.means) == list(answer.methods)
    text = fusionbench("explain", "--paper", CDDFUSE, "--datasets", "msrs").stdout
    assert f"judged by the same {len(answer.methods)} methods under every evaluator: average, gff," in text


def test_a_wrong_cell_is_named_and_the_method_s_own_row_stands_beside() -> None:
    right = "EN=6.71 SF=11.63 SCD=1.67 VIF=0.51 Qabf=.69 SSIM=.70"  # refusion on MSRS under tdfusion
    words = ("explain", "--datasets", "msrs", "--methods", "ReFusion", "--paper")
    for wrong, heading in (("SCD=2.67", "SCD"), ("SF=21.63", "SF")):
        text = right.replace(next(cell for cell in right.split() if cell.startswith(heading)), wrong)
        lines = fusionbench(*words, text).stdout.splitlines()
        (odd,) = (line for line in lines if "fits worst" in line)
        assert f"Under tdfusion {heading} = " in odd
        own = lines[lines.index("refusion[ivif], measured on msrs under tdfusion:") + 1 :]
        assert {line.split()[0] for line in own if "the same in print" not in line} == {heading}
    lines = fusionbench(*words, right).stdout.splitlines()
    assert sum("the same in print" in line for line in lines) == 6
    done = fusionbench(*words[:-1], "--paper", right, "--methods", "nosuch")
    assert "--methods nosuch: not in the committed tables of msrs under tdfusion" in done.stderr


def test_what_was_trained_for_a_table_of_ours_is_no_evidence() -> None:
    rows = {row.id for table in tables() for row in table.rows}
    assert {"refusion[ivif]", "average", "seafusion[msrs]"} <= rows
    assert not [name for name in rows if "[same" in name]


def test_what_nobody_reached_is_said() -> None:
    judged = {v.variant: v.verdict for v in verdicts(card("metric", "ssim"), 0.96)}
    assert judged["tdfusion"] == "unreached"
    assert judged["cddfuse"] == "plausible"
    text = fusionbench("explain", "ssim", "0.96").stdout
    assert "no method in these tables reached it; the nearest mean is 0.81" in text
    (vif,) = (v for v in verdicts(card("metric", "vif"), 1.04, ("msrs",)) if v.variant == "cddfuse")
    assert vif.spans[0].high > 1.04  # 1.041
    (vif,) = (v for v in verdicts(card("metric", "vif"), 1.0, ("msrs",)) if v.variant == "cddfuse")
    assert vif.verdict == "plausible"


def test_the_likelihood_is_the_stated_one() -> None:
    fits = {f.name: f for f in row("VIF=0.51").variants["VIF"]}
    own = fits["tdfusion"]
    assert own.evidence is not None
    means = np.array(list(own.evidence.means.values()))
    n, scale = means.size, math.sqrt(means.var(ddof=1) * (1 + 1 / means.size) + 0.005**2 / 3)
    expected = stats.t(df=n - 1, loc=means.mean(), scale=scale)
    assert own.logarithm == pytest.approx(expected.logpdf(0.51))
    assert own.tail == pytest.approx(2 * min(expected.cdf(0.51), expected.sf(0.51)))


def test_profiles_with_the_same_variants_cannot_be_told_apart() -> None:
    answer = row("SD=40 SCD=1.6")
    assert set(answer.likeliest) >= {"cddfuse", "tang", "ivif_zoo"}
    assert answer.profiles[0].logarithm == pytest.approx(answer.profiles[1].logarithm)
    assert "does not tell from" in fusionbench("explain", "--paper", "SD=40 SCD=1.6", "--dataset", "msrs").stdout


def test_a_value_beyond_a_variant_s_range_rules_it_out() -> None:
    answer = row("EN=6.7 SCD=1.6 VIF=0.5 SSIM=1.2")
    (own,) = (j for j in answer.profiles if j.profile == "tdfusion")
    assert own.logarithm == -math.inf
    assert own.fits["SSIM"].impossible
    assert "tdfusion" not in answer.likeliest
    (edge,) = (j for j in row("SSIM=1.00 VIF=0.5").profiles if j.profile == "tdfusion")
    assert math.isfinite(edge.logarithm), "1.00 may be 0.996"


def test_impossible_values_are_not_taken_for_unmeasured_ones() -> None:
    answer = row("EN=-6.70 MI=-3 VIF=0.9")
    (own,) = (j for j in answer.profiles if j.profile == "tdfusion")
    assert (own.logarithm, own.unmeasured) == (-math.inf, ())
    assert answer.likeliest == ()


def test_a_value_that_fits_nothing_is_said() -> None:
    text = fusionbench("explain", "--paper", "VIF=7.5 EN=6.7 SCD=1.6", "--dataset", "msrs").stdout
    assert "VIF = 7.5: fits no variant that was measured" in text


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("EN=6.70 VIF=0.97", {"EN": 6.7, "VIF": 0.97}),
        ("EN = 6.70, VIF: x", None),
        ("EN 6.70 VIF .97", {"EN": 6.7, "VIF": 0.97}),
        ("EN: 6.70, VIF: 0.97", {"EN": 6.7, "VIF": 0.97}),
        ("EN & 6.70 & VIF & 0.97 \\\\", {"EN": 6.7, "VIF": 0.97}),
        ("| EN | 6.70 | VIF | 0.97 |", {"EN": 6.7, "VIF": 0.97}),
        ("EN↑=6.70; $Q^{AB/F}$ = .68", {"EN↑": 6.7, "$Q^{AB/F}$": 0.68}),
        ("mIoU=75.09% mAP@.5=0.8627", {"mIoU": 75.09, "mAP@.5": 0.8627}),
        ("Qcv=4.7e2 SCD=−1", {"Qcv": 470, "SCD": -1}),
        ("EN", None),
        ("EN=", None),
        ("EN=abc", None),
        ("EN=6,70 VIF=0.97", None),
        ("EN 6,70 VIF 0,97", None),
        ("EN=6,VIF=0.97", {"EN": 6, "VIF": 0.97}),
        ("EN=1e999", None),
        ("EN=1e-999", {"EN": 0.0}),
        ("EN" + " x" * 1900 + "=1", None),
        ("EN=6.7 en=6.8", None),
        ("Qabf=.6 QAB/F=.7", None),
        ("VIF@cddfuse=1.0", None),
        ("Foo=1 Bar=2", None),
        ("", None),
        ("EN=" + "1" * 5000, None),
        (" ".join(f"X{n}=1" for n in range(70)) + " EN=1", None),
    ],
)
def test_a_row_as_it_is_typed(text: str, values: dict[str, float] | None) -> None:
    if values is None:
        with pytest.raises(FusionbenchError, match="--paper: ") as error:
            parse(text)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300
    else:
        found = {p.heading: p.value for p in parse(text)}
        assert list(found.values()) == list(values.values())
        assert all(p.score for p in parse(text))


def test_a_value_beyond_all_measure_is_least_likely() -> None:
    for digits in ("1e308", "1e20"):
        fits = row(f"VIF={digits} EN=6.7 SCD=1.6").variants["VIF"]
        assert not any(f.fits for f in fits)


@pytest.mark.parametrize(
    ("digits", "half"), [("6.70", 0.005), ("6.7", 0.05), ("470", 0.5), ("4.7e2", 0.5), (".5", 0.05)]
)
def test_half_of_the_last_digit(digits: str, half: float) -> None:
    assert parse(f"EN={digits}")[0].half == pytest.approx(half)


def test_scores_of_tasks_are_compared_with_print_and_measurement() -> None:
    answer = row("mIoU=75.09 AP50=.05", "msrs")
    fits = {f.name.partition(" (")[0]: f for f in answer.tasks["mIoU"]}
    own = fits["printed: SegFormer, retrained"]
    assert own.fits
    assert own.evidence is not None
    assert own.evidence.means["TDFusion"] == pytest.approx(0.7509)
    assert any(f.name.startswith("measured: yolov8-n, frozen") for f in answer.tasks["AP50"])
    assert not answer.profiles
    assert (
        "tell nothing about the evaluator" in fusionbench("explain", "--paper", "mIoU=75", "--dataset", "msrs").stdout
    )
    assert row("mIoU=0.7509 EN=6").tasks["mIoU"][0].logarithm == pytest.approx(
        row("mIoU=75.09% EN=6").tasks["mIoU"][0].logarithm
    )
    assert row("mIoU=175").tasks["mIoU"][0].impossible


def test_the_command_says_what_is_missing() -> None:
    for arguments, said in (
        (("--paper", "EN=6.7"), "name the one dataset"),
        (("--paper", "EN=6.7", "--datasets", "msrs,tno"), "name the one dataset"),
        (("--paper", "EN=6.7", "--datasets", "scenes-msrs"), "no dataset 'scenes-msrs'"),
        (("--paper", "EN=6.7", "--datasets", "roadscene"), "no committed table of roadscene"),
        (("vif", "1", "--paper", "EN=6.7"), "a row stands alone"),
        (("vif",), "give a METRIC and a VALUE"),
        ((), "give a METRIC and a VALUE"),
    ):
        done = fusionbench("explain", *arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_as_json() -> None:
    done = fusionbench("explain", "--paper", CDDFUSE + " XYZ 3", "--datasets", "msrs", "--json")
    data = json.loads(done.stdout)
    assert "cddfuse" in data["likeliest"]
    assert data["worst"] in data["profiles"][0]["fits"]
    assert data["unknown"] == ["XYZ"]
    (own,) = (j for j in data["profiles"] if j["profile"] == "cddfuse")
    assert own["fits"]["VIF"]["evidence"]["images"] == 361
