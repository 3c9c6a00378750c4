"""The meta step against finite differences, in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionbench.training.functional import call, inner_update, outer_gradient, restored, second_order, trainable


class Attention(nn.Module):
    """A small network with fused attention, normalisation and a weight that is used under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 12)
        self.last = nn.Linear(4, 4)
        self.again = self.last
        self.norm = nn.BatchNorm1d(4)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.first(self.norm(x))[None, None].chunk(3, -1)
        return self.again(F.gelu(self.last(F.scaled_dot_product_attention(q, k, v)[0, 0])))


def make() -> tuple[Attention, nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    loss = nn.Sequential(nn.Linear(4, 3), nn.Softplus())
    return Attention().double(), loss.double(), torch.randn(6, 4).double(), torch.randn(6, 4).double()


def outer(
    net: nn.Module, loss: nn.Module, x: Tensor, other: Tensor, steps: int = 1, checkpointed: bool = False
) -> Tensor:
    """Loss on `other` of a network that has learned on `x` from a learned loss."""
    parameters = trainable(net)
    for _ in range(steps):
        y = call(net, parameters, x, checkpointed=checkpointed, keep_buffers=True)
        parameters = inner_update(loss(y).square().mean(), parameters, 0.3)
    return (call(net, parameters, other, checkpointed=checkpointed, keep_buffers=True) - other).square().mean()


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("steps", [1, 2])
def test_meta_gradient(checkpointed: bool, steps: int) -> None:
    net, loss, x, other = make()
    with second_order():
        value = outer(net, loss, x, other, steps, checkpointed)
        found = outer_gradient(value, [*loss.parameters(), *net.parameters()])
    every = [*loss.parameters(), *net.parameters()]
    numeric = [torch.zeros_like(p) for p in every]
    for parameter, gradient in zip(every, numeric, strict=True):
        for i in range(parameter.numel()):
            values = []
            for h in (1e-5, -1e-5):
                parameter.data.view(-1)[i] += h
                with second_order():
                    values.append(outer(net, loss, x, other, steps).item())
                parameter.data.view(-1)[i] -= h
            gradient.view(-1)[i] = (values[0] - values[1]) / 2e-5
    for analytic, expected in zip(found, numeric, strict=True):
        assert float((analytic - expected).norm()) <= 1e-7 * max(1e-2, float(expected.norm()))
    assert found[len(list(loss.parameters()))].shape == (2,)  # unused: zeros
    assert any(float(g.norm()) > 1e-4 for g in found[:2])


def test_without_math_attention_there_is_no_second_derivative() -> None:
    net, loss, x, other = make()
    with second_order():
        outer_gradient(outer(net, loss, x, other), loss.parameters())
    value = call(net, inner_update(net(x).square().mean(), net, 0.1), other).mean()
    with pytest.raises(RuntimeError, match="not implemented"):
        outer_gradient(value, net.parameters())


def test_one_step_is_sgd() -> None:
    net, _, x, _ = make()
    new = inner_update(net(x).square().mean(), net, 0.1)
    optimiser = torch.optim.SGD([p for n, p in net.named_parameters() if n != "unused"], lr=0.1)
    net(x).square().mean().backward()
    optimiser.step()
    assert new["unused"] is net.unused
    assert "again.weight" not in new
    for name, parameter in trainable(net).items():
        torch.testing.assert_close(new[name], parameter, rtol=0, atol=1e-15)


def test_the_module_is_left_alone() -> None:
    net, _, x, _ = make()
    before = dict(net.named_parameters(remove_duplicate=False))
    assert "again.weight" in before
    call(net, inner_update(net(x).mean(), net, 0.1), x)
    after = dict(net.named_parameters(remove_duplicate=False))
    assert all(after[name] is parameter for name, parameter in before.items())


def test_buffers() -> None:
    net, _, x, _ = make()
    before = {k: v.clone() for k, v in net.named_buffers()}
    call(net, trainable(net), x, keep_buffers=True)
    assert all(torch.equal(v, before[k]) for k, v in net.named_buffers())
    call(net, trainable(net), x)
    assert not torch.equal(net.norm.running_mean, before["norm.running_mean"])


def test_restored() -> None:
    net, _, x, other = make()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    x.requires_grad_()
    with restored(net):
        net(other).square().mean().backward()
        optimiser.step()
        moved = net.last.weight.detach().clone()
        (gradient,) = torch.autograd.grad(net(x).square().mean(), x)
    assert gradient.abs().sum() > 0
    assert not torch.equal(moved, net.last.weight)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert optimiser.state[net.last.weight]["step"] == 1
