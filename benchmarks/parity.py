"""Measure how far every metric variant is from what others compute, and write ``docs/metrics-parity.md``.

    python benchmarks/parity.py            # write the certificate
    python benchmarks/parity.py --check    # exit 1, with a diff, where it no longer agrees

It needs the reference material beside the checkout (or at ``--shared``). What cannot be measured, for want of that
material or of a library, is taken over from the certificate as it stands, and the rest still has to agree.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[1]
CERTIFICATE = REPO / "docs/metrics-parity.md"
sys.path.insert(0, str(REPO / "tests/metrics"))
import _oracles  # noqa: E402

FLOOR = 1e-12  # deviations below it are rounding, which no two machines share
LADDER = [float(f"{m}e{e}") for e in range(-12, 7) for m in (1, 2, 5)]

TNO = ("DenseFuse", "RFN-Nest", "SeAFusion", "U2Fusion")
VIFB = ("GFF", "GTF", "IFCNN", "MSVD", "SeAFusion", "U2Fusion")
OTHERS = ("SwinFusion", "YDTR")  # their released pictures are not those that were scored

NOT_OFFERED = {"Qsf_Zheng": "Zheng's Q_SF is not offered"}
NOT_INSTALLED = {"piq": "needs torchvision", "pyiqa": "needs torchvision, and pins other versions of what we use"}


# --- libraries -------------------------------------------------------------------------------------------------------

Images = tuple[np.ndarray, np.ndarray, np.ndarray]
LIBRARY_IMAGES = ("tno_05_F_SeAFusion", "synth_odd_F_max")  # small: torchmetrics is slow


@dataclass(frozen=True)
class Library:
    """What a library computes, next to one of our numbers.

    `tolerance`: None where the two are known to differ, for the reason in `note`.
    """

    number: str
    package: str
    call: str
    compute: Callable[..., float]
    tolerance: float | None = 1e-9
    note: str = ""

    def run(self, images: Images) -> float | None:
        """The library's value, None where it is not installed."""
        try:
            importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None
        return float(self.compute(*images))


def both(one: Callable[[np.ndarray, np.ndarray], float], f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Sum of a score of the fused image against each source."""
    return float(one(a, f)) + float(one(b, f))


def half(one: Callable[[np.ndarray, np.ndarray], float], f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Mean of a score of the fused image against each source."""
    return both(one, f, a, b) / 2


def _ssim(x: np.ndarray, y: np.ndarray, **options: object) -> float:
    from skimage.metrics import structural_similarity

    return structural_similarity(x, y, **options)


GAUSS = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def _skimage(name: str, module: str = "metrics") -> Callable[..., float]:
    return lambda *a, **k: getattr(importlib.import_module(f"skimage.{module}"), name)(*a, **k)


def _tensors(*arrays: np.ndarray) -> Iterator:
    import torch

    return (torch.from_numpy(x)[None, None] for x in arrays)


def _torchmetrics(name: str, x: np.ndarray, y: np.ndarray, **options: object) -> float:
    import torchmetrics.functional as functional

    source, fused = _tensors(x, y)
    if name == "pearson_corrcoef":
        source, fused = source.flatten(), fused.flatten()
    function = getattr(functional.image, name, None) or getattr(functional, name)
    value = function(fused, source, **options)
    return float(value[1][..., 5:-5, 5:-5].mean() if isinstance(value, tuple) else value)


def _pytorch_msssim(name: str, x: np.ndarray, y: np.ndarray) -> float:
    import pytorch_msssim

    source, fused = _tensors(x, y)
    return float(getattr(pytorch_msssim, name)(fused, source, data_range=255.0))


def _sobel(f: np.ndarray, *sources: np.ndarray, mode: str) -> float:
    from scipy import ndimage

    return float(np.hypot(ndimage.sobel(f, 0, mode=mode), ndimage.sobel(f, 1, mode=mode)).mean())


def _shares(x: np.ndarray) -> np.ndarray:
    return np.bincount(x.astype(np.int64).ravel(), minlength=256) / x.size


def _divergence(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.special import rel_entr

    p, q = _shares(x), _shares(y)
    seen = (p > 0) & (q > 0)
    return float(rel_entr(p[seen], q[seen]).sum() / np.log(2))


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import pearsonr

    return float(pearsonr(x.ravel(), y.ravel()).statistic)


def _scd(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    return _pearson(f - b, a) + _pearson(f - a, b)


_mse = _skimage("mean_squared_error")
_tm = partial(partial, _torchmetrics)
SSIM_TM = partial(_torchmetrics, "structural_similarity_index_measure", data_range=255.0)
SKIMAGE, TM, PM = "scikit-image", "torchmetrics", "pytorch-msssim"

LIBRARIES = [
    Library("cc@mean", "scipy", "stats.pearsonr", partial(half, _pearson)),
    Library("cc@mean", SKIMAGE, "measure.pearson_corr_coeff", partial(half, lambda x, y: _pcc(x, y))),
    Library("cc@mean", TM, "pearson_corrcoef", partial(half, _tm("pearson_corrcoef"))),
    Library("cc@sum", "scipy", "stats.pearsonr", partial(both, _pearson)),
    Library("ce@mean", "scipy", "special.rel_entr over levels both have", partial(half, _divergence)),
    Library("ce@sum", "scipy", "special.rel_entr over levels both have", partial(both, _divergence)),
    Library("ei@ivif_zoo", "scipy", "ndimage.sobel, mode constant", partial(_sobel, mode="constant")),
    Library("ei@vifb", "scipy", "ndimage.sobel, mode nearest", partial(_sobel, mode="nearest")),
    Library("en@bits", SKIMAGE, "measure.shannon_entropy", lambda f, a, b: _skimage("shannon_entropy", "measure")(f)),
    Library(
        "ms_ssim@wang", PM, "ms_ssim", partial(half, partial(_pytorch_msssim, "ms_ssim")), 5e-6, "its taps are float32"
    ),
    Library(
        "ms_ssim@wang",
        TM,
        "multiscale_structural_similarity_index_measure",
        partial(half, _tm("multiscale_structural_similarity_index_measure", data_range=255.0)),
        None,
        "mirrors the border, averages over all of it, and drops the last row of an odd size",
    ),
    Library("mse@mean", SKIMAGE, "metrics.mean_squared_error", partial(half, _mse)),
    Library("mse@mean", TM, "mean_squared_error", partial(half, _tm("mean_squared_error"))),
    Library(
        "psnr@mean-db",
        SKIMAGE,
        "metrics.peak_signal_noise_ratio",
        partial(half, lambda x, y: _skimage("peak_signal_noise_ratio")(x, y, data_range=255)),
    ),
    Library(
        "psnr@mean-db",
        TM,
        "peak_signal_noise_ratio",
        partial(half, _tm("peak_signal_noise_ratio", data_range=255.0)),
        1e-7,
        "its peak is float32",
    ),
    Library("rmse@mean", SKIMAGE, "sqrt of metrics.mean_squared_error", partial(half, lambda x, y: _mse(x, y) ** 0.5)),
    Library(
        "rmse@mean", TM, "mean_squared_error, squared=False", partial(half, _tm("mean_squared_error", squared=False))
    ),
    Library("rmse@pooled", SKIMAGE, "sqrt of the mean of two", lambda f, a, b: half(_mse, f, a, b) ** 0.5),
    Library("scd@sum", "scipy", "stats.pearsonr of the differences", _scd),
    Library("sd@population", "numpy", "std", lambda f, a, b: float(f.std())),
    Library("sd@sample", "numpy", "std, ddof=1", lambda f, a, b: float(f.std(ddof=1))),
    Library("ssim@cddfuse", SKIMAGE, "metrics.structural_similarity", partial(both, partial(_ssim, data_range=2))),
    Library("ssim@sum", SKIMAGE, "metrics.structural_similarity", partial(both, partial(_ssim, data_range=255))),
    Library("ssim@tdfusion", SKIMAGE, "metrics.structural_similarity", partial(half, partial(_ssim, data_range=255))),
    Library(
        "ssim@vifb",
        SKIMAGE,
        "metrics.structural_similarity, Gaussian, population covariance",
        partial(both, partial(_ssim, data_range=255, **GAUSS)),
    ),
    Library(
        "ssim@wang",
        SKIMAGE,
        "metrics.structural_similarity, Gaussian, population covariance",
        partial(half, partial(_ssim, data_range=255, **GAUSS)),
    ),
    Library(
        "ssim@ivif_zoo",
        SKIMAGE,
        "metrics.structural_similarity, Gaussian, population covariance, data_range=1",
        partial(both, partial(_ssim, data_range=1, **GAUSS)),
    ),
    Library("ssim@wang", PM, "ssim", partial(half, partial(_pytorch_msssim, "ssim")), 5e-6, "its taps are float32"),
    Library(
        "ssim@wang",
        TM,
        "structural_similarity_index_measure, full windows of its map",
        partial(half, partial(SSIM_TM, return_full_image=True)),
    ),
    Library(
        "ssim@wang",
        TM,
        "structural_similarity_index_measure",
        partial(half, SSIM_TM),
        None,
        "mirrors the border and averages over all of it",
    ),
    Library("vif@tdfusion", TM, "visual_information_fidelity", partial(half, _tm("visual_information_fidelity"))),
]


# --- what is measured ------------------------------------------------------------------------------------------------


def deviation(ours: float, theirs: float, atol: float = 0.0) -> float:
    """``|x - y| / max(|x|, |y|)``; 0 within `atol` or where both have no value, infinite where only one has."""
    if math.isnan(ours) or math.isnan(theirs):
        return 0.0 if math.isnan(ours) and math.isnan(theirs) else math.inf
    if ours == theirs or abs(ours - theirs) <= atol:
        return 0.0
    return abs(ours - theirs) / max(abs(ours), abs(theirs))


@dataclass
class Largest:
    """Largest deviation over images, and where."""

    images: int = 0
    missing: int = 0
    value: float = 0.0
    at: str = ""

    def add(self, where: str, ours: float, theirs: float, atol: float = 0.0, skip_undefined: bool = False) -> None:
        self.images += 1
        if math.isnan(theirs) and (skip_undefined or math.isnan(ours)):
            self.missing += 1
            return
        found = deviation(ours, theirs, atol)
        if found > self.value:
            self.value, self.at = found, where

    @property
    def count(self) -> str:
        return f"{self.images}" + (f" ({self.missing} undefined)" if self.missing else "")


def five(x: float) -> float:
    """Rounded to five digits, as the VIFB results are."""
    return float(f"{x:.5g}")


@dataclass
class Measured:
    """Everything the certificate needs; empty where there is no reference material."""

    claims: dict[tuple[str, ...], Largest] = field(default_factory=dict)
    faults: dict[tuple[str, ...], Largest] = field(default_factory=dict)
    libraries: dict[int, Largest] = field(default_factory=dict)
    digits: Counter = field(default_factory=Counter)  # (number, method): images that agree in all digits
    vifb: dict[tuple[str, str], Largest] = field(default_factory=dict)
    apart: list[tuple[str, ...]] = field(default_factory=list)
    images: int = 0

    def wrong(self) -> list[str]:
        """Every claim that does not hold."""
        bad = [(" ".join(key[:3]), float(key[-1]), found) for key, found in self.claims.items()]
        for i, found in self.libraries.items():
            if LIBRARIES[i].tolerance is not None:
                bad.append((f"{LIBRARIES[i].number} {LIBRARIES[i].package}", LIBRARIES[i].tolerance, found))
        return [
            f"{what}: off by {found.value:.3g} at {found.at or 'no image'}, claimed {tolerance:g}"
            for what, tolerance, found in bad
            if found.value > tolerance or not found.images
        ]


def key_of(number: str, claim: dict) -> tuple[str, ...]:
    """The cells that name a claim's row; the last one is its tolerance."""
    return number, claim["metric"], claim.get("implementation", claim["file"]), tidy(claim["rtol"])


def faults(file: str) -> Iterator[tuple[tuple[str, str, str], str, dict]]:
    """Key, our number and fault, for faults whose wrong values are at hand."""
    for card in _oracles.cards().values():
        for fault in card.get("faults", []):
            if "metric" in fault and fault.get("file", "values") == file:
                yield (
                    (card["name"], fault["implementation"], fault["what"]),
                    f"{card['name']}@{fault['against']}",
                    fault,
                )


def measure(shared: Path) -> Measured:
    """Every number on every picture that somebody else has a value for."""
    found = Measured()
    _values(shared, found)
    _tno(shared, found)
    _vifb(shared, found)
    return found


def _values(shared: Path, found: Measured) -> None:
    known = _oracles.values(shared)
    images = dict.fromkeys(image for row in known.values() for image in row)
    for image in sorted(images):
        planes = _oracles.golden(shared, image)
        ours = cache(lambda number, planes=planes: _oracles.score(number, planes))
        for number, claim in _oracles.claims("values"):
            theirs = known.get((claim["metric"], claim["implementation"]), {}).get(image)
            largest = found.claims.setdefault(key_of(number, claim), Largest())
            if theirs is not None:
                largest.add(image, ours(number), theirs, claim["atol"])
        for key, number, fault in faults("values"):
            theirs = known.get((fault["metric"], fault["implementation"]), {}).get(image)
            largest = found.faults.setdefault(key, Largest())
            if theirs is not None:
                largest.add(image, ours(number), theirs, skip_undefined=True)
        if image in LIBRARY_IMAGES:
            arrays = tuple(p.x[0].double().numpy() for p in planes)
            for i, library in enumerate(LIBRARIES):
                theirs = library.run(arrays)
                if theirs is not None:
                    found.libraries.setdefault(i, Largest()).add(image, ours(library.number), theirs)


def _tno(shared: Path, found: Measured) -> None:
    sheet = _oracles.published(shared, "tno")
    for image in sorted({image for image, _ in sheet["EN"]}):
        for method in TNO:
            planes = _oracles.tno(shared, image, method)
            for number, claim in _oracles.claims("tno"):
                largest = found.claims.setdefault(key_of(number, claim), Largest())
                theirs = sheet[claim["metric"]][image, method]
                largest.add(f"{method} {image}", _oracles.score(number, planes), theirs, claim["atol"])
            for key, number, fault in faults("tno"):
                theirs = sheet[fault["metric"]][image, method]
                found.faults.setdefault(key, Largest()).add(image, _oracles.score(number, planes), theirs)


def _vifb(shared: Path, found: Measured) -> None:
    sheet = _oracles.published(shared, "vifb")
    images = sorted({image for image, _ in sheet["Entropy"]})
    found.images = len(images)
    for image in images:
        for method in (*VIFB, *OTHERS):
            planes = _oracles.vifb(shared, image, method)
            for number, claim in _oracles.claims("vifb"):
                joined = claim.get("joined", False)
                ours = _oracles.score(number, _oracles.vifb(shared, image, method, True) if joined else planes)
                theirs = sheet[claim["metric"]][image, method]
                agrees = five(ours) == theirs
                found.digits[number, method] += agrees
                found.vifb.setdefault((number, method), Largest()).add(image, ours, theirs)
                if method in VIFB:
                    largest = found.claims.setdefault(key_of(number, claim), Largest())
                    largest.add(f"{method} {image}", ours, theirs, claim["atol"])
                    if not agrees:
                        found.apart.append((number, image, method, f"{theirs:.5g}", f"{ours:.7g}"))


# --- how it is written -----------------------------------------------------------------------------------------------


def tidy(x: float) -> str:
    """A short form of a tolerance or a step of the ladder."""
    if not math.isfinite(x):
        return "a value is missing"
    digit, _, power = f"{x:.0e}".partition("e")
    return f"{digit}e{int(power)}" if int(power) < -2 else f"{x:g}"


def step(x: float) -> int:
    """Which step of the ladder 1, 2, 5, 10 a deviation is rounded up to."""
    return next((i for i, bound in enumerate(LADDER) if x <= bound), len(LADDER))


class Deviation(float):
    """A measured deviation: written as the step above it, which it has to leave by more than a step to be rewritten.

    Where that step is beyond what is claimed, and the claim holds, the claim is the bound.
    """

    claimed = math.inf

    def within(self, claimed: float | None) -> Deviation:
        self.claimed = math.inf if claimed is None or self > claimed else claimed
        return self

    def text(self, old: str | None) -> str:
        try:
            was = step(float(old or "nan"))
        except ValueError:
            was = len(LADDER)
        new = step(self)
        if old is not None and was < len(LADDER) and abs(was - new) <= 1:
            return old
        return tidy(min(LADDER[new], self.claimed)) if new < len(LADDER) else tidy(math.inf)


Row = tuple[tuple[str, ...], tuple[object, ...] | None]


class Page:
    """Markdown under way, beside the page it will replace."""

    def __init__(self, old: str) -> None:
        self.lines: list[str] = []
        self.heading = ""
        self.sections: dict[str, list[str]] = {}
        heading = ""
        for line in old.splitlines():
            if line.startswith("#"):
                heading = line.strip("# ")
            else:
                self.sections.setdefault(heading, []).append(line)

    def head(self, level: int, title: str, *text: str) -> None:
        self.heading = title
        self.lines += ["#" * level + " " + title, ""]
        for paragraph in text:
            self.lines += [paragraph, ""]

    def table(self, header: str, rows: Iterable[Row], right: int = 0) -> None:
        """A table whose rows are named by their first cells; the others are measured, or copied where they are None."""
        names = [c.strip() for c in header.split("|")]
        edges = ["---"] * (len(names) - right) + ["--:"] * right
        self.lines += [f"| {' | '.join(names)} |", f"|{'|'.join(edges)}|"]
        olds = [
            [c.strip() for c in line.strip("| ").split(" | ")]
            for line in self.sections.get(self.heading, [])
            if line.startswith("| ")
        ]
        for key, cells in rows:
            key = tuple(c.replace("|", "\\|") for c in key)
            old = next((o[len(key) :] for o in olds if tuple(o[: len(key)]) == key), None)
            if cells is None:
                written = old or ["not measured"] * (len(names) - len(key))
            else:
                was = old if old and len(old) == len(cells) else [None] * len(cells)
                written = [c.text(o) if isinstance(c, Deviation) else str(c) for c, o in zip(cells, was, strict=True)]
            self.lines.append(f"| {' | '.join((*key, *written))} |")
        self.lines.append("")

    def keep(self, text: str) -> None:
        """Copy what followed `text` under this heading."""
        old = "\n".join(self.sections.get(self.heading, []))
        self.lines += [old.partition(text)[2].strip("\n") or "not measured", ""]


def _pcc(x: np.ndarray, y: np.ndarray) -> float:
    return float(_skimage("pearson_corr_coeff", "measure")(x, y)[0])


INTRO = """\
How far every number of ours is from the same number of others: other programs run on the same pictures, tables of
results with the pictures they were computed from, and libraries. `python benchmarks/parity.py` measures it and writes
this page; `python benchmarks/parity.py --check` measures again and fails where the page no longer holds, and so does a
test.

A number is `metric@variant`; the formula of each is on the metric's card (`fusionbench show METRIC`). Deviations are
relative, |x - y| / max(|x|, |y|), the largest over all images, in float64. **Each is rounded up to the next of
1, 2, 5, 10, ..., so it is a bound**; 1e-12 stands for anything smaller, which is rounding and differs between machines.
A bound is rewritten only when a new measurement leaves it by more than one step. "Claimed" is the tolerance on the
card: the check fails above it. Differences below an absolute 1e-12 (1e-11 for MI on TNO) count as none. Two programs
that both have no value for an image agree; such images are counted as undefined."""

VALUES = """\
The other programs ran on 8-bit grey pictures of MSRS, TNO and VIFB, on a crop, and on a synthetic pair of odd size that
includes a copy of a source; VIFB's on two colour pictures, channel by channel. "definition, float64" is an independent
statement of the definition. Ports that compute in float32 deviate by that much; the cards' notes tell the rest."""

SHEET = """\
14 pictures by four methods (DenseFuse, RFN-Nest, SeAFusion, U2Fusion) and the values published with the MATLAB kit
Evaluation-for-Image-Fusion. The sheet is older than the kit's change of 2023-03-03: SD, VIF and Qabf are the variant
`tang-uint8`, SF is on levels 0..1. Qabf there hangs on single roundings of 0..1 levels, hence its tolerance."""


def claim_rows(measured: Measured | None, file: str) -> Iterator[Row]:
    for number, claim in sorted(_oracles.claims(file), key=lambda c: (c[0], c[1].get("implementation", ""))):
        key = key_of(number, claim)
        largest = measured and measured.claims[key]
        cells = None if largest is None else (largest.count, Deviation(largest.value).within(claim["rtol"]))
        yield (key if file == "values" else (key[0], key[1], key[3])), cells


def library_rows(measured: Measured | None) -> Iterator[Row]:
    for i, library in enumerate(LIBRARIES):
        largest = measured and measured.libraries.get(i)
        claimed = "none" if library.tolerance is None else tidy(library.tolerance)
        call = library.call + (f" ({library.note})" if library.note else "")
        cells = None if largest is None else (largest.count, Deviation(largest.value).within(library.tolerance))
        yield (library.number, library.package, call, claimed), cells


def sorted_by_oracle() -> tuple[dict[str, str], set[str], set[str]]:
    """Every number with its card's note, those with a value of another program or sheet, those with a library's."""
    numbers = {
        f"{card['name']}@{name}": variant.get("note", "no reason on the card")
        for card in _oracles.cards().values()
        for name, variant in card["variants"].items()
    }
    programs = {number for file in ("values", "tno", "vifb") for number, _ in _oracles.claims(file)}
    return numbers, programs, {library.number for library in LIBRARIES if library.tolerance is not None}


def summary() -> str:
    numbers, programs, libraries = sorted_by_oracle()
    return (
        f"{len(_oracles.cards())} metrics have {len(numbers)} variants: {len(programs)} are compared with another "
        f"program or a published table,\n{len(libraries - programs)} more with a library, and for "
        f"{len(set(numbers) - programs - libraries)} there is nothing to compare with (see No oracle)."
    )


def without_oracle() -> Iterator[Row]:
    numbers, programs, libraries = sorted_by_oracle()
    for number, note in numbers.items():
        if number not in programs | libraries:
            yield (number, note), ()


def fault_rows(measured: Measured | None) -> Iterator[Row]:
    for card in _oracles.cards().values():
        for fault in card.get("faults", []):
            key = (card["name"], fault["implementation"], fault["what"])
            if "metric" not in fault:
                yield (*key, "", "", ""), ()
                continue
            largest = measured and measured.faults[key]
            against = f"{card['name']}@{fault['against']}"
            cells = None if largest is None else (largest.count, f"{largest.value:.2g}")
            yield (*key, against), cells


def vifb_tables(page: Page, m: Measured) -> None:
    numbers = [number for number, _ in sorted(_oracles.claims("vifb"), key=lambda c: c[0])]
    names = {number: claim["metric"] for number, claim in _oracles.claims("vifb")}
    methods = (*VIFB, *OTHERS)
    total = m.images * len(VIFB)
    rows: list[Row] = []
    for n in numbers:
        six = sum(m.digits[n, x] for x in VIFB)
        rows.append(((n, names[n]), (*(m.digits[n, x] for x in methods), f"{six} of {total}")))
    sums = [sum(m.digits[n, x] for n in numbers) for x in methods]
    whole = f"{sum(sums[: len(VIFB)])} of {total * len(numbers)}"
    rows.append((("all", f"of {m.images * len(numbers)}"), (*sums, whole)))
    page.lines += [f"Of {m.images} images, how many agree in all five digits:", ""]
    page.table(" | ".join(("number", "theirs", *methods, "first six")), rows, right=len(methods) + 1)
    page.lines += ["Largest deviation (half a unit in the fifth digit is 5e-5 at most):", ""]
    rows = [((n,), tuple(Deviation(m.vifb[n, x].value) for x in methods)) for n in numbers]
    page.table(" | ".join(("number", *methods)), rows, right=len(methods))
    if m.apart:
        page.lines += ["The values of the first six methods that do not agree in all digits:", ""]
        page.table("number | image | method | published | ours", ((row, ()) for row in sorted(m.apart)))


def render(measured: Measured | None, old: str) -> str:
    """The certificate; what was not measured, and what still holds, as it stands in `old`."""
    page = Page(old)
    page.head(1, "Parity of the metrics", INTRO, summary())
    page.head(2, "Other programs on the same pictures", VALUES)
    page.table("number | theirs | program | claimed | images | deviation", claim_rows(measured, "values"), right=3)
    page.head(2, "The published TNO sheet", SHEET)
    page.table("number | theirs | claimed | values | deviation", claim_rows(measured, "tno"), right=3)
    page.head(2, "The published VIFB results", VIFB_TEXT.format(claims=len(list(_oracles.claims("vifb")))))
    page.table("number | theirs | claimed | values | deviation", claim_rows(measured, "vifb"), right=3)
    page.head(3, "Digit by digit", DIGITS)
    if measured is None:
        page.keep(DIGITS)
    else:
        vifb_tables(page, measured)
    page.head(2, "Libraries", library_text())
    page.table("number | library | call | claimed | images | deviation", library_rows(measured), right=3)
    page.head(2, "No oracle", "Variants for which nobody else's value is at hand, and why:")
    page.table("number | note on the card", without_oracle())
    page.head(2, "Known faults of others", FAULTS)
    page.table("metric | program | what | against | images | deviation", fault_rows(measured), right=2)
    return "\n".join(page.lines).rstrip("\n") + "\n"


VIFB_TEXT = """\
21 pictures by eight methods, {claims} metrics, MATLAB values in print to five digits: 2184 values. Each channel is
scored and the mean taken, but SF takes the three channels side by side. Deviations are for the first six methods."""

DIGITS = """\
**SwinFusion and YDTR do not agree**: their released pictures are not the ones that were scored. Entropy is a matter of
the histogram alone, on which all programs agree, and it already differs there, from the third or fourth digit on; the
other numbers differ with it, and no claim is made for these two."""

FAULTS = """\
From the metrics' cards. Where their values are at hand, the last columns tell how far they are from the number of ours
that computes what was meant, to two digits (opposite signs make more than 1). Many have a variant of ours that computes
the same wrong value on purpose, see the first table; `tests/metrics/test_known_faults.py` reproduces the others."""


LIBRARY_TEXT = """\
On {images}, in float64. Libraries score one pair: the mean or the sum over both
sources is compared, as the variant says. Where the two are known to differ, none is claimed and the reason given.

{left}."""


def library_text() -> str:
    left = "; ".join(f"{name}: not measured, {why}" for name, why in NOT_INSTALLED.items())
    images = ", ".join(f"`{name}`" for name in LIBRARY_IMAGES)
    return LIBRARY_TEXT.format(images=images, left=left)


# --- command ---------------------------------------------------------------------------------------------------------


def unclaimed(shared: Path) -> list[str]:
    """Values at hand that neither a claim nor a fault speaks of; published digits appear in the sheets."""
    spoken = {(c["metric"], c["implementation"]) for _, c in _oracles.claims("values")}
    spoken |= {(f["metric"], f["implementation"]) for *_, f in faults("values")}
    rest = set(_oracles.values(shared)) - spoken
    return [
        f"{m} of {i} is not accounted for" for m, i in sorted(rest) if "(published" not in m and m not in NOT_OFFERED
    ]


def check(shared: Path | None, path: Path = CERTIFICATE) -> list[str]:
    """What is wrong with the certificate, as lines to print; nothing when it holds. `shared` None: not measured."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    measured = measure(shared) if shared else None
    new = render(measured, old)
    diff = difflib.unified_diff(old.splitlines(), new.splitlines(), "on disk", "measured", lineterm="", n=0)
    return [*(measured.wrong() + unclaimed(shared) if measured and shared else []), *diff]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing, exit 1 where it does not agree")
    parser.add_argument(
        "--shared", type=Path, default=Path(os.environ.get("FUSIONBENCH_SHARED", REPO.parent / "shared"))
    )
    options = parser.parse_args()
    shared = options.shared if (options.shared / "reference").is_dir() else None
    if options.check:
        lines = check(shared)
        print("\n".join(lines) if lines else "docs/metrics-parity.md holds" + ("" if shared else " (nothing measured)"))
        return bool(lines)
    if shared is None:
        parser.error(f"no reference material at {options.shared}")
    measured = measure(shared)
    CERTIFICATE.write_text(render(measured, CERTIFICATE.read_text() if CERTIFICATE.exists() else ""), encoding="utf-8")
    bad = measured.wrong() + unclaimed(shared)
    print("\n".join(bad) or f"wrote {CERTIFICATE.relative_to(REPO)}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
