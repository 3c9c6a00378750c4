"""What the released evaluators compute, by the same library calls they make, for timing beside ours.

TDFusion's evaluator (HaowenBai/TDFusion, Evaluator.py) takes its VIF from sewar, SSIM from scikit-image and the Sobel
responses of Qabf from scipy's convolve2d; CDDFuse's takes mutual information from scikit-learn. Written anew from those
facts; the benchmark checks that the values agree with ours before it times anything.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity

SOBEL_X = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)


def en(f, a, b):
    counts = np.bincount(np.uint8(np.round(f)).ravel())
    share = counts / counts.sum()
    return -np.sum(share * np.log2(share + (share == 0)))


def sf(f, a, b):
    return np.sqrt(np.mean(np.diff(f, axis=1) ** 2) + np.mean(np.diff(f, axis=0) ** 2))


def _pearson(x, y):
    x, y = x - x.mean(), y - y.mean()
    return np.sum(x * y) / np.sqrt(np.sum(x**2) * np.sum(y**2))


def scd(f, a, b):
    return _pearson(a, f - b) + _pearson(b, f - a)


def vif(f, a, b):
    from sewar.full_ref import vifp

    return (vifp(a, f) + vifp(b, f)) / 2


def _edges(x):
    gx, gy = convolve2d(x, SOBEL_X, "same"), convolve2d(x, -SOBEL_X.T, "same")
    angle = np.full_like(x, np.pi / 2)
    sloped = gx != 0
    angle[sloped] = np.arctan(gy[sloped] / gx[sloped])
    return np.sqrt(gx**2 + gy**2), angle


def _kept(source, fused):
    (gs, angle_s), (gf, angle_f) = source, fused
    ratio = np.zeros_like(gs)
    more, same, less = gs > gf, gs == gf, gs < gf
    ratio[more] = gf[more] / gs[more]
    ratio[same] = gf[same]
    ratio[less] = gs[less] / gf[less]
    turn = 1 - np.abs(angle_s - angle_f) / (np.pi / 2)
    return 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (turn - 0.8)))


def qabf(f, a, b):
    ea, eb, ef = _edges(a), _edges(b), _edges(f)
    return np.sum(_kept(ea, ef) * ea[0] + _kept(eb, ef) * eb[0]) / np.sum(ea[0] + eb[0])


def ssim(f, a, b):
    return sum(structural_similarity(np.uint8(f), np.uint8(s)) for s in (a, b)) / 2


def mi(f, a, b):
    from sklearn.metrics import mutual_info_score

    return sum(mutual_info_score(f.ravel(), s.ravel()) for s in (a, b))


TDFUSION = {"en": en, "sf": sf, "scd": scd, "vif": vif, "qabf": qabf, "ssim": ssim}
CDDFUSE = {"mi@nats": mi}
