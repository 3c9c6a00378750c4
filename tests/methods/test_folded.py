"""The way of ReFusion's network for GPUs, run on the processor: the same numbers, in fewer passes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.inference import Passes
from fusionbench.method import Arithmetic
from fusionbench.methods.refusion.folded import FoldedNet
from fusionbench.methods.refusion.network import ReFusionNet

BF16 = Arithmetic("bf16")


def random_network(blocks: int = 2) -> ReFusionNet:
    """Random weights in which no term is idle."""
    torch.manual_seed(0)
    net = ReFusionNet(blocks=blocks)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "norm" in name or "temperature" in name:
                p.add_(0.3 * torch.randn_like(p))
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network() -> ReFusionNet:
    return random_network()


@pytest.fixture(scope="module")
def folded(network) -> FoldedNet:
    return FoldedNet(network)


def pairs(batch: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(2, batch, 1, height, width, generator=torch.Generator().manual_seed(height * 99 + width))


@settings(max_examples=20, deadline=None)
@given(batch=st.integers(1, 3), height=st.integers(1, 70), width=st.integers(1, 70))
def test_gives_what_the_network_gives(network, folded, batch, height, width):
    pair = pairs(batch, height, width)
    with torch.inference_mode():
        wanted = network(*pair)
        assert (folded(*pair) - wanted).abs().max() < 1e-5
        with BF16.running("cpu"):
            half = folded(*pair)
    assert half.dtype == torch.float32
    assert (half - wanted).abs().max() < 5e-3
    assert batch * height * width < 9 or not torch.equal(half, wanted)


def test_batch_and_single(folded):
    pair = pairs(3, 41, 60)
    with torch.inference_mode():
        single = torch.cat([folded(*(x[i : i + 1] for x in pair)) for i in range(3)])
        assert (folded(*pair) - single).abs().max() < 1e-6


def test_black_and_constant_images(network, folded):
    with torch.inference_mode():
        for level in (0.0, 1.0):
            pair = torch.full((2, 1, 1, 20, 24), level)
            assert (folded(*pair) - network(*pair)).abs().max() < 1e-5


def passes(net: torch.nn.Module, pair: torch.Tensor) -> tuple[int, int]:
    with torch.inference_mode(), Passes(pair[0, 0].numel()) as seen:
        net(*pair)
    return seen.count, seen.bytes


def test_fewer_passes(network, folded):
    pair = pairs(1, 96, 128)
    (before, moved), (now, moves) = passes(network, pair), passes(folded, pair)
    assert now < 0.8 * before
    assert moves < 0.75 * moved


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_compiled():
    net = random_network(1)
    folded, pair = FoldedNet(net), pairs(2, 37, 45)
    compiled = FoldedNet(net)
    Arithmetic(compiled=True).apply(compiled, "cpu")
    with torch.inference_mode():
        assert (compiled(*pair) - folded(*pair)).abs().max() < 1e-5
