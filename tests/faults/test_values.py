"""Checkpoints and settings that hold what no network or recipe can use: refused in one line, in little memory."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fusionbench.errors import FusionbenchError, WeightsError
from fusionbench.plugins.weights import packaged, read_tensors
from fusionbench.tasks.segmentation.recipe import SegmentationSettings
from tests.conftest import fusionbench


def good() -> dict[str, Tensor]:
    """What a network of TDFusion is saved as."""
    return load_file(packaged("tdfusion")[0].path)


def expanded() -> object:
    return {"a": torch.ones(1).expand(10**10)}


def overlapping() -> object:
    return {"a": torch.ones(2000).as_strided((1000, 1000, 1000), (1, 1, 0))}


def many_views() -> object:
    one = torch.ones(1000, 1000)
    return {str(number): one.view(-1) for number in range(1000)}


def sparse() -> object:
    return {"a": torch.sparse_coo_tensor(torch.zeros(1, 1, dtype=torch.long), [1.0], (10**12,))}


def compressed_rows() -> object:
    return {"a": torch.ones(3, 3).to_sparse_csr()}


def quantised() -> object:
    return {"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}


def complex_numbers() -> object:
    return {"a": torch.ones(3, dtype=torch.complex64)}


def nested() -> object:
    return {"model": {"net": [{"a": torch.ones(1).expand(10**10)}]}}


BAD = [expanded, overlapping, many_views, sparse, compressed_rows, quantised, complex_numbers, nested]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", BAD)
def test_tensors_that_are_no_plain_numbers(tmp_path: Path, make: Callable[[], object]) -> None:
    torch.save(make(), tmp_path / "a.pth")
    with pytest.raises(WeightsError) as caught:
        read_tensors(tmp_path / "a.pth")
    assert "\n" not in str(caught.value)
    done = fusionbench("weights", "add", "tdfusion", tmp_path / "a.pth", FUSIONBENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 2
    assert "internal error" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_checkpoint_that_unpacks_to_much_more(tmp_path: Path) -> None:
    saved = io.BytesIO()
    torch.save({"a": torch.zeros(30_000_000)}, saved)
    with zipfile.ZipFile(saved) as plain, zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as small:
        for info in plain.infolist():
            small.writestr(info.filename, plain.read(info))
    assert (tmp_path / "a.pth").stat().st_size < 200_000
    with pytest.raises(WeightsError, match="bytes that unpack to many more; refused"):
        read_tensors(tmp_path / "a.pth")


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_weights_that_are_not_finite(tmp_path: Path, value: float) -> None:
    state = good()
    list(state.values())[3].view(-1)[0] = value
    torch.save(state, tmp_path / "a.pth")
    done = fusionbench("weights", "add", "tdfusion", tmp_path / "a.pth", FUSIONBENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 2
    assert "holds numbers that are infinite or none (NaN)" in done.stderr
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


FILES: list[object] = [
    {"model": {"a": torch.ones(3)}, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
    {"state_dict": 3},
    {1: torch.ones(3)},
    {(1, 2): torch.ones(3)},
    [1, 2],
    torch.ones(3),
    3,
    "text",
    None,
    {},
]


@pytest.mark.parametrize("state", FILES, ids=range(len(FILES)))
@pytest.mark.parametrize("method", ["refusion", "tdfusion", "cldyn"])
def test_files_that_are_no_checkpoint_of_a_method(tmp_path: Path, state: object, method: str) -> None:
    torch.save(state, tmp_path / "a.pth")
    done = fusionbench("weights", "add", method, tmp_path / "a.pth", FUSIONBENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 2
    assert "not a checkpoint of" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_good_file_is_taken_and_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "weights" / "tdfusion"
    folder.mkdir(parents=True)
    (folder / ".old.999999.part").write_bytes(b"x")
    os.utime(folder / ".old.999999.part", (0, 0))
    torch.save(good(), tmp_path / "a.pth")
    done = fusionbench("weights", "add", "tdfusion", tmp_path / "a.pth", FUSIONBENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in folder.iterdir()) == ["a.json", "a.safetensors"]


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"flip": 2}, "flip=2: must be 0 to 1"),
        ({"flip": -0.1}, "flip=-0.1: must be 0 to 1"),
        ({"clip": -1}, "clip=-1: must be at least 0"),
        ({"optimiser_lr": float("inf")}, "optimiser_lr=inf: needs a finite number"),
        ({"clip": float("nan")}, "clip=nan: needs a finite number"),
    ],
)
def test_settings_that_mean_nothing(setting: dict[str, Any], reason: str) -> None:
    with pytest.raises(FusionbenchError, match=reason):
        SegmentationSettings(network="x", **setting)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
def test_options_are_finite(value: str) -> None:
    done = fusionbench("eval", "--methods", f"gff[eps1={value}]", "--dry-run")
    assert done.returncode == 2
    assert f"option eps1={value} is not a finite number" in done.stderr


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
@pytest.mark.parametrize(
    "words",
    [
        ("merge", "nothing", "--most"),
        ("explain", "vif"),
        ("train", "densefuse", "--datasets=msrs", "--max-seconds"),
    ],
)
def test_numbers_are_finite(words: tuple[str, ...], value: str) -> None:
    done = fusionbench(*words, *(("--",) if words[0] == "explain" else ()), value)
    assert done.returncode == 2
    assert "is not a finite number" in done.stderr or "is not in the range" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--methods=gff[r1=3,r1=4]", "--datasets=msrs"), "error: gff: option r1 is given twice"),
        (
            ("--methods=gff", "--datasets=folder="),
            "error: dataset 'folder=': names no folder behind the =;",
        ),
        (("--methods=gff", "--datasets=folder+shift4="), "names no folder behind the ="),
        (("--images=X=", "--datasets=msrs"), "error: --images X=: write NAME=DIR"),
        (
            ("--methods=gff", "--data=folder=a", "--data=folder=b"),
            "error: --data folder=b: folder has another folder already, a",
        ),
    ],
)
def test_what_is_asked_twice_or_left_empty(tree: Path, words: tuple[str, ...], said: str) -> None:
    """Not the last one, nor the folder that one happens to be in."""
    done = fusionbench("eval", *words, FUSIONBENCH_DATA=str(tree))
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("form", ["{}=", "{} "])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("eval", "--methods=average", "--datasets=msrs"), "--out"),
        (("eval", "--methods=average", "--datasets=msrs"), "--data-root"),
        (("leaderboard",), "--out"),
        (("merge", "one"), "--out"),
        (("fuse", "average", "--ir=a.png", "--vis=b.png"), "--output"),
        (("fuse", "average", "--ir=a.png", "--vis=b.png"), "-o"),
        (("data", "synth", "--like=msrs"), "--out"),
        (("site",), "--out"),
        (("train", "densefuse", "--datasets=msrs"), "--out"),
        (("figure", "ranks"), "-o"),
    ],
)
def test_an_empty_name_is_not_the_folder_that_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], option: str, form: str
) -> None:
    """As ``--out "$OUT"`` is where that variable is not set."""
    monkeypatch.chdir(tmp_path)
    given = form.format(option)
    done = fusionbench(*words, *([given] if given.endswith("=") else [option, ""]))
    assert done.returncode == 2
    assert "is empty; name a file or folder" in done.stderr
    assert [*tmp_path.iterdir()] == []
