"""doctor --gpu: right values pass, wrong ones are named; seen without a GPU."""

from __future__ import annotations

import pytest
import torch

from fusionbench.cli.gpu_check import gpu
from fusionbench.runtime.known import COMPUTED, differing
from tests.conftest import fusionbench


def test_the_processor_computes_the_known_values() -> None:
    found = list(gpu("cpu"))
    assert [f.state for f in found] == ["ok"] * (len(COMPUTED) + 1)
    assert "metrics" in found[-1].what


def test_coarse_arithmetic_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What TF32 does to the inputs: 10 bits of the fraction."""
    convolution, product = torch.nn.functional.conv2d, torch.Tensor.__matmul__

    def coarse(x: torch.Tensor) -> torch.Tensor:
        return (x * 1024).round() / 1024

    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda x, w: convolution(coarse(x), w))
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda x, y: product(coarse(x), y))
    expected = {f"{kind} {what}" for kind in ("float32", "float64") for what in ("product", "convolution")}
    assert set(differing("cpu")) == expected


def test_a_wrong_count_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    add = torch.Tensor.scatter_add_
    monkeypatch.setattr(torch.Tensor, "scatter_add_", lambda *a: add(*a).add_(1))
    assert set(differing("cpu")) == {"counts"}
    bad = [f for f in gpu("cpu") if f.state == "bad"]
    assert any("counts" in f.what for f in bad)
    assert any("mi" in f.what for f in bad)  # its histograms are counted so


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu() -> None:
    done = fusionbench("doctor", "--gpu")
    assert done.returncode == 1
    assert "bad   GPU: device cuda:" in done.stdout
