"""A few cases of each kind of the campaign, and that its checks would notice."""

from __future__ import annotations

import json
import pickle
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.faults.campaign import kills, record
from tests.faults.campaign.cases import Verdict, told
from tests.faults.campaign.checked import Canary, bombs
from tests.faults.campaign.forks import Ended
from tests.faults.campaign.jobs import Job, differing, results

WANTED = {"kills": 160, "disk": 40, "crafted": 100, "images": 60, "archives": 60}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the campaign is for Linux")
@pytest.mark.slow
def test_a_few_cases_of_each_kind(tmp_path: Path) -> None:
    out, page = tmp_path / "campaign.json", tmp_path / "page.md"
    page.write_text(f"before\n{record.BEGIN}\n{record.END}\nbehind\n")
    command = [sys.executable, "-m", "tests.faults.campaign", "--quick", "--out", str(out), "--page", str(page)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found.keys() == WANTED.keys()
    assert all(kind["cases"] >= 2 and kind["faulty"] == 0 for kind in found.values())
    assert "| Disk full | 2 | 0 |" in page.read_text()


def test_a_bomb_makes_the_canary(tmp_path: Path) -> None:
    canary = Canary(tmp_path)
    for bomb in bombs(canary):
        with suppress(Exception):
            pickle.loads(pickle.dumps(bomb))
        assert canary.faults() == ["CODE WAS EXECUTED"]
        assert canary.faults() == []


@pytest.mark.parametrize(
    ("code", "err", "fault"),
    [
        (70, "internal error: X", "exit code 70"),
        (2, "internal error: X", "internal error"),
        (1, "Traceback (most recent call last):", "traceback"),
        (2, "", "refused without a word"),
        (-9, "", "exit code -9"),
    ],
)
def test_a_bad_end_is_a_fault(code: int, err: str, fault: str) -> None:
    assert any(line.startswith(fault) for line in told(Ended(code, "", err, 0.0, 0)))
    assert not told(Ended(2, "", "error: the file is damaged", 0.0, 0))


def test_a_signal_without_its_message_is_a_fault() -> None:
    job = Job("eval", (), (), "eval")
    good = Ended(143, "", "stopped; finished images are kept", 0.0, 0)
    assert not kills.asked_to_end(job, good, signal.SIGTERM, True)
    for code, err in ((130, good.err), (0, ""), (143, "bye")):
        assert kills.asked_to_end(job, Ended(code, "", err, 0.0, 0), signal.SIGTERM, True)


def test_whatever_differs_is_seen(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("a")
        (tmp_path / name / "command").write_text(f"--out {tmp_path / name}")
    one = results(tmp_path / "one")
    assert not differing(one, results(tmp_path / "two"))
    (tmp_path / "two/.b.part").write_text("")
    (tmp_path / "two/a").write_text("b")
    assert differing(one, results(tmp_path / "two")) == [".b.part", "a"]


def test_figures_count_what_was_found() -> None:
    verdicts = [
        Verdict("eval", "1", "killed"),
        Verdict("eval", "2", "killed", ("lost",)),
        Verdict("train", "3", "killed"),
    ]
    text = record.figures({"kills": record.kind_of(verdicts, 3.2, 0)})
    assert "| Ended in the middle | 3 | 1 | 3 |" in text
    assert "| eval | 2 | 2 killed |" in text


def test_the_page_holds_the_figures_of_a_whole_run() -> None:
    text = (REPO / "docs/reliability.md").read_text()
    figures = text.split(record.BEGIN)[1].split(record.END)[0]
    for kind, count in WANTED.items():
        cases, faulty = re.findall(rf"^\| {record.TITLES[kind]} \| (\d+) \| (\d+) \|", figures, re.MULTILINE)[0]
        assert int(cases) >= count
        assert faulty == "0"
