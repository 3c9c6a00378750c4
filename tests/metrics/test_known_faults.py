"""Wrong values of other programs, reproduced on purpose from what their cards say is wrong.

Not here, because a variant of ours computes the same wrong value and the parity certificate holds it to theirs:
``psnr@vifb`` (VIFB, bfliu7), ``psnr@cddfuse``, ``nabf@tang``, ``nabf@ivif_zoo``, ``nabf@topanxal``, ``vif@ivif_zoo``,
``vif@tang-uint8``, ``sd@tang-uint8``, ``mi@tang``, ``qcb@ivif_zoo``, ``qcb@bfliu7``, ``qy@ivif_zoo``,
``qncie@ivif_zoo``, ``qc@released``, ``qabf@released``, ``ssim@tang``, ``ssim@ivif_zoo``, ``ms_ssim@ivif_zoo``,
``rmse@vifb``. Where no value of theirs is at hand (Topanxal's MS_SSIM of 0), there is nothing to hold them to.
"""

from __future__ import annotations

import math
from functools import partial

import _oracles
import numpy as np
import pytest
from scipy import ndimage

TANG = "Linfeng-Tang/Evaluation-for-Image-Fusion"
CDDFUSE = "Zhaozixiang1228/MMIF-CDDFuse"
IVIF_ZOO = "RollingPlain/IVIF_ZOO"
TOPANXAL = "Topanxal/Image-fusion-evaluation-metrics-code-PyTorch-version-"
BFLIU7 = "bfliu7/Image-Fusion-evaluation-python"

pytestmark = pytest.mark.real
single = partial(pytest.approx, rel=2e-6)  # of programs that compute in float32


@pytest.fixture
def known(shared):
    """Rows of one metric and program: image, its value, the images and a function for our numbers."""

    def rows(metric: str, program: str):
        found = _oracles.values(shared)[metric, program]
        for image in ("tno_05_F_SeAFusion", "synth_odd_F_max", "vifb_fight_F_max"):
            if image in found:
                planes = _oracles.golden(shared, image)
                yield found[image], [p.x[0].numpy() for p in planes], partial(_oracles.score, planes=planes)

    return rows


def test_tang_psnr_is_48_db_too_high(known):
    """Levels 0..1 against a peak of 255."""
    for theirs, _, ours in known("PSNR", TANG):
        assert theirs - ours("psnr@pooled") == pytest.approx(20 * math.log10(255), rel=1e-10)


def test_tang_nabf_scores_the_infrared_image(known):
    """analysis_nabf(f, I1, I2) is called with (A, B, F); called as declared it is Nabf."""
    for theirs, (f, a, b), ours in known("Nabf_asreleased(A,B,f)", TANG):
        planes = tuple(_oracles._plane(x) for x in (a, b, f))
        assert theirs == pytest.approx(_oracles.score("nabf@kumar", planes), rel=1e-9)
        assert theirs != pytest.approx(ours("nabf@kumar"), rel=0.1)
    for theirs, _, ours in known("Nabf_argsFixed(f,A,B)", TANG):
        assert theirs == pytest.approx(ours("nabf@kumar"), rel=1e-9)


def test_bfliu7_mi_is_a_cross_entropy(shared):
    """It falls where mutual information rises: 1.17 for 5.98."""
    image = "msrs_00906N_F_max"
    theirs = _oracles.values(shared)["MI", BFLIU7][image]
    planes = _oracles.golden(shared, image)
    assert theirs == pytest.approx(1.1720322763)
    assert theirs == pytest.approx(_oracles.score("ce@sum", planes), rel=1e-9)
    assert _oracles.score("mi@bits", planes) == pytest.approx(5.9780844338)


def test_bfliu7_qcv_is_below_zero(shared):
    """A weighted mean of squares is not."""
    found = _oracles.values(shared)["Qcv", BFLIU7]
    assert found["msrs_00906N_F_max"] == pytest.approx(-1.8277763261)
    ours = _oracles.score("qcv@liu2012", _oracles.golden(shared, "msrs_00906N_F_max"))
    assert ours == pytest.approx(1510.3067369)


def test_topanxal_psnr_takes_the_peak_from_the_source(known):
    """10 log10(max(X)^2 / MSE), a peak for each source, and the mean of the two in dB."""
    for theirs, (f, a, b), _ in known("PSNR", TOPANXAL):
        wrong = sum(5 * math.log10(x.max() ** 2 / np.mean((f - x) ** 2)) for x in (a, b))
        assert theirs == single(wrong)


def test_topanxal_ssim_averages_over_a_black_frame(known):
    """11 x 11 mean, not a Gaussian, zeros beyond the border; the sum of two."""

    def one(x, y, c1=(0.01 * 255) ** 2, c2=(0.03 * 255) ** 2):
        mean = partial(ndimage.uniform_filter, size=11, mode="constant")
        mx, my = mean(x), mean(y)
        variances = mean(x * x) - mx * mx + mean(y * y) - my * my
        covariance = mean(x * y) - mx * my
        return np.mean((2 * mx * my + c1) * (2 * covariance + c2) / ((mx * mx + my * my + c1) * (variances + c2)))

    for theirs, (f, a, b), ours in known("SSIM", TOPANXAL):
        assert theirs == single(one(a, f) + one(b, f))
        assert abs(theirs - ours("ssim@vifb")) > 1e-3


def test_ivif_zoo_entropy_adds_to_the_shares(known):
    """-sum p log2(p + 1e-7)."""
    for theirs, (f, _, _), ours in known("EN", IVIF_ZOO):
        p = np.bincount(f.astype(np.int64).ravel(), minlength=256) / f.size
        assert theirs == pytest.approx(-np.sum(p * np.log2(p + 1e-7)), rel=2e-7)
        assert ours("en@bits") - theirs > 1e-5


def test_cddfuse_ssim_had_a_range_of_two(known):
    """float32 pictures without data_range: 2 was guessed for them once, and scikit-image now refuses to guess."""
    from skimage.metrics import structural_similarity

    for theirs, (f, a, b), ours in known("SSIM(float32,data_range=2 = skimage<=0.19 default)", CDDFUSE):
        wrong = [structural_similarity(x.astype(np.float32), f.astype(np.float32), data_range=2) for x in (a, b)]
        assert theirs == pytest.approx(sum(wrong), rel=1e-5)
        assert abs(theirs - ours("ssim@sum")) > 0.05
        with pytest.raises(ValueError, match="data_range"):
            structural_similarity(a.astype(np.float32), f.astype(np.float32))


def test_vifb_spatial_frequency_runs_over_the_seams(shared):
    """The channels side by side as one picture, whose seams count; each channel by itself gives another value."""
    theirs = _oracles.published(shared, "vifb")["Spatial_frequency"]["fight", "SeAFusion"]
    joined, apart = (_oracles.vifb(shared, "fight", "SeAFusion", j) for j in (True, False))
    assert float(f"{_oracles.score('sf@hw', joined):.5g}") == theirs
    assert float(f"{_oracles.score('sf@hw', apart):.5g}") != theirs


def test_tang_sheet_has_saturated_deviations(shared):
    """uint8 less uint8 is never below 0 and a square never above 255: SD of at most 15.97, whatever the contrast."""
    (image, method), theirs = max(_oracles.published(shared, "tno")["SD"].items(), key=lambda item: item[1])
    f = _oracles.tno(shared, image, method)[0].x[0].numpy()
    wrong = np.minimum(np.maximum(f - np.floor(f.mean() + 0.5), 0) ** 2, 255).mean() ** 0.5
    assert theirs == pytest.approx(wrong, rel=1e-12)
    assert f.std() > 2 * theirs
