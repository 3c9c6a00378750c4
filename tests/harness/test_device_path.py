"""What `eval` does on a graphics card: threads take turns, pictures of one image are scored together."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fusionbench.errors import FusionbenchError
from fusionbench.evaluation.plan import Plan, Request, make_plan
from fusionbench.evaluation.runner import run
from fusionbench.evaluation.scoring import ImageScores, Picture, Scorer
from fusionbench.metrics import as_on_a_device
from fusionbench.pixels.images import read_image, write_image
from fusionbench.plugins.registry import resolve
from fusionbench.results.store import Store
from fusionbench.runtime.device import check_device, turn
from tests.conftest import make_tree

METHODS = ("average", "maximum", "laplacian", "visible", "infrared")
METRICS = ("en", "mi", "vif", "qabf", "scd")


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """A run, whose pictures are scored again here."""
    root = tmp_path_factory.mktemp("device")
    make_tree(root / "data", 3)
    asked = Request(methods=METHODS, datasets=("msrs",), metrics=METRICS, data_root=root / "data")
    plan = make_plan(asked)
    with Store(root / "out") as store:
        run(plan, store)
    return plan, root / "out"


def pictures(plan: Plan, store: Store, ident: str) -> list[Picture]:
    (source,) = plan.sources
    found = []
    for entry in plan.entries:
        picture = store.fused(entry.key, source.label, source.split, {ident: _pair(plan, ident)})[ident]
        found.append(Picture(entry, picture.image, picture.path, source.metrics))
    return found


def _pair(plan: Plan, ident: str) -> str:
    (source,) = plan.sources
    return source.dataset.hash(source.split, ident)


def scored(plan: Plan, out: Path, ident: str, together: int) -> ImageScores:
    (source,) = plan.sources
    with Store(out) as store:

        def read(*_: object) -> tuple[object, object]:
            pair = source.dataset.pair(source.split, ident)
            return pair.ir, pair.vis

        return Scorer(source, store, "cpu", read, together=together)((ident, pictures(plan, store, ident)))


def close(one: Mapping[object, float], other: Mapping[object, float]) -> bool:
    return one.keys() == other.keys() and all(
        other[key] == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True) for key, value in one.items()
    )


@pytest.mark.parametrize("room", [2, 3, 32])
def test_scored_together_as_one_by_one(fused: tuple[Plan, Path], room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, out = fused
    size = 48 * 64
    for ident in plan.sources[0].ids:
        alone = scored(plan, out, ident, 1)
        assert len(alone.values) == len(METHODS) * len(METRICS)
        assert close(scored(plan, out, ident, room * size).values, alone.values)
        with as_on_a_device():
            assert close(scored(plan, out, ident, room * size).values, alone.values)


def test_a_picture_that_changed_costs_itself_alone(fused: tuple[Plan, Path]) -> None:
    plan, out = fused
    ident = plan.sources[0].ids[0]
    with Store(out) as store:
        picture = pictures(plan, store, ident)[1]
    path = out / picture.path
    before = path.read_bytes()
    try:
        write_image(path, 255 - read_image(path))
        found = scored(plan, out, ident, 1 << 20)
    finally:
        path.write_bytes(before)
    assert found.changed.keys() == {picture.entry.key}
    assert {digest for digest, _ in found.values} == {p.digest for p in pictures_of(fused, ident)} - {picture.digest}


def pictures_of(fused: tuple[Plan, Path], ident: str) -> list[Picture]:
    plan, out = fused
    with Store(out) as store:
        return pictures(plan, store, ident)


def test_a_metric_that_fails_loses_its_column(fused: tuple[Plan, Path]) -> None:
    plan, out = fused
    ident = plan.sources[0].ids[0]
    (source,) = plan.sources
    with Store(out) as store:
        pair = source.dataset.pair(source.split, ident)
        scorer = Scorer(source, store, "cpu", lambda *_: (pair.ir, pair.vis), together=1 << 20)
        lost, odd, *_ = source.metrics

        def fails(*_: object, **__: object) -> torch.Tensor:
            raise ZeroDivisionError("on purpose")

        scorer.functions[lost.id] = fails
        scorer.functions[odd.id] = lambda *_, **__: torch.zeros(9)  # of another number of images
        found = scorer((ident, pictures(plan, store, ident)))
    assert "ZeroDivisionError: on purpose" in found.broken[lost.id]
    assert "returned values [9] for" in found.broken[odd.id]
    assert {name for _, name in found.values} == {m.id for m in source.metrics} - {lost.id, odd.id}


def test_equal_pictures_are_scored_once(fused: tuple[Plan, Path]) -> None:
    plan, out = fused
    ident = plan.sources[0].ids[0]
    (source,) = plan.sources
    calls = []
    with Store(out) as store:
        pair = source.dataset.pair(source.split, ident)
        for together in (1, 1 << 20):
            scorer = Scorer(source, store, "cpu", lambda *_: (pair.ir, pair.vis), together=together)
            for m in source.metrics:
                function = resolve("metric", m.card.name)

                def counted(f: object, *rest: object, _function=function, **options: object) -> torch.Tensor:
                    calls.append(len(f.x))
                    return _function(f, *rest, **options)

                scorer.functions[m.id] = counted
            twice = pictures(plan, store, ident)[:1] * 2
            scorer((ident, twice))
    assert calls == [1] * 2 * len(METRICS)


def test_a_run_with_turns_gives_the_same_bytes(fused: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, out = fused
    with Store(tmp_path) as store:
        outcome = run(replace(plan, device="cpu:0", jobs=4), store)  # a device by its number is waited for
    assert not outcome.failures
    before, after = (
        {p.name: p.read_bytes() for p in folder.rglob("fused/average-*/**/*.png")} for folder in (out, tmp_path)
    )
    assert before == after
    assert before


def test_one_thread_at_a_time_has_a_device() -> None:
    inside, most = 0, 0
    wait = threading.Barrier(4)

    def work() -> None:
        nonlocal inside, most
        wait.wait(5)
        for _ in range(50):
            with turn("cuda:7"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    with turn("cpu"), turn("cpu"), turn("cuda:7"), turn("cuda:8"):  # none of them waits for another
        pass
    with pytest.raises(FusionbenchError), turn("cuda:7"):
        raise FusionbenchError("leaves the device to the next")
    with turn("cuda:7"):
        pass


@pytest.mark.parametrize("device", ["mps", "vulkan", "meta", "quatsch", "cuda:99"])
def test_a_device_that_is_not_there_is_told_in_a_line(device: str) -> None:
    """Torch's own reason may be a paragraph with every backend that it knows."""
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(FusionbenchError) as caught:
        check_device(device)
    text = str(caught.value)
    assert text.startswith(f"device {device}: ")
    assert text.endswith("`fusionbench doctor` shows what is there")
    assert len(text) < 300
    assert "AutogradCPU" not in text
