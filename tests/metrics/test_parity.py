"""The certificate holds, and says so for a reason."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import parity
from _parity.measure import Claim, Measured, deviation, programs
from _parity.page import Deviation


@pytest.mark.real
def test_numbers_of_two_images_are_as_near_as_claimed(shared):
    measured = Measured()
    for image in ("tno_05_F_DenseFuse", "msrs_00906N_F_max"):
        programs(shared, image, measured)
    compared = {claim: largest for claim, largest in measured.claims.items() if largest.images}
    assert len(compared) > 100
    assert not Measured(claims=compared).wrong()


@pytest.mark.real
@pytest.mark.slow
def test_every_number_is_as_near_as_claimed(shared):
    """Every reference value and published number a card speaks of; libraries where they are installed."""
    lines = parity.check(shared)
    assert not lines, "\n".join(lines)


def test_certificate_and_cards_make_the_same_claims():
    lines = parity.check(None)
    assert not lines, "\n".join(lines)


def test_a_changed_claim_is_noticed(tmp_path):
    page = parity.PAGE.read_text(encoding="utf-8")
    for old, new in [
        ("| vif@tang-uint8 | VIF | 2e-8 |", "| vif@tang-uint8 | VIF | 1e-8 |"),
        ("| en@bits | EN | HaowenBai/TDFusion |", "| en@bits | EN | nobody |"),
        ("| qw@paper |", "| qw@other |"),
    ]:
        assert page.count(old) == 1
        (tmp_path / "page.md").write_text(page.replace(old, new), encoding="utf-8")
        assert parity.check(None, tmp_path / "page.md")
    assert "not measured" in "\n".join(parity.check(None, tmp_path / "none.md"))


def test_changed_data_are_noticed(tmp_path):
    data = parity.DATA.read_text(encoding="utf-8")
    assert data.count('"theirs": "EN", "program": "HaowenBai/TDFusion", "images": 16') == 1
    (tmp_path / "data.json").write_text(data.replace('"HaowenBai/TDFusion", "images": 16', '"x", "images": 16', 1))
    assert parity.check(None, data=tmp_path / "data.json")
    (tmp_path / "data.json").write_text(data)
    assert not parity.check(None, data=tmp_path / "data.json")


def test_data_are_complete():
    for number, rows in json.loads(parity.DATA.read_text(encoding="utf-8")).items():
        for row in rows:
            assert list(row) == ["theirs", "program", "images", "claimed", "deviation", "kind"]
            assert row["images"] > 0, (number, row)
            assert row["claimed"] is None or row["deviation"] <= row["claimed"], (number, row)


def test_claims_that_do_not_hold_are_named():
    key = Claim("en@bits", "EN", "someone", 1e-9, "program")
    measured = Measured()
    assert not measured.claims[key].images
    assert measured.wrong() == ["en@bits EN someone: off by 0 at no image, claimed 1e-09"]
    measured.claims[key].add("a", 1.0, 1.0)
    assert not measured.wrong()
    measured.claims[key].add("b", 1.0, 1.1)
    assert "off by 0.0909 at b" in measured.wrong()[0]


def test_deviation():
    assert deviation(1.0, -1.0) == 2
    assert deviation(0.0, 1e-13, atol=1e-12) == deviation(math.nan, math.nan) == 0
    assert deviation(math.nan, 1.0) == math.inf


def test_bounds_are_rewritten_only_when_they_are_left():
    small = Deviation(3e-16)
    assert small.text(None) == "1e-12"
    assert Deviation(1.5e-12).text("1e-12") == "1e-12"
    assert Deviation(2.5e-12).text("1e-12") == "5e-12"
    assert Deviation(3e-8).text(None) == "5e-8"
    assert Deviation(3e-8).text("1e-7") == "1e-7"
    assert Deviation(3e-8).text("2e-7") == "5e-8"
    assert Deviation(2.5e-5).within(3e-5).text(None) == "3e-5"
    assert Deviation(3.5e-5).within(3e-5).text(None) == "5e-5"  # and wrong() says so
    assert Deviation(math.inf).text("1e-12") == "a value is missing"
