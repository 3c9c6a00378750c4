"""Our numbers against other programs' values, published sheets and libraries."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import _oracles

from . import libraries

TNO = ("DenseFuse", "RFN-Nest", "SeAFusion", "U2Fusion")
VIFB = ("GFF", "GTF", "IFCNN", "MSVD", "SeAFusion", "U2Fusion")
OTHERS = ("SwinFusion", "YDTR")  # their released pictures are not those that were scored

NOT_OFFERED = {"Qsf_Zheng": "Zheng's Q_SF is not offered"}


class Claim(NamedTuple):
    """That a number of ours is as near to another's as `claimed`; None: measured, and known to differ."""

    number: str
    theirs: str
    program: str  # or the sheet, or the library
    claimed: float | None
    kind: str  # program, sheet or library


class Fault(NamedTuple):
    """A wrong value of another program, with what is known of it."""

    metric: str
    program: str
    what: str


def claims(file: str) -> list[tuple[Claim, dict[str, Any]]]:
    """What the cards claim of ``values``, ``tno`` or ``vifb``, with all that they say."""
    kind = "program" if file == "values" else "sheet"
    found = [
        (Claim(number, c["metric"], c.get("implementation", file), c["rtol"], kind), c)
        for number, c in _oracles.claims(file)
    ]
    return sorted(found, key=lambda f: (f[0].number, f[0].program))


def library_claims() -> list[Claim]:
    return [Claim(x.number, x.call, x.package, x.tolerance, "library") for x in libraries.LIBRARIES]


def faults(file: str) -> Iterator[tuple[Fault, str, dict[str, Any]]]:
    """Fault, our number and what the card says, for faults whose wrong values are at hand."""
    for card in _oracles.cards().values():
        for f in card.get("faults", []):
            if "metric" in f and f.get("file", "values") == file:
                yield Fault(card["name"], f["implementation"], f["what"]), f"{card['name']}@{f['against']}", f


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


@dataclass
class Measured:
    """Everything the certificate needs. A library that is not installed has no entry."""

    claims: defaultdict[Claim, Largest] = field(default_factory=lambda: defaultdict(Largest))
    faults: defaultdict[Fault, Largest] = field(default_factory=lambda: defaultdict(Largest))
    digits: Counter[tuple[str, str]] = field(default_factory=Counter)  # (number, method): images equal in all digits
    vifb: defaultdict[tuple[str, str], Largest] = field(default_factory=lambda: defaultdict(Largest))
    apart: list[tuple[str, ...]] = field(default_factory=list)
    images: int = 0

    def wrong(self) -> list[str]:
        """Every claim that does not hold."""
        return [
            f"{c.number} {c.theirs} {c.program}: off by {x.value:.3g} at {x.at or 'no image'}, claimed {c.claimed:g}"
            for c, x in self.claims.items()
            if c.claimed is not None and (x.value > c.claimed or not x.images)
        ]


def measure(shared: Path) -> Measured:
    """Every number on every picture that somebody else has a value for."""
    found = Measured()
    for image in sorted({image for row in _oracles.values(shared).values() for image in row}):
        programs(shared, image, found)
    _tno(shared, found)
    _vifb(shared, found)
    return found


def programs(shared: Path, image: str, found: Measured) -> None:
    """Every number on one image of ``values.json`` against the values of programs and of libraries."""
    known = _oracles.values(shared)
    planes = _oracles.golden(shared, image)
    ours = cache(lambda number, planes=planes: _oracles.score(number, planes))
    for claim, said in claims("values"):
        largest = found.claims[claim]
        theirs = known.get((claim.theirs, claim.program), {}).get(image)
        if theirs is not None:
            largest.add(image, ours(claim.number), theirs, said["atol"])
    for fault, number, said in faults("values"):
        largest = found.faults[fault]
        theirs = known.get((said["metric"], fault.program), {}).get(image)
        if theirs is not None:
            largest.add(image, ours(number), theirs, skip_undefined=True)
    if image in libraries.IMAGES:
        arrays = [p.x[0].double().numpy() for p in planes]
        for claim, library in zip(library_claims(), libraries.LIBRARIES, strict=True):
            theirs = library.run(*arrays)
            if theirs is not None:
                found.claims[claim].add(image, ours(claim.number), theirs)


def _tno(shared: Path, found: Measured) -> None:
    sheet = _oracles.published(shared, "tno")
    for image in sorted({image for image, _ in sheet["EN"]}):
        for method in TNO:
            planes = _oracles.tno(shared, image, method)
            for claim, said in claims("tno"):
                theirs = sheet[claim.theirs][image, method]
                ours = _oracles.score(claim.number, planes)
                found.claims[claim].add(f"{method} {image}", ours, theirs, said["atol"])
            for fault, number, said in faults("tno"):
                theirs = sheet[said["metric"]][image, method]
                found.faults[fault].add(image, _oracles.score(number, planes), theirs)


def _vifb(shared: Path, found: Measured) -> None:
    sheet = _oracles.published(shared, "vifb")
    images = sorted({image for image, _ in sheet["Entropy"]})
    found.images = len(images)
    for image in images:
        for method in (*VIFB, *OTHERS):
            planes = _oracles.vifb(shared, image, method)
            for claim, said in claims("vifb"):
                number, joined = claim.number, said.get("joined", False)
                ours = _oracles.score(number, _oracles.vifb(shared, image, method, True) if joined else planes)
                theirs = sheet[claim.theirs][image, method]
                agrees = float(f"{ours:.5g}") == theirs
                found.digits[number, method] += agrees
                found.vifb[number, method].add(image, ours, theirs)
                if method in VIFB:
                    found.claims[claim].add(f"{method} {image}", ours, theirs, said["atol"])
                    if not agrees:
                        found.apart.append((number, image, method, f"{theirs:.5g}", f"{ours:.7g}"))


def unclaimed(shared: Path) -> list[str]:
    """Values at hand that neither a claim nor a fault speaks of; published digits appear in the sheets."""
    spoken = {(c.theirs, c.program) for c, _ in claims("values")}
    spoken |= {(said["metric"], fault.program) for fault, _, said in faults("values")}
    return [
        f"{m} of {i} is not accounted for"
        for m, i in sorted(set(_oracles.values(shared)) - spoken)
        if "(published" not in m and m not in NOT_OFFERED
    ]
