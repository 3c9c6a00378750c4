"""Metrics of the package pyiqa as optional plugins: interface and cards, with a stand-in for the package."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fusionbench import environment
from fusionbench.plugins.cards import card
from fusionbench.plugins.registry import load_module, resolve
from tests.conftest import REPO, fusionbench, make_tree

PLUGINS = REPO / "contrib/pyiqa"
asked: list[str] = []


def create_metric(name: str, device: torch.device) -> Callable[..., Tensor]:
    """As pyiqa's: takes RGB of 0..1, ``[N,3,H,W]``, in float32, and gives one value an image."""
    asked.append(name)

    def measure(picture: Tensor, reference: Tensor | None = None) -> Tensor:
        for x in (picture, picture if reference is None else reference):
            assert x.shape[1] == 3
            assert x.dtype == torch.float32
            assert 0 <= x.min() <= x.max() <= 1
            assert x.device == device
        return (picture - (0 if reference is None else reference)).abs().mean((1, 2, 3))

    return measure


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONBENCH_PLUGINS", str(PLUGINS))
    environment.apply()
    load_module(card("metric", "lpips")).metric.cache_clear()


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("pyiqa")
    vars(module).update(create_metric=create_metric, list_models=lambda: ["lpips", "lpips-vgg", "niqe"])
    monkeypatch.setitem(sys.modules, "pyiqa", module)
    asked.clear()


@pytest.mark.usefixtures("standin")
@pytest.mark.parametrize("name", ["lpips", "niqe"])
def test_the_contract(name: str) -> None:
    done = fusionbench("validate", name, FUSIONBENCH_PLUGINS=str(PLUGINS))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("standin")
def test_both_sources_count_and_variants_are_other_networks() -> None:
    lpips = resolve("metric", "lpips")
    fused, ir, vis = (torch.full((2, 1, 64, 64), level, dtype=torch.uint8) for level in (51, 102, 255))
    assert lpips(fused, ir, vis) == pytest.approx([(0.2 + 0.8) / 2] * 2)
    lpips(fused, ir, vis, network="lpips-vgg")
    assert asked == ["lpips", "lpips-vgg"]
    assert lpips(fused[..., :63], ir[..., :63], vis[..., :63]).isnan().all()


@pytest.mark.usefixtures("standin")
def test_niqe_looks_at_the_fused_image_alone() -> None:
    fused, ir, vis = (torch.full((1, 192, 192), level, dtype=torch.uint8) for level in (51, 102, 255))
    assert resolve("metric", "niqe")(fused, ir, vis) == pytest.approx([0.2])


@pytest.mark.usefixtures("standin")
def test_eval_scores_with_it(tmp_path: Path) -> None:
    make_tree(tmp_path / "data", 2, (64, 80))
    words = (
        "eval",
        "--methods",
        "average",
        "--datasets",
        "msrs",
        "--data-root",
        tmp_path / "data",
        "--metrics",
        "lpips,en",
    )
    done = fusionbench(*words, "--out", tmp_path / "results", FUSIONBENCH_PLUGINS=str(PLUGINS))
    assert done.returncode == 0, done.stderr
    assert re.search(r"LPIPS@alex ↓.*\n.*\n\| average \|[ *]*0\.\d+", done.stdout), done.stdout


def test_without_the_package_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    picture = torch.zeros(1, 64, 64, dtype=torch.uint8)
    with pytest.raises(Exception, match="not installed: pip install pyiqa"):
        resolve("metric", "lpips")(picture, picture, picture)
    assert "not run here" in fusionbench("show", "lpips", FUSIONBENCH_PLUGINS=str(PLUGINS)).stdout
