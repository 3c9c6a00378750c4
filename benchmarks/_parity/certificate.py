"""The certificate: ``docs/metrics-parity.md``, and ``metrics/parity.json`` with the same bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import _oracles

from . import libraries
from .measure import OTHERS, VIFB, Claim, Fault, Measured, claims, library_claims
from .page import Deviation, Page, Row, tidy

INTRO = """\
How far every number of ours is from the same number of others: other programs run on the same pictures, tables of
results with the pictures they were computed from, and libraries. `python benchmarks/parity.py` measures it and writes
this page, and the same bounds to `metrics/parity.json`, from which `fusionbench show METRIC` tells them;
`python benchmarks/parity.py --check` measures again and fails where either no longer holds, and so does a test.

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

RESULTS = """\
21 pictures by eight methods, {claims} metrics, MATLAB values in print to five digits: 2184 values. Each channel is
scored and the mean taken, but SF takes the three channels side by side. Deviations are for the first six methods."""

DIGITS = """\
**SwinFusion and YDTR do not agree**: their released pictures are not the ones that were scored. Entropy is a matter of
the histogram alone, on which all programs agree, and it already differs there, from the third or fourth digit on; the
other numbers differ with it, and no claim is made for these two."""

LIBRARIES = """\
On {images}, in float64. Libraries score one pair: the mean or the sum over both
sources is compared, as the variant says. Where the two are known to differ, none is claimed and the reason given.

{left}."""

FAULTS = """\
From the metrics' cards. Where their values are at hand, the last columns tell how far they are from the number of ours
that computes what was meant, to two digits (opposite signs make more than 1). Many have a variant of ours that computes
the same wrong value on purpose, see the first table; `tests/metrics/test_known_faults.py` reproduces the others."""


def render(measured: Measured | None, old: str) -> tuple[str, str]:
    """The page and the data; what was not measured, and what still holds, as it stands on the `old` page."""
    page, data = Page(old), dict[str, list[dict[str, Any]]]()
    values, tno, vifb = ([claim for claim, _ in claims(file)] for file in ("values", "tno", "vifb"))
    page.head(1, "Parity of the metrics", INTRO, _summary())
    page.head(2, "Other programs on the same pictures", VALUES)
    _claims(page, data, "theirs | program | claimed | images", values, measured)
    page.head(2, "The published TNO sheet", SHEET)
    _claims(page, data, "theirs | claimed | values", tno, measured)
    page.head(2, "The published VIFB results", RESULTS.format(claims=len(vifb)))
    _claims(page, data, "theirs | claimed | values", vifb, measured)
    page.head(3, "Digit by digit", DIGITS)
    if measured is None:
        page.keep(DIGITS)
    else:
        _digits(page, measured, vifb)
    left = "; ".join(f"{name}: not measured, {why}" for name, why in libraries.NOT_INSTALLED.items())
    images = ", ".join(f"`{name}`" for name in libraries.IMAGES)
    page.head(2, "Libraries", LIBRARIES.format(images=images, left=left))
    _claims(page, data, "call | library | claimed | images", library_claims(), measured)
    page.head(2, "No oracle", "Variants for which nobody else's value is at hand, and why:")
    page.table("number | note on the card", _without_oracle())
    page.head(2, "Known faults of others", FAULTS)
    page.table("metric | program | what | against | images | deviation", _faults(measured), right=2)
    return "\n".join(page.lines).rstrip("\n") + "\n", _json(data)


def _claims(
    page: Page, data: dict[str, list[dict[str, Any]]], columns: str, stated: list[Claim], measured: Measured | None
) -> None:
    """One table of claims, and the same as data."""
    rows: list[Row] = []
    for c in stated:
        found = measured.claims.get(c) if measured else None
        program = () if c.kind == "sheet" else (c.program,)
        cells = (found.count, Deviation(found.value).within(c.claimed)) if found else None
        rows.append(((c.number, c.theirs, *program, tidy(c.claimed)), cells))
    for c, (count, bound) in zip(stated, page.table(f"number | {columns} | deviation", rows, right=3), strict=True):
        facts = {"theirs": c.theirs, "program": c.program, "images": _number(count.partition(" ")[0], int)}
        facts |= {"claimed": c.claimed, "deviation": _number(bound, float), "kind": c.kind}
        data.setdefault(c.number, []).append(facts)


def _number(text: str, kind: type[int] | type[float]) -> float | None:
    """A number as it is on the page, None where there are words."""
    try:
        return kind(text)
    except ValueError:
        return None


def _json(data: dict[str, list[dict[str, Any]]]) -> str:
    """One row a line."""
    lists = [
        f"{json.dumps(number)}: [\n  " + ",\n  ".join(json.dumps(row) for row in rows) + "\n ]"
        for number, rows in sorted(data.items())
    ]
    return "{\n " + ",\n ".join(lists) + "\n}\n"


def _sorted_by_oracle() -> tuple[dict[str, str], set[str], set[str]]:
    """Every number with its card's note, those with a value of another program or sheet, those with a library's."""
    numbers = {
        f"{card['name']}@{name}": variant.get("note", "no reason on the card")
        for card in _oracles.cards().values()
        for name, variant in card["variants"].items()
    }
    programs = {claim.number for file in ("values", "tno", "vifb") for claim, _ in claims(file)}
    return numbers, programs, {claim.number for claim in library_claims() if claim.claimed is not None}


def _summary() -> str:
    numbers, programs, others = _sorted_by_oracle()
    return (
        f"{len(_oracles.cards())} metrics have {len(numbers)} variants: {len(programs)} are compared with another "
        f"program or a published table,\n{len(others - programs)} more with a library, and for "
        f"{len(set(numbers) - programs - others)} there is nothing to compare with (see No oracle)."
    )


def _without_oracle() -> Iterator[Row]:
    numbers, programs, others = _sorted_by_oracle()
    for number, note in numbers.items():
        if number not in programs | others:
            yield (number, note), ()


def _faults(measured: Measured | None) -> Iterator[Row]:
    for card in _oracles.cards().values():
        for fault in card.get("faults", []):
            key = Fault(card["name"], fault["implementation"], fault["what"])
            if "metric" not in fault:
                yield (*key, "", "", ""), ()
                continue
            found = measured and measured.faults[key]
            yield (*key, f"{card['name']}@{fault['against']}"), (found.count, f"{found.value:.2g}") if found else None


def _digits(page: Page, m: Measured, stated: list[Claim]) -> None:
    methods = (*VIFB, *OTHERS)
    total = m.images * len(VIFB)
    rows: list[Row] = []
    for n, theirs, *_ in stated:
        six = sum(m.digits[n, x] for x in VIFB)
        rows.append(((n, theirs), (*(m.digits[n, x] for x in methods), f"{six} of {total}")))
    sums = [sum(m.digits[c.number, x] for c in stated) for x in methods]
    whole = f"{sum(sums[: len(VIFB)])} of {total * len(stated)}"
    rows.append((("all", f"of {m.images * len(stated)}"), (*sums, whole)))
    page.lines += [f"Of {m.images} images, how many agree in all five digits:", ""]
    page.table(" | ".join(("number", "theirs", *methods, "first six")), rows, right=len(methods) + 1)
    page.lines += ["Largest deviation (half a unit in the fifth digit is 5e-5 at most):", ""]
    rows = [((c.number,), tuple(Deviation(m.vifb[c.number, x].value) for x in methods)) for c in stated]
    page.table(" | ".join(("number", *methods)), rows, right=len(methods))
    if m.apart:
        page.lines += ["The values of the first six methods that do not agree in all digits:", ""]
        page.table("number | image | method | published | ours", ((row, ()) for row in sorted(m.apart)))
