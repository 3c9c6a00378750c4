"""Two processes on the loopback give the result of one process on the same batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from fusionbench.errors import FusionbenchError
from fusionbench.training import distributed
from fusionbench.training.functional import call, inner_update, outer_gradient, second_order
from fusionbench.training.generators import fingerprint
from fusionbench.training.options import Launch
from fusionbench.training.order import Step
from tests.training.toys import CONTEXT, join, run, settings, start, together, weights


def both(name: str, out: Path, config: Any, resume: bool = False) -> list[int]:
    out.mkdir(exist_ok=True)
    processes = [start(name, out, config, resume, environment) for environment in together(2)]
    for process in processes:
        process.join(60)
        process.kill()
    return [process.exitcode for process in processes]


@pytest.mark.parametrize("name", ["quiet", "bilevel"])
def test_training(tmp_path: Path, name: str) -> None:
    config = settings(epochs=2)
    run(name, tmp_path / "one", config)
    assert both(name, tmp_path / "two", config) == [0, 0]
    one, two = ([json.loads(x) for x in (tmp_path / n / "log.jsonl").read_text().splitlines()] for n in ("one", "two"))
    assert [set(r) for r in one] == [set(r) for r in two]
    for a, b in zip(one, two, strict=True):
        assert a.pop("validation", {}).keys() == b.pop("validation", {}).keys()
        assert {**a, "kind": 0} == pytest.approx({**b, "kind": 0}, rel=1e-4)
    a, b = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-3, atol=1e-5)


def test_resume_of_two(tmp_path: Path) -> None:
    assert both("toy", tmp_path / "calm", settings(epochs=2)) == [0, 0]
    assert both("toy", tmp_path / "torn", settings(epochs=2)) == [0, 0]
    (tmp_path / "torn/previous.pt").replace(tmp_path / "torn/last.pt")
    assert both("toy", tmp_path / "torn", settings(epochs=2), resume=True) == [0, 0]
    assert (tmp_path / "calm/log.jsonl").read_bytes() == (tmp_path / "torn/log.jsonl").read_bytes()


def test_uneven_batch(tmp_path: Path) -> None:
    assert both("toy", tmp_path, settings(batch=3)) == [2, 2]
    assert (tmp_path / "error.txt").read_text() == (
        "a batch of 3 cannot be divided among 2 processes; use a multiple of 2"
    )


def test_share() -> None:
    step = Step(((0, 1, 2, 3), (4, 5)), "meta", 1)
    assert [step.share(r, 2).groups for r in (0, 1)] == [((0, 1), (4,)), ((2, 3), (5,))]
    assert step.share(0, 1) == step
    with pytest.raises(FusionbenchError, match="a batch of 4 cannot be divided among 3 processes"):
        step.share(0, 3)


# ---------------------------------------------------------------- second order


def made() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.Softplus(), nn.Conv2d(3, 1, 3)).double()
    loss = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Softplus()).double()
    return net, loss, torch.rand(4, 1, 6, 6).double(), torch.rand(4, 1, 6, 6).double()


def meta(net: nn.Module, loss: nn.Module, x: Tensor, other: Tensor, checkpointed: bool) -> list[Tensor]:
    """Outer gradients of all weights, new statistics, and a mean by weights that differ between processes."""
    with second_order():
        y = call(net, dict(net.named_parameters()), x, checkpointed=checkpointed, keep_buffers=True)
        new = inner_update(loss(y).square().mean(), net, 0.5)
        z = call(net, new, other, checkpointed=checkpointed, keep_buffers=True)
        value = distributed.weighted_mean(z.square(), (other[:, :, 2:-2, 2:-2] > 0.7).double())
        gradients = outer_gradient(value, [*loss.parameters(), *net.parameters()])
    net(x)
    return [g.detach() for g in gradients] + list(net.buffers())


def member(environment: dict[str, str], path: Path, checkpointed: bool) -> None:
    with distributed.group(launch=join(environment)):
        rank, (net, loss, x, other) = distributed.rank(), made()
        if rank:
            nn.init.zeros_(net[0].weight)  # `join` brings the first process's weights
        distributed.join([net, loss])
        part = slice(2 * rank, 2 * rank + 2)
        torch.save(meta(net, loss, x[part], other[part], checkpointed), path / f"{rank}.pt")
        net[0].weight.grad = torch.full_like(net[0].weight, float(rank)) if rank else None
        distributed.average_gradients(net.parameters())
        assert bool((net[0].weight.grad == 0.5).all())
        assert net[3].weight.grad is None
        assert distributed.gather(rank) == [0, 1]
        joined(rank)
    assert not dist.is_initialized()


class Derived(nn.BatchNorm2d):
    """A kind of batch normalisation of a method's own."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def joined(rank: int) -> None:
    """What looks at the whole batch does so in every process, and its gradient is that of one process."""
    own, whole = torch.tensor([1.0 + rank, 4.0]).double().requires_grad_(), torch.tensor([1.0, 4, 2, 4]).double()
    assert distributed.gathered(own).tolist() == [[1, 4], [2, 4]]
    distributed.gathered(own.norm()).norm().backward()
    torch.testing.assert_close(own.grad / 2, (whole / whole.norm()).chunk(2)[rank])
    counts = torch.tensor(3.0 if rank else 1.0)  # means 5 of one element and 1 of three
    assert distributed.part_of_mean(torch.tensor(1.0 if rank else 5.0), counts).item() == (1.5 if rank else 2.5)
    assert distributed.part_of_mean(torch.tensor(0.0), torch.tensor(0)).item() == 0
    torch.manual_seed(rank)
    before = fingerprint()
    numbers = distributed.drawn(lambda: torch.rand(4))
    assert (fingerprint() == before) == bool(rank)
    torch.manual_seed(0)
    expected = torch.rand(4)
    assert torch.equal(numbers, expected)
    assert torch.equal(distributed.own_share(numbers), expected[2 * rank : 2 * rank + 2])
    norm, (_, _, x, _) = Derived(1).double(), made()
    distributed.join([norm])
    assert isinstance(norm, Derived)
    torch.testing.assert_close(norm(x[2 * rank : 2 * rank + 2]), Derived(1).double()(x)[2 * rank : 2 * rank + 2])


def telling(environments: list[dict[str, str]], out: Path) -> None:
    for name, environment in zip(("toy", "bilevel"), environments, strict=True):
        lines: list[str] = []
        launch = join(environment)
        run(name, out / name, settings(epochs=1), launch=launch, note=lines.append)
        (out / f"{name}{launch.rank}.txt").write_text("\n".join(lines))


def test_dropout_is_told(tmp_path: Path) -> None:
    """Where processes draw random numbers in a step, and only there, the first says once that they differ from one."""
    pairs = zip(together(2), together(2), strict=True)
    processes = [CONTEXT.Process(target=telling, args=(list(pair), tmp_path)) for pair in pairs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
    said = "the 2 processes draw random numbers (dropout) each for itself: not one's losses"
    texts = {name: (tmp_path / f"{name}.txt").read_text() for name in ("toy0", "toy1", "bilevel0", "bilevel1")}
    assert {name: text.count(said) for name, text in texts.items()} == {
        "toy0": 1,
        "toy1": 0,
        "bilevel0": 0,
        "bilevel1": 0,
    }


@pytest.mark.parametrize("checkpointed", [False, True])
def test_second_order(tmp_path: Path, checkpointed: bool) -> None:
    members = [CONTEXT.Process(target=member, args=(e, tmp_path, checkpointed)) for e in together(2)]
    for process in members:
        process.start()
    for process in members:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in members] == [0, 0]
    expected = meta(*made(), checkpointed)
    for rank in (0, 1):
        for found, wanted in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            assert float((found - wanted).double().norm()) <= 1e-12 * max(1.0, float(wanted.double().norm()))


def test_global_batch_norm_alone() -> None:
    net, *_, x = made()
    global_, plain = distributed.GlobalBatchNorm(3).double(), nn.BatchNorm2d(3).double()
    y = net[0](x)
    torch.testing.assert_close(global_(y), plain(y))
    torch.testing.assert_close(global_.eval()(y), plain.eval()(y))


def test_no_such_gpu() -> None:
    with pytest.raises(FusionbenchError, match="device cuda:99 is not there"), distributed.group("cuda:99"):
        pass


@pytest.mark.parametrize(
    ("device", "cards", "local", "processes", "index", "backend"),
    [
        ("cuda", 2, 1, 2, 1, "nccl"),
        ("cuda", 1, 1, 2, 0, "gloo"),  # two processes on one card
        ("cuda", 2, 3, 4, 1, "gloo"),
        ("cuda:0", 2, 1, 2, 0, "gloo"),  # both told to take the first
        ("cpu", 0, 1, 2, None, "gloo"),
    ],
)
def test_cards_of_processes(
    monkeypatch: pytest.MonkeyPatch, device: str, cards: int, local: int, processes: int, index: int, backend: str
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _device: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda name, **_: begun.append(name))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    launch = Launch(rank=local, world=processes, local_rank=local, local_world=processes)
    with distributed.group(device, launch) as own:
        assert own.index == index
    assert begun == [backend]
