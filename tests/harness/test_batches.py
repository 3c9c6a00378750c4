"""Several pairs through a method at once, as graphics cards need it; a processor takes the same way where it is asked.

Oracle: the pictures of one pair at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fusionbench.evaluation.batches import Pair, fuse_pairs, together
from fusionbench.evaluation.entries import entries, usual
from fusionbench.evaluation.plan import Plan, Request, make_plan
from fusionbench.evaluation.runner import run
from fusionbench.pixels.images import read_image, write_image
from fusionbench.pixels.output_rule import OutputRule
from fusionbench.plugins.method import Context, Method
from fusionbench.results.store import Store
from tests.conftest import fusionbench, make_tree

CLASSICAL = ("average", "maximum", "visible", "laplacian", "gff", "dtcwt")
NETWORKS = ("refusion[scenes]", "tdfusion[scenes-fmb]", "cldyn[scenes]")
ODD = 2  # pair of another size
GREY = 4  # pair without colours


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven pairs; one is smaller, one has no colours."""
    root = tmp_path_factory.mktemp("batches")
    make_tree(root, 7)
    for kind in ("ir", "vi"):
        path = sorted((root / "MSRS/test" / kind).iterdir())[ODD]
        write_image(path, read_image(path)[:, :40, :48])
    path = sorted((root / "MSRS/test/vi").iterdir())[GREY]
    write_image(path, read_image(path)[:1].repeat(3, 0))
    return root


def plan_of(data: Path, methods: tuple[str, ...], **more: object) -> Plan:
    return make_plan(Request(methods=methods, datasets=("msrs",), metrics=("en",), data_root=data, **more))


def pictures(data: Path, out: Path, methods: tuple[str, ...], **more: object) -> dict[tuple[str, str], bytes]:
    """(entry, image) to the bytes of its file."""
    plan = plan_of(data, methods, **more)
    with Store(out) as store:
        outcome = run(plan, store)
        assert not outcome.failures
        (source,) = plan.sources
        found = {}
        for entry in plan.entries:
            hashes = {i: source.dataset.hash(source.split, i) for i in source.ids}
            for ident, fused in store.fused(entry.key, source.label, source.split, hashes).items():
                found[entry.id, ident] = (out / fused.path).read_bytes()
    return found


def share_that_differs(one: dict[tuple[str, str], bytes], two: dict[tuple[str, str], bytes], folder: Path) -> float:
    """Of all values; none may differ by more than a level."""
    assert one.keys() == two.keys()
    differ, values = 0, 0
    for key in one:
        levels = []
        for name, content in (("one.png", one[key]), ("two.png", two[key])):
            (folder / name).write_bytes(content)
            levels.append(read_image(folder / name).astype(int))
        assert levels[0].shape == levels[1].shape
        off = np.abs(levels[0] - levels[1])
        assert off.max() <= 1, key
        differ, values = differ + int((off > 0).sum()), values + off.size
    return differ / values


def test_methods_without_a_network_give_the_same_bytes(data: Path, tmp_path: Path) -> None:
    alone = pictures(data, tmp_path / "alone", CLASSICAL)
    assert len(alone) == len(CLASSICAL) * 7
    assert pictures(data, tmp_path / "three", CLASSICAL, batch=3, jobs=3) == alone


def test_networks_differ_by_a_level_at_most(data: Path, tmp_path: Path) -> None:
    alone = pictures(data, tmp_path / "alone", NETWORKS)
    share = share_that_differs(alone, pictures(data, tmp_path / "four", NETWORKS, batch=4), tmp_path)
    assert share < 1e-3


def test_the_same_bytes_whatever_was_left_to_do(data: Path, tmp_path: Path) -> None:
    whole = pictures(data, tmp_path / "whole", NETWORKS[:1], batch=4, jobs=1)
    for limit in (1, 3, 6):
        pictures(data, tmp_path / "parts", NETWORKS[:1], batch=4, limit=limit)
    assert pictures(data, tmp_path / "parts", NETWORKS[:1], batch=4, jobs=3) == whole


def test_pairs_at_once_are_in_the_key_and_below_the_table(data: Path, tmp_path: Path) -> None:
    (entry,), _ = entries("gff")
    keys = {batch: entry.on("cpu", batch=batch).key for batch in (0, 1, 2, 3)}
    assert keys[0] == keys[1] == entry.key
    assert len(set(keys.values())) == 3
    assert entry.on("cuda").batch == 1
    assert entry.on("cuda:1", batch=0).batch == usual("cuda") == 8
    words = ("eval", "--methods", "average,gff", "--datasets", "msrs", "--data-root", data, "--out", tmp_path)
    done = fusionbench(*words, "--metrics", "en", "--batch", 2)
    assert done.returncode == 0, done.stderr
    assert "pictures made on cpu in float32, 2 at once." in done.stdout
    assert fusionbench(*words, "--batch", 0).returncode == 2


@pytest.mark.parametrize(
    ("batch", "size", "count"),
    [(1, (32, 32), 1), (8, (32, 32), 8), (8, (480, 640), 8), (8, (768, 1024), 3), (8, (2160, 3840), 1)],
)
def test_larger_pairs_are_fewer(batch: int, size: tuple[int, int], count: int) -> None:
    assert together(batch, size) == count


class Own(Method):
    """Does what a test says with the batch."""

    def __init__(self, does: Callable[[Tensor, Tensor, Context], Tensor]) -> None:
        super().__init__()
        self.does, self.sizes = does, []

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        self.sizes.append(len(ir))
        assert context is not None
        return self.does(ir, vis, context)


def made(method: Method, pairs: int = 3, batch: int = 2) -> list[np.ndarray | BaseException]:
    draw = np.random.default_rng(0)
    given = [Pair(f"p{i}", *(draw.integers(0, 256, (c, 8, 9), dtype=np.uint8) for c in (1, 3))) for i in range(pairs)]
    return fuse_pairs(method, OutputRule(chroma="none"), given, "cpu", Context([], "msrs", "test"), batch)


def test_a_batch_is_always_full() -> None:
    method = Own(lambda ir, vis, context: ir)
    assert all(isinstance(one, np.ndarray) for one in made(method))
    assert method.sizes == [2, 2]


def broken(ir: Tensor, vis: Tensor, context: Context) -> Tensor:
    if "p1" in context.ids:
        raise SystemExit("enough of p1")
    return ir


def nan(ir: Tensor, vis: Tensor, context: Context) -> Tensor:
    return torch.where(torch.tensor([i == "p1" for i in context.ids])[:, None, None, None], torch.nan, ir)


@pytest.mark.parametrize(("does", "said"), [(broken, "enough of p1"), (nan, "not finite")])
def test_a_pair_that_fails_costs_its_own_picture(does: Callable[..., Tensor], said: str) -> None:
    method = Own(does)
    first, second, third = made(method)
    assert isinstance(first, np.ndarray)
    assert said in str(second)
    assert isinstance(third, np.ndarray)
    assert set(method.sizes) == {2}


def test_a_wrong_shape_and_too_little_memory_are_told() -> None:
    assert "fuse returned [1, 1, 8, 9] for 2 pairs of [8, 9]" in str(made(Own(lambda ir, vis, context: ir[:1]))[0])

    def large(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert "2 pairs at once do not fit into the device's memory; take a batch of 1" in str(made(Own(large))[0])
    assert "CUDA out of memory" in str(made(Own(large), batch=1)[0])
