"""The main job on real images, against numbers that none of us made."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import fusionbench

pytestmark = pytest.mark.real
PUBLISHED = ("DenseFuse", "RFN-Nest", "SeAFusion", "U2Fusion")


def test_published_tno_values_per_image(shared: Path, tmp_path: Path) -> None:
    """Oracle: the spreadsheet published with the fused pictures (Linfeng-Tang/Evaluation-for-Image-Fusion)."""
    images = [f"--images={name}={shared / 'reference/fused' / name / 'TNO'}" for name in PUBLISHED]
    done = fusionbench(
        "eval", *images, "--datasets=tno", "--metrics=en,scd", "--data-root", shared / "datasets", "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    fusionbench("export", "--out", tmp_path, "-o", tmp_path / "s.parquet")
    ours = pd.read_parquet(tmp_path / "s.parquet")
    ours["method"] = ours["entry"].str.extract(r"\[(.*)\]")
    ours["name"] = ours["metric"].str.partition("@")[0].str.upper()
    sheet = pd.read_csv(shared / "reference/tno_published_metrics.csv", float_precision="round_trip")
    sheet["id"] = sheet["image"].str.replace(".png", "", regex=False)
    both = sheet.merge(
        ours, left_on=["id", "method", "metric"], right_on=["id", "method", "name"], suffixes=("_theirs", "")
    )
    assert len(both) == 14 * 4 * 2
    assert (both["value_theirs"] - both["value"]).abs().max() < 1e-12


@pytest.mark.parametrize("name", ["msrs", "tno", "m3fd", "llvip", "fmb", "vifb"])
def test_every_dataset_at_hand_is_scored(shared: Path, tmp_path: Path, name: str) -> None:
    done = fusionbench(
        "eval",
        "--methods=visible,average",
        "--metrics=en,ssim",
        "--datasets",
        name,
        "--limit=2",
        "--json",
        "--data-root",
        shared / "datasets",
        "--out",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    table = json.loads(done.stdout)["tables"][0]
    assert table["images"] == 2
    assert "of" in table["caption"]
    rows = {r["id"]: r["scores"] for r in table["rows"]}
    assert rows["average"]["ssim@tdfusion"]["mean"] > 0.3


@pytest.fixture(scope="module")
def checkpoints(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache with the weights that the committed tables name."""
    cache = str(tmp_path_factory.mktemp("cache"))
    path = shared / "weights/ReFusion/ReFusion_IVIF.pth"
    assert fusionbench("weights", "add", "refusion", path, FUSIONBENCH_CACHE=cache).returncode == 0
    return cache


SLOW = [
    *(
        "llvip-fusion@v1.partial-3-of-3463",
        "fmb-fusion@v1.partial-5-of-280",
        "tno-fusion@v1",
        "scenes-vt5000-fusion@v1",
    ),
    *("tno-fusion@v1+profile=ivif_zoo", "tno-fusion@v1+profile=tang"),
    *("tasks/llvip-fusion@v1.partial-3-of-3463", "tasks/scenes-vt5000-fusion@v1"),
]
QUICK = ["tno-fusion@v1+profile=tang-uint8"]


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_committed_table_is_reproduced(shared: Path, tmp_path: Path, checkpoints: str, name: str) -> None:
    """Every row, column, rank and count; `leaderboard --check` does all tables."""
    from tests.conftest import REPO

    done = fusionbench(
        *("reproduce", REPO / f"leaderboards/{name}.json", "--data-root", shared / "datasets", "--out", tmp_path),
        *("--images-root", shared / "reference/fused", "--json"),
        FUSIONBENCH_CACHE=checkpoints,
    )
    found = json.loads(done.stdout)
    assert found["differences"] == []
    assert (done.returncode, found["state"]) == (0, "same")
    assert bool(found["recorded"]) == name.startswith("tasks/")
